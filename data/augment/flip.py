"""Mirror images: upside down, and left to right."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from pydantic import Field

from data.augment.base import Augmentation, Sample, register_augmentation


@register_augmentation
class FlipUpDown(Augmentation):
    """Turns the image upside down."""

    flipud: float = Field(default=0.0, ge=0, le=1)  # chance

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.flipud:
            return sample
        boxes = sample.boxes_xyxy.copy()
        boxes[:, [1, 3]] = sample.image.shape[0] - sample.boxes_xyxy[:, [3, 1]]
        return replace(sample, image=cv2.flip(sample.image, 0), boxes_xyxy=boxes)


@register_augmentation
class FlipLeftRight(Augmentation):
    """Mirrors the image left to right."""

    fliplr: float = Field(default=0.5, ge=0, le=1)  # chance

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.fliplr:
            return sample
        boxes = sample.boxes_xyxy.copy()
        boxes[:, [0, 2]] = sample.image.shape[1] - sample.boxes_xyxy[:, [2, 0]]
        return replace(sample, image=cv2.flip(sample.image, 1), boxes_xyxy=boxes)
