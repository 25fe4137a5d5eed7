"""Letterbox: resize a picture with its aspect kept and pad it to the network's input, and the way back for boxes.

The rounding (sizes to the nearest pixel, the odd pixel of padding right and below, grey 114) is that of YOLOv5, so that
its weights see the input they were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

PAD_VALUE = 114
"""Grey level, 0..255, of everything in a network input that is not picture."""


def resized_hw(hw: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Height and width after scaling by `ratio`: nearest pixel, never 0."""
    return max(round(hw[0] * ratio), 1), max(round(hw[1] * ratio), 1)


@dataclass(frozen=True)
class Letterbox:
    """Where a picture lies in the network input.

    Attributes:
        image_hw: height and width of the picture, pixels.
        resized_hw: height and width after resizing, pixels.
        input_hw: height and width of the network input, pixels.
        ratio: factor of the resizing before sizes are rounded to pixels.
        pad_left, pad_top: width of the grey border to the left of and above the picture, pixels.
    """

    image_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    input_hw: tuple[int, int]
    ratio: float
    pad_left: int
    pad_top: int

    @classmethod
    def fit(cls, image_hw: tuple[int, int], input_hw: tuple[int, int]) -> Letterbox:
        """As large as `input_hw` allows, centred in it.

        Args:
            image_hw, input_hw: height and width of the picture and of the network input, pixels.

        Raises:
            ValueError: a side is below 1 px.
        """
        if min(*image_hw, *input_hw) < 1:
            raise ValueError(f"letterbox of a {image_hw} picture into {input_hw}: every side must be at least 1 px")
        ratio = min(input_hw[0] / image_hw[0], input_hw[1] / image_hw[1])
        return cls.at_ratio(image_hw, input_hw, ratio)

    @classmethod
    def rectangle(cls, image_hw: tuple[int, int], size: int, stride: int) -> Letterbox:
        """The smallest input whose sides are multiples of `stride` and that holds the picture at a long side of `size`.

        Args:
            image_hw: height and width of the picture, pixels, at least 1.
            size, stride: pixels; `size` is a multiple of `stride`.

        Raises:
            ValueError: it is not.
        """
        if size % stride:
            raise ValueError(f"size {size} is not a multiple of the stride {stride}")
        ratio = size / max(image_hw)
        height, width = resized_hw(image_hw, ratio)
        return cls.at_ratio(image_hw, (-(-height // stride) * stride, -(-width // stride) * stride), ratio)

    @classmethod
    def at_ratio(cls, image_hw: tuple[int, int], input_hw: tuple[int, int], ratio: float) -> Letterbox:
        """Resized by `ratio`, centred in `input_hw`.

        Args:
            image_hw, input_hw: height and width of the picture and of the network input, pixels.
            ratio: input pixels per pixel of the picture, above 0.

        Raises:
            ValueError: the resized picture is larger than the input.
        """
        height, width = resized_hw(image_hw, ratio)
        if height > input_hw[0] or width > input_hw[1]:
            raise ValueError(f"letterbox: a picture of {height}x{width} does not fit into {input_hw[0]}x{input_hw[1]}")
        # halves of the border, .5 rounded down on the left and above
        left, top = round((input_hw[1] - width) / 2 - 0.1), round((input_hw[0] - height) / 2 - 0.1)
        return cls(image_hw, (height, width), input_hw, ratio, left, top)

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Exact factors of the resizing along x and y: they differ a little, because sizes are whole pixels."""
        return self.resized_hw[1] / self.image_hw[1], self.resized_hw[0] / self.image_hw[0]

    def apply(self, image: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
        """Resize and pad.

        Args:
            image: `(H, W, C)` or `(H, W)` uint8 of size `image_hw`, or already resized to `resized_hw`.
            interpolation: one of OpenCV's `INTER_*` constants.

        Returns:
            `(input height, input width, ...)` uint8, contiguous.

        Raises:
            ValueError: the image has another size.
        """
        if image.shape[:2] not in (self.image_hw, self.resized_hw):
            raise ValueError(f"letterbox of {self.image_hw} pictures applied to one of {image.shape[:2]}")
        height, width = self.resized_hw
        if image.shape[:2] != self.resized_hw:
            image = cv2.resize(image, (width, height), interpolation=interpolation)
        bottom, right = self.input_hw[0] - height - self.pad_top, self.input_hw[1] - width - self.pad_left
        if self.pad_top or self.pad_left or bottom or right:
            border = (self.pad_top, bottom, self.pad_left, right)
            image = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=(PAD_VALUE,) * 3)
        return np.ascontiguousarray(image)

    def boxes_to_input(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Boxes in pixels of the picture `(N, 4)` to boxes in pixels of the network input, `(N, 4)` float32."""
        boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)  # (N, 4)
        scale = np.tile(self.scale_xy, 2)  # (4,): x, y, x, y
        offset = np.tile((self.pad_left, self.pad_top), 2)  # (4,)
        return (boxes * scale + offset).astype(np.float32)  # (N, 4)

    def boxes_to_image(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Boxes in pixels of the network input `(N, 4)` to boxes in pixels of the picture, `(N, 4)` float32.

        They are clipped to the picture. A box that lies in the border alone is left without area.
        """
        boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)  # (N, 4)
        offset = np.tile((self.pad_left, self.pad_top), 2)  # (4,): x, y, x, y
        scale = np.tile(self.scale_xy, 2)  # (4,)
        boxes = (boxes - offset) / scale  # (N, 4)
        limits = np.tile(self.image_hw[::-1], 2)  # (4,): width, height, width, height
        return np.clip(boxes, 0, limits).astype(np.float32)  # (N, 4)

    def detections_to_image(self, rows: np.ndarray) -> np.ndarray:
        """Rows that begin with a box in pixels of the network input, to the same in pixels of the picture; float32.

        `(N, 4 + columns)` to as many rows or fewer: a box that lies in the grey border alone has no area left, and its
        row is dropped. See `boxes_to_image`.
        """
        boxes_xyxy = self.boxes_to_image(rows[:, :4])  # (N, 4)
        visible = (boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1)  # (N,)
        return np.concatenate((boxes_xyxy, rows[:, 4:]), axis=1)[visible]
