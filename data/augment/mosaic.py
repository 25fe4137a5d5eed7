"""Mosaic: four images around a random centre on a canvas of twice the size.

Bochkovskiy et al., YOLOv4 (2020), section 3.3; canvas, centre and resizing as in YOLOv5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field

from data.augment.base import Augmentation, Sample, register_augmentation
from data.letterbox import PAD_VALUE


@register_augmentation
class Mosaic(Augmentation):
    """Returns a sample of 2 x imgsz pixels a side, which the affine warp cuts down to the network input."""

    mixes: ClassVar[bool] = True

    mosaic: float = Field(default=1.0, ge=0, le=1)  # chance

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.mosaic:
            return sample
        size = sample.pool.imgsz
        centre_x, centre_y = (int(value) for value in rng.uniform(0.5 * size, 1.5 * size, 2))
        tiles = [sample, *(sample.pool.draw(rng) for _ in range(3))]
        canvas = np.full((2 * size, 2 * size, 3), PAD_VALUE, np.uint8)
        boxes, regions = [], []
        for tile, corner in zip(tiles, rng.permutation(4), strict=True):
            height, width = tile.image.shape[:2]
            # Each tile touches the centre with one of its corners.
            left = centre_x - width if corner in (0, 2) else centre_x
            top = centre_y - height if corner in (0, 1) else centre_y
            _paste(canvas, tile.image, left, top)
            shift = np.array([left, top, left, top], np.float32)  # (4,)
            boxes.append(tile.boxes_xyxy + shift)  # (n_i, 4)
            regions.append(tile.regions_xyxy + shift)  # (r_i, 4)
        boxes_xyxy, visible = _on_canvas(boxes, 2 * size)  # (n, 4), (n,) of all tiles
        regions_xyxy, seen = _on_canvas(regions, 2 * size)  # (r, 4), (r,)
        labels = np.concatenate([tile.labels for tile in tiles])  # (n,)
        return replace(
            sample,
            image=canvas,
            boxes_xyxy=boxes_xyxy[visible],
            labels=labels[visible],
            regions_xyxy=regions_xyxy[seen],
        )


def _on_canvas(boxes_xyxy: list[np.ndarray], side: int) -> tuple[np.ndarray, np.ndarray]:
    """The boxes of all tiles `(n, 4)` clipped to the canvas, and `(n,)` bool whether something of each lies on it."""
    clipped = np.concatenate(boxes_xyxy).clip(0, side)  # (n, 4)
    return clipped, np.asarray((clipped[:, 2:] > clipped[:, :2]).all(1))


def _paste(canvas: np.ndarray, tile: np.ndarray, left: int, top: int) -> None:
    """Copy a tile to (left, top) of the canvas; what lies outside is cut off."""
    bottom, right = min(top + tile.shape[0], canvas.shape[0]), min(left + tile.shape[1], canvas.shape[1])
    x, y = max(left, 0), max(top, 0)
    canvas[y:bottom, x:right] = tile[y - top : bottom - top, x - left : right - left]
