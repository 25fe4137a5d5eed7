"""What a loss is told about a batch of images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from models.losses.overlap import features_of


@dataclass(frozen=True, eq=False)
class Targets:
    """The truth of a batch; coordinates are fractions of the network input, 0 to 1.

    Attributes:
        boxes: `(N, 6)` image index in the batch, class, cx, cy, w, h; N may be 0.
        ignore: `(M, 5)` image index, cx, cy, w, h of regions in which nothing is right or wrong (crowds); M may be 0.
        input_hw: height and width of the network input, pixels.
    """

    boxes: Tensor
    ignore: Tensor
    input_hw: tuple[int, int]

    def __post_init__(self) -> None:
        for name, columns in (("boxes", 6), ("ignore", 5)):
            shape = tuple(getattr(self, name).shape)
            if len(shape) != 2 or shape[1] != columns:
                raise ValueError(f"{name} must be (n, {columns}), got {shape}")

    @classmethod
    def of_boxes(cls, boxes: Tensor, input_hw: tuple[int, int]) -> Targets:
        """Targets without regions to ignore."""
        return cls(boxes, boxes.new_zeros((0, 5)), input_hw)

    def to(self, device: torch.device) -> Targets:
        """The same on another device."""
        return replace(self, boxes=self.boxes.to(device), ignore=self.ignore.to(device))


class Truths(NamedTuple):
    """The boxes of a batch, T in all.

    Attributes:
        boxes_xyxy: `(T, 4)` pixels.
        features: `(8, T)` of the boxes; see `models.losses.overlap`.
        image, label: `(T,)` int64 image in the batch, and class.
    """

    boxes_xyxy: Tensor
    features: Tensor
    image: Tensor
    label: Tensor

    @classmethod
    def of(cls, targets: Targets) -> Truths:
        """The boxes of these targets."""
        image, label = targets.boxes[:, :2].long().unbind(1)
        boxes_xyxy = boxes_in_pixels(targets.boxes[:, 2:], targets.input_hw)
        return cls(boxes_xyxy, features_of(boxes_xyxy), image, label)


def boxes_in_pixels(boxes: Tensor, input_hw: tuple[int, int]) -> Tensor:
    """`(n, 4)` left, top, right, bottom in pixels, from cx, cy, w, h as fractions of an input of this size."""
    height, width = input_hw
    scale = boxes.new_tensor((width, height))
    centre, half = boxes[:, :2] * scale, boxes[:, 2:] * (scale / 2)  # (n, 2) each
    return torch.cat((centre - half, centre + half), 1)
