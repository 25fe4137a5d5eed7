"""Changes of hue, saturation and brightness."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from pydantic import Field

from data.augment.base import Augmentation, Sample, register_augmentation


@register_augmentation
class Hsv(Augmentation):
    """Multiplies hue, saturation and value by random factors, through one look-up table each."""

    hsv_h: float = Field(default=0.015, ge=0, le=1)  # hue, factor 1 +- this
    hsv_s: float = Field(default=0.7, ge=0, le=1)  # saturation, factor 1 +- this
    hsv_v: float = Field(default=0.4, ge=0, le=1)  # brightness, factor 1 +- this

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        gains = np.array([self.hsv_h, self.hsv_s, self.hsv_v])
        if not gains.any():
            return sample
        factors = 1 + gains * rng.uniform(-1, 1, 3)
        levels = np.arange(256)
        # OpenCV's 8-bit hue runs from 0 to 179
        tables = (levels * factors[0] % 180, (levels * factors[1]).clip(0, 255), (levels * factors[2]).clip(0, 255))
        hsv = cv2.cvtColor(sample.image, cv2.COLOR_BGR2HSV)
        hsv = cv2.LUT(hsv, np.stack(tables, 1).astype(np.uint8)[:, None])
        return replace(sample, image=cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))
