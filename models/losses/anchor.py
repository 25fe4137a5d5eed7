"""The loss of an anchor-based head: how far off the cells are that answer for a box.

Three parts: complete IoU (Zheng et al., "Distance-IoU Loss", AAAI 2020, arXiv 1911.08287, section 3.3), objectness and
classification by binary cross-entropy. Numbers and names are those of YOLOv5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_convert, complete_box_iou_loss

from models.losses.anchor_assignment import assign
from models.losses.cells import Grid, cells_to_ignore
from models.losses.targets import Targets

# Objectness weight per level, finest first: fine levels hold few boxes among many cells.
_BALANCE = {3: (4.0, 1.0, 0.4)}
_BALANCE_OTHER = (4.0, 1.0, 0.25, 0.06, 0.02)  # for the levels after these the last one again

_OBJECTNESS_IMAGE_SIZE = 640  # px; the side for which the gain `obj` is stated

# Grid units. A thinner box rounds to one of no width, whose aspect ratio has no gradient but NaN.
_MIN_SIDE = 1e-4


class AnchorHead(Protocol):
    """What the loss reads from a head.

    Attributes:
        anchors: `(levels, A, 2)` width and height in grid units.
        stride: `(levels,)` input pixels per cell.
        nc: number of classes.
    """

    anchors: Tensor
    stride: Tensor
    nc: int


class LevelLoss(NamedTuple):
    """The parts of one level, without weights: scalars, means over the level's matches or cells."""

    box: Tensor
    objectness: Tensor
    label: Tensor


def level_rank(stride: Tensor) -> Tensor:
    """`(levels,)` int64 place of each level, 0 for the finest, from the levels' `(levels,)` strides."""
    return stride.argsort(stable=True).argsort()


def objectness_balance(stride: Tensor) -> tuple[float, ...]:
    """Objectness weight of each level, by its stride and not by its place: the finest level has the largest.

    Args:
        stride: `(levels,)` input pixels per cell, in any order.
    """
    levels = len(stride)
    finest_first = _BALANCE.get(levels, _BALANCE_OTHER)
    return tuple(finest_first[min(place, len(finest_first) - 1)] for place in level_rank(stride).tolist())


class AnchorLoss(nn.Module):
    """Box, objectness and class loss of raw logits.

    Args:
        head: the head whose anchors and class count are used; read at every call, so re-fitted anchors count at once.
        gains: `box`, `obj`, `cls` (weights of the parts), `obj_pw`, `cls_pw` (weight of positives in the
            cross-entropy), `anchor_t` (largest ratio of box to anchor), `label_smoothing` (0 to below 1), and `imgsz`,
            side of the network input in pixels. `obj` is stated for 640 px: objectness is a mean over cells, of which
            a smaller image has fewer empty ones, so its weight follows the area.
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
        self.obj_gain = gains["obj"] * (gains["imgsz"] / _OBJECTNESS_IMAGE_SIZE) ** 2 * 3 / levels
        self.max_ratio = gains["anchor_t"]
        smoothing = gains.get("label_smoothing", 0.0)
        self.positive, self.negative = 1 - 0.5 * smoothing, 0.5 * smoothing
        by_position = bool(gains.get("balance_by_position"))  # older trainings took the first level for the finest
        self.balance = objectness_balance(torch.arange(levels) if by_position else head.stride)
        self.register_buffer("cls_pw", torch.tensor([float(gains["cls_pw"])]), persistent=False)
        self.register_buffer("obj_pw", torch.tensor([float(gains["obj_pw"])]), persistent=False)

    def forward(self, logits: Sequence[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        """The losses `box`, `obj` and `cls` of a batch: scalars, averaged over its images.

        Args:
            logits: per level `(B, A, H, W, 5 + nc)`.
            targets: boxes; and regions in which the objectness counts only where a box was matched.
            progress: not used, this loss stays the same over the training.
        """
        box = objectness = label = logits[0].new_zeros((), dtype=torch.float32)
        ignored = self._ignored(logits, targets)
        levels = zip(logits, self._head[0].anchors, ignored, self.balance, strict=True)
        for prediction, anchors, ignored_cells, weight in levels:
            level = self._level_loss(prediction.float(), targets.boxes, anchors, ignored_cells)
            box = box + level.box
            objectness = objectness + level.objectness * weight
            label = label + level.label
        return {"box": box * self.box_gain, "obj": objectness * self.obj_gain, "cls": label * self.cls_gain}

    def _ignored(self, logits: Sequence[Tensor], targets: Targets) -> list[Tensor | None]:
        """Per level `(B, H, W)`, whether a cell lies in a region to ignore; None where there is no region."""
        if not len(targets.ignore):
            return [None] * len(logits)
        grid = Grid.of(logits, tuple(self._head[0].stride.tolist()))
        ignored = cells_to_ignore(targets, len(logits[0]), grid)  # (B, cells of all levels)
        parts = ignored.split([level[0, 0, ..., 0].numel() for level in logits], 1)
        return [part.view_as(level[:, 0, ..., 0]) for part, level in zip(parts, logits, strict=True)]

    def _level_loss(self, logits: Tensor, boxes: Tensor, anchors: Tensor, ignored: Tensor | None) -> LevelLoss:
        """The loss of one level from logits `(B, A, H, W, 5 + nc)`, boxes `(N, 6)` and anchors `(A, 2)`.

        Args:
            ignored: `(B, H, W)`; there only anchors that matched a box count in the mean of the objectness.
        """
        cells = logits.shape[:4]  # B, A, H, W
        match = assign(boxes, anchors, (cells[2], cells[3]), self.max_ratio)
        objectness_target = logits.new_zeros(cells)  # (B, A, H, W)
        box_loss = label_loss = logits.new_zeros(())
        counted = None if ignored is None else ~ignored[:, None].expand(cells)  # (B, A, H, W)
        if len(match.image):
            matched = logits[match.image, match.anchor, match.row, match.column]  # (M, 5 + nc)
            xy = matched[:, :2].sigmoid() * 2 - 0.5  # (M, 2) centre from the cell's corner, grid units
            wh = ((matched[:, 2:4].sigmoid() * 2) ** 2 * match.anchor_wh).clamp(min=_MIN_SIDE)  # (M, 2)
            distance = complete_box_iou_loss(
                box_convert(torch.cat((xy, wh), 1), "cxcywh", "xyxy"), box_convert(match.box, "cxcywh", "xyxy")
            )  # (M,) 1 - complete IoU
            box_loss = distance.mean()
            # A cell can answer for several boxes: it learns the best overlap, whatever the order of the boxes.
            quality = (1 - distance.detach()).clamp(0)  # (M,)
            # (M,) place of each match among the B * A * H * W cells
            flat = ((match.image * cells[1] + match.anchor) * cells[2] + match.row) * cells[3] + match.column
            objectness_target.view(-1).scatter_reduce_(0, flat, quality, "amax")
            label_loss = self._label_loss(matched[:, 5:], match.label)
            if counted is not None:
                counted[match.image, match.anchor, match.row, match.column] = True
        objectness, wanted = logits[..., 4], objectness_target
        if counted is not None:
            objectness, wanted = objectness[counted], wanted[counted]  # (counted cells,) each
        objectness_loss = functional.binary_cross_entropy_with_logits(objectness, wanted, pos_weight=self.obj_pw)
        # Where nothing counts there is nothing to learn; the mean of nothing would be NaN.
        return LevelLoss(box_loss, objectness_loss if objectness.numel() else objectness.sum(), label_loss)

    def _label_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """Cross-entropy of class logits `(M, nc)` against classes `(M,)`, a scalar."""
        if logits.shape[1] == 1:  # one class: objectness says it all
            return logits.new_zeros(())
        target = torch.full_like(logits, self.negative)  # (M, nc)
        target.scatter_(1, label[:, None], self.positive)
        return functional.binary_cross_entropy_with_logits(logits, target, pos_weight=self.cls_pw)
