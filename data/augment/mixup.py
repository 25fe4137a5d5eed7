"""MixUp: two images blended, with the boxes of both.

Zhang et al., mixup (2018); the blend's distribution is YOLOv5's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import cv2
import numpy as np
from pydantic import Field

from data.augment.base import Augmentation, Sample, register_augmentation


@register_augmentation
class MixUp(Augmentation):
    """Blends the sample with another one that went through mosaic and warp as well."""

    mixes: ClassVar[bool] = True

    mixup: float = Field(default=0.0, ge=0, le=1)  # chance

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.mixup:
            return sample
        other = sample.pool.draw_augmented(rng, before=self)
        share = rng.beta(32.0, 32.0)
        return replace(
            sample,
            image=cv2.addWeighted(sample.image, share, other.image, 1 - share, 0),
            boxes_xyxy=np.concatenate((sample.boxes_xyxy, other.boxes_xyxy)),
            labels=np.concatenate((sample.labels, other.labels)),
            regions_xyxy=np.concatenate((sample.regions_xyxy, other.regions_xyxy)),
        )
