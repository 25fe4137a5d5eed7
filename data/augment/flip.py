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
        return _mirrored(sample, 1)


@register_augmentation
class FlipLeftRight(Augmentation):
    """Mirrors the image left to right."""

    fliplr: float = Field(default=0.5, ge=0, le=1)  # chance

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.fliplr:
            return sample
        return _mirrored(sample, 0)


def _mirrored(sample: Sample, axis: int) -> Sample:
    """The sample mirrored along x (axis 0) or y (axis 1)."""
    side = sample.image.shape[1 - axis]

    def mirror(boxes_xyxy: np.ndarray) -> np.ndarray:
        mirrored = boxes_xyxy.copy()  # (n, 4)
        mirrored[:, [axis, axis + 2]] = side - boxes_xyxy[:, [axis + 2, axis]]
        return mirrored

    return replace(
        sample,
        image=cv2.flip(sample.image, 1 - axis),  # OpenCV counts rows first
        boxes_xyxy=mirror(sample.boxes_xyxy),
        regions_xyxy=mirror(sample.regions_xyxy),
    )
