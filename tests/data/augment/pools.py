"""Pools of pictures whose objects are white on black, so that pixels say where the boxes have to be."""

from __future__ import annotations

import numpy as np

from data.augment import (
    Augmentation,
    Sample,
)


class OneColour:
    """A pool of pictures, each black with one white rectangle."""

    def __init__(self, imgsz: int, seed: int = 0, input_hw: tuple[int, int] | None = None) -> None:
        self.imgsz = imgsz
        self.input_hw = input_hw or (imgsz, imgsz)
        self.rng = np.random.default_rng(seed)

    def draw(self, rng: np.random.Generator) -> Sample:
        short = int(rng.integers(self.imgsz // 2, self.imgsz + 1))
        hw = (self.imgsz, short) if rng.random() < 0.5 else (short, self.imgsz)
        return self.make(hw, rng)

    def draw_augmented(self, rng: np.random.Generator, before: Augmentation) -> Sample:
        return self.make(self.input_hw, rng)

    def make(self, hw: tuple[int, int], rng: np.random.Generator) -> Sample:
        width, height = (int(rng.integers(side // 5, side // 2)) for side in hw[::-1])
        left, top = int(rng.integers(hw[1] - width + 1)), int(rng.integers(hw[0] - height + 1))
        image = np.zeros((*hw, 3), np.uint8)
        image[top : top + height, left : left + width] = 255
        box = np.array([[left, top, left + width, top + height]], np.float32)
        return Sample(image, box, np.array([1], np.int64), self)


class Full(OneColour):
    """A pool of white pictures without boxes."""

    def draw(self, rng: np.random.Generator) -> Sample:
        image = np.full((self.imgsz, self.imgsz, 3), 255, np.uint8)
        return Sample(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), self)


def extent(mask: np.ndarray) -> list[int]:
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
