"""Rotation, zoom, shear, perspective and shift in one warp, which also brings the image to the network's input size."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from pydantic import Field

from data.augment.base import Augmentation, Sample, register_augmentation
from data.letterbox import PAD_VALUE

MIN_SIDE = 2.0
"""Pixels; a box whose width or height is not more than this after the warp is dropped."""
MAX_ASPECT = 100.0
"""A box whose sides differ by this factor or more is dropped."""
MIN_AREA_SHARE = 0.1
"""A box is dropped when no more than this share of it is left inside the image.

The share compares the upright box after the warp with the one before, so that the growth by rotation counts."""


@register_augmentation
class Affine(Augmentation):
    """Centres an image of any size on the network input and moves it at random.

    Without any motion this is a letterbox; a mosaic is cut down to its middle.
    """

    degrees: float = Field(default=0.0, ge=0, le=180)  # rotation, +- degrees
    translate: float = Field(default=0.1, ge=0, le=1)  # shift, +- fraction of the input's width and height
    scale: float = Field(default=0.5, ge=0, lt=1)  # zoom, factor 1 +- this
    shear: float = Field(default=0.0, ge=0, lt=90)  # shear along x and y, +- degrees
    perspective: float = Field(default=0.0, ge=0, le=0.01)  # change of the homogeneous coordinate per pixel, +- this

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        matrix, zoom = self._draw(sample.image.shape[:2], sample.pool.input_hw, rng)
        image = warp_image(sample.image, matrix, sample.pool.input_hw)
        boxes, keep = warp_boxes(sample.boxes_xyxy, matrix, sample.pool.input_hw, zoom)
        regions, in_front = surrounding_boxes(sample.regions_xyxy, matrix, sample.pool.input_hw)  # (r, 4), (r,)
        seen = in_front & (regions[:, 2:] > regions[:, :2]).all(1)  # (r,): of a region, any rest counts
        return replace(
            sample,
            image=image,
            boxes_xyxy=boxes[keep],
            labels=sample.labels[keep],
            regions_xyxy=regions[seen].astype(np.float32),
        )

    def _draw(
        self, image_hw: tuple[int, int], input_hw: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """A random matrix `(3, 3)` from pixels of the image to pixels of the input, and its zoom factor."""
        (height, width), (input_height, input_width) = image_hw, input_hw
        angle = math.radians(rng.uniform(-self.degrees, self.degrees))
        zoom = rng.uniform(1 - self.scale, 1 + self.scale)
        shear_x, shear_y = np.tan(np.radians(rng.uniform(-self.shear, self.shear, 2)))
        tilt_x, tilt_y = rng.uniform(-self.perspective, self.perspective, 2)
        shift_x, shift_y = rng.uniform(-self.translate, self.translate, 2)
        # Where the middle of the image lands, in pixels of the input. Without a shift it is the middle of the input,
        # to a whole pixel, so that nothing is resampled.
        middle_x = (input_width - width) // 2 + width / 2 + shift_x * input_width
        middle_y = (input_height - height) // 2 + height / 2 + shift_y * input_height
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        to_origin = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
        tilt = np.array([[1, 0, 0], [0, 1, 0], [tilt_x, tilt_y, 1]])
        turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        skew = np.array([[1, shear_x, 0], [shear_y, 1, 0], [0, 0, 1]])
        to_middle = np.array([[1, 0, middle_x], [0, 1, middle_y], [0, 0, 1]])
        return to_middle @ skew @ turn @ tilt @ to_origin, zoom


def warp_image(image: np.ndarray, matrix: np.ndarray, input_hw: tuple[int, int]) -> np.ndarray:
    """Warp an image by a matrix `(3, 3)` of pixel-corner coordinates; grey where there is nothing."""
    height, width = input_hw
    shift = matrix[:2, 2]
    if np.array_equal(matrix[:, :2], np.eye(3)[:, :2]) and matrix[2, 2] == 1 and (shift == shift.round()).all():
        return _move_image(image, int(shift[0]), int(shift[1]), input_hw)
    # OpenCV counts from the centre of the first pixel, boxes from its corner.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(half) @ matrix @ half  # (3, 3)
    grey = (PAD_VALUE,) * 3
    if np.array_equal(matrix[2], (0, 0, 1)):
        return cv2.warpAffine(image, matrix[:2], (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=grey)
    return cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=grey)


def _move_image(image: np.ndarray, left: int, top: int, input_hw: tuple[int, int]) -> np.ndarray:
    """Copy an image to (left, top) of a grey one: a warp that moves by whole pixels only."""
    canvas = np.full((*input_hw, 3), PAD_VALUE, np.uint8)
    bottom, right = min(top + image.shape[0], input_hw[0]), min(left + image.shape[1], input_hw[1])
    x, y = max(left, 0), max(top, 0)
    if bottom > y and right > x:
        canvas[y:bottom, x:right] = image[y - top : bottom - top, x - left : right - left]
    return canvas


def warp_boxes(
    boxes_xyxy: np.ndarray, matrix: np.ndarray, input_hw: tuple[int, int], zoom: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The upright boxes around warped boxes, clipped to the input, and which of them are worth keeping.

    Args:
        boxes_xyxy: `(n, 4)` pixels before the warp.
        matrix: `(3, 3)` of pixel-corner coordinates.
        input_hw: height and width after the warp, pixels.
        zoom: factor by which the warp enlarges, for the share of a box that is left.

    Returns:
        Boxes `(n, 4)` float32 in pixels after the warp, and a mask `(n,)`.
    """
    boxes, in_front = surrounding_boxes(boxes_xyxy, matrix, input_hw)  # (n, 4), (n,)
    before = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).astype(np.float64) * zoom  # (n, 2): sides if nothing were cut off
    sides = boxes[:, 2:] - boxes[:, :2]  # (n, 2)
    aspect = sides.max(1, initial=0) / sides.min(1, initial=np.inf).clip(1e-9)  # (n,), at least 1
    share = sides.prod(1) / before.prod(1).clip(1e-9)  # (n,)
    keep = in_front & (sides > MIN_SIDE).all(1) & (aspect < MAX_ASPECT) & (share > MIN_AREA_SHARE)  # (n,)
    return boxes.astype(np.float32), keep


def surrounding_boxes(
    boxes_xyxy: np.ndarray, matrix: np.ndarray, input_hw: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The upright boxes `(n, 4)` float64 around warped boxes, clipped, and `(n,)` bool: all of it has a place there."""
    corners = np.ones((len(boxes_xyxy), 4, 3))  # (n, 4 corners, 3): homogeneous x, y, 1
    corners[..., 0] = boxes_xyxy[:, [0, 2, 2, 0]]
    corners[..., 1] = boxes_xyxy[:, [1, 1, 3, 3]]
    warped = corners @ matrix.T  # (n, 4, 3)
    # A corner behind the horizon has no place in the picture, and the division would mirror it.
    in_front = (warped[..., 2] > 1e-6).all(1)  # (n,)
    points = warped[..., :2] / np.where(warped[..., 2:] > 1e-6, warped[..., 2:], 1.0)  # (n, 4, 2)
    # The upright box around the four corners. A minimum over no boxes is an error, hence the other case.
    boxes = np.concatenate((points.min(1), points.max(1)), 1) if len(points) else np.zeros((0, 4))  # (n, 4)
    return boxes.clip(0, np.tile(input_hw[::-1], 2)), in_front
