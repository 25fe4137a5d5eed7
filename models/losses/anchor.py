"""The loss of an anchor-based head: which anchors answer for which box, and how far off they are.

Assignment by the ratio of box to anchor, with the neighbouring cells, and a loss of three parts: complete IoU (Zheng et
al., "Distance-IoU Loss", AAAI 2020, arXiv 1911.08287, section 3.3), objectness and classification by binary
cross-entropy. Numbers and names are those of YOLOv5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_convert, complete_box_iou_loss

# Objectness weight per level, finest first: fine levels hold few boxes among many cells.
_BALANCE = {3: (4.0, 1.0, 0.4)}
_BALANCE_OTHER = (4.0, 1.0, 0.25, 0.06, 0.02)

# Grid units. A thinner box rounds to one of no width, whose aspect ratio has no gradient but NaN.
_MIN_SIDE = 1e-4


class AnchorHead(Protocol):
    """What the loss reads from a head: `anchors (levels, A, 2)` in grid units, and the number of classes."""

    anchors: Tensor
    nc: int


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


def assign(targets: Tensor, anchors: Tensor, grid_hw: tuple[int, int], max_ratio: float) -> Assignment:
    """Matches boxes to the anchors and cells of one level.

    A box matches every anchor whose width and height differ from its own by less than a factor of `max_ratio`, in the
    cell that holds its centre and in the two nearest neighbours (left or right, above or below) inside the map.

    Args:
        targets: `(N, 6)` image index, class, cx, cy, w, h normalised to 0..1.
        anchors: `(A, 2)` widths and heights in grid units.
        grid_hw: height and width of the level's map.
        max_ratio: `anchor_t`, above 1.
    """
    height, width = grid_hw
    scale = targets.new_tensor((width, height))
    centre, size = targets[:, 2:4] * scale, targets[:, 4:6] * scale

    ratio = size[None] / anchors[:, None]  # (A, N, 2)
    anchor, target = torch.where(torch.maximum(ratio, 1 / ratio).amax(2) < max_ratio)

    home = centre[target]
    inside = scale - home  # distance of the centre from the right and lower border
    left_above = (home % 1 < 0.5) & (home > 1)
    right_below = (inside % 1 < 0.5) & (inside > 1)
    used = torch.stack((torch.ones_like(left_above[:, 0]), *left_above.T, *right_below.T))  # (5, M)
    shift = targets.new_tensor(((0, 0), (0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5)))

    direction, match = torch.where(used)
    anchor, target, home = anchor[match], target[match], home[match]
    cell = (home - shift[direction]).long()
    column, row = cell[:, 0].clamp(0, width - 1), cell[:, 1].clamp(0, height - 1)
    corner = torch.stack((column, row), 1)
    return Assignment(
        image=targets[target, 0].long(),
        anchor=anchor,
        row=row,
        column=column,
        box=torch.cat((home - corner, size[target]), 1),
        anchor_wh=anchors[anchor],
        label=targets[target, 1].long(),
    )


class AnchorLoss(nn.Module):
    """Box, objectness and class loss of raw logits.

    Args:
        head: the head whose anchors and class count are used; read at every call, so re-fitted anchors count at once.
        gains: `box`, `obj`, `cls` (weights of the parts), `obj_pw`, `cls_pw` (weight of positives in the
            cross-entropy), `anchor_t` (largest ratio of box to anchor) and `label_smoothing` (0 to below 1).
    """

    cls_pw: Tensor
    obj_pw: Tensor

    def __init__(self, head: AnchorHead, gains: Mapping[str, float]) -> None:
        super().__init__()
        # In a tuple, so that the head does not become a sub-module of its own loss.
        self._head = (head,)
        levels = len(head.anchors)
        self.box_gain = gains["box"] * 3 / levels
        self.cls_gain = gains["cls"] * head.nc / 80 * 3 / levels
        self.obj_gain = gains["obj"] * 3 / levels
        self.max_ratio = gains["anchor_t"]
        smoothing = gains.get("label_smoothing", 0.0)
        self.positive, self.negative = 1 - 0.5 * smoothing, 0.5 * smoothing
        self.balance = _BALANCE.get(levels, _BALANCE_OTHER)
        self.register_buffer("cls_pw", torch.tensor([float(gains["cls_pw"])]), persistent=False)
        self.register_buffer("obj_pw", torch.tensor([float(gains["obj_pw"])]), persistent=False)

    def forward(self, logits: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch.

        Args:
            logits: per level `(B, A, H, W, 5 + nc)`.
            targets: `(N, 6)` image index, class, cx, cy, w, h normalised to 0..1; N may be 0.

        Returns:
            The scalar to differentiate (summed over the batch's images), and the detached `(3,)` parts box, objectness,
            class, averaged over images.
        """
        parts = logits[0].new_zeros(3, dtype=torch.float32)
        for level, (prediction, anchors) in enumerate(zip(logits, self._head[0].anchors, strict=True)):
            box, objectness, label = self._level_loss(prediction.float(), targets, anchors)
            parts = parts + torch.stack((box, objectness * self.balance[level], label))
        parts = parts * parts.new_tensor((self.box_gain, self.obj_gain, self.cls_gain))
        return parts.sum() * len(logits[0]), parts.detach()

    def _level_loss(self, logits: Tensor, targets: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cells = logits.shape[:4]
        match = assign(targets, anchors, (cells[2], cells[3]), self.max_ratio)
        objectness_target = logits.new_zeros(cells)
        box_loss = label_loss = logits.new_zeros(())
        if len(match.image):
            matched = logits[match.image, match.anchor, match.row, match.column]  # (M, 5 + nc)
            xy = matched[:, :2].sigmoid() * 2 - 0.5
            wh = ((matched[:, 2:4].sigmoid() * 2) ** 2 * match.anchor_wh).clamp(min=_MIN_SIDE)
            distance = complete_box_iou_loss(
                box_convert(torch.cat((xy, wh), 1), "cxcywh", "xyxy"), box_convert(match.box, "cxcywh", "xyxy")
            )
            box_loss = distance.mean()
            # A cell can answer for several boxes: it learns the best overlap, whatever the order of the boxes.
            quality = (1 - distance.detach()).clamp(0)
            flat = ((match.image * cells[1] + match.anchor) * cells[2] + match.row) * cells[3] + match.column
            objectness_target.view(-1).scatter_reduce_(0, flat, quality, "amax")
            label_loss = self._label_loss(matched[:, 5:], match.label)
        objectness_loss = functional.binary_cross_entropy_with_logits(
            logits[..., 4], objectness_target, pos_weight=self.obj_pw
        )
        return box_loss, objectness_loss, label_loss

    def _label_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        if logits.shape[1] == 1:  # one class: objectness says it all
            return logits.new_zeros(())
        target = torch.full_like(logits, self.negative)
        target.scatter_(1, label[:, None], self.positive)
        return functional.binary_cross_entropy_with_logits(logits, target, pos_weight=self.cls_pw)
