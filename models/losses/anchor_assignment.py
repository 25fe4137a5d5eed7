"""Which anchors and cells answer for which box: by the ratio of box to anchor, with the neighbouring cells.

The rule and its numbers are those of YOLOv5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Assignment(NamedTuple):
    """The cells of one level that answer for a box; one entry per (anchor, cell, box) that was matched.

    Attributes:
        image, anchor, row, column: `(M,)` int64 indices into the level's `(B, A, H, W)` cells.
        box: `(M, 4)` the box as cx, cy, w, h in grid units, its centre relative to the cell's corner.
        anchor_wh: `(M, 2)` the anchor's size in grid units.
        label: `(M,)` int64 class.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    box: Tensor
    anchor_wh: Tensor
    label: Tensor


def assign(boxes: Tensor, anchors: Tensor, grid_hw: tuple[int, int], max_ratio: float) -> Assignment:
    """Matches boxes to the anchors and cells of one level.

    A box matches every anchor whose width and height differ from its own by less than a factor of `max_ratio`, in the
    cell that holds its centre and in the two nearest neighbours (left or right, above or below) inside the map.

    Args:
        boxes: `(N, 6)` image index, class, cx, cy, w, h normalised to 0..1.
        anchors: `(A, 2)` widths and heights in grid units.
        grid_hw: height and width of the level's map.
        max_ratio: `anchor_t`, above 1.
    """
    height, width = grid_hw
    scale = boxes.new_tensor((width, height))  # (2,)
    centre, size = boxes[:, 2:4] * scale, boxes[:, 4:6] * scale  # (N, 2) each, grid units

    ratio = size[None] / anchors[:, None]  # (A, N, 2)
    worse_side = torch.maximum(ratio, 1 / ratio).amax(2)  # (A, N)
    anchor, target = torch.where(worse_side < max_ratio)  # (P,) each: the pairs of anchor and box that fit

    home = centre[target]  # (P, 2)
    inside = scale - home  # (P, 2) distance of the centre from the right and lower border
    left_above = (home % 1 < 0.5) & (home > 1)  # (P, 2) the neighbour on the left, the one above
    right_below = (inside % 1 < 0.5) & (inside > 1)  # (P, 2) on the right, below
    # (5, P): the cell of the centre, then left, above, right, below
    used = torch.stack((torch.ones_like(left_above[:, 0]), *left_above.T, *right_below.T))
    shift = boxes.new_tensor(((0, 0), (0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5)))  # (5, 2)

    direction, match = torch.where(used)  # (M,) each
    anchor, target, home = anchor[match], target[match], home[match]  # (M,), (M,), (M, 2)
    cell = (home - shift[direction]).long()  # (M, 2) column and row
    column, row = cell[:, 0].clamp(0, width - 1), cell[:, 1].clamp(0, height - 1)  # (M,) each
    corner = torch.stack((column, row), 1)  # (M, 2)
    return Assignment(
        image=boxes[target, 0].long(),
        anchor=anchor,
        row=row,
        column=column,
        box=torch.cat((home - corner, size[target]), 1),
        anchor_wh=anchors[anchor],
        label=boxes[target, 1].long(),
    )
