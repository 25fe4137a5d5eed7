"""Which cells of an anchor-free head answer for which box: those that predict it best already.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, arXiv 2108.07755, section 3.2. One cell for one
box: Wang et al., "YOLOv10", NeurIPS 2024, arXiv 2405.14458, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models.losses.cells import MOST_PAIRS, CellRanges, Grid
from models.losses.overlap import complete_iou, features_of
from models.losses.targets import Truths

_ALIGNMENT_EPS = 1e-9

_GROUPS = 32  # of a box's cells, see `_best_of_each`; no fewer than any `topk`
_LAST = (1 << 31) - 1  # above the number of any box, and above the bits of any finite number that is not negative


@dataclass(frozen=True)
class Rule:
    """How many cells answer for a box.

    Attributes:
        topk: cells that a box asks for, those of the highest alignment.
        kept: how many of the cells that it got the box keeps; None: all.
    """

    topk: int
    kept: int | None = None


MANY = Rule(topk=10)
"""Several cells for a box; suppression drops all but one of what they predict."""

ONE = Rule(topk=7, kept=1)
"""One cell for a box."""


class Predicted(NamedTuple):
    """What B images of N cells each say.

    Attributes:
        boxes_xyxy: `(B, N, 4)` pixels.
        class_logits: `(B, N, nc)`.
    """

    boxes_xyxy: Tensor
    class_logits: Tensor


class Assignment(NamedTuple):
    """The cells that answer for a box: M in all, by image and then by cell.

    Attributes:
        image: `(M,)` int64.
        cell: `(M,)` int64, among the N of the image.
        box: `(M,)` int64, which of the true boxes.
        weight: `(M,)` what the class score should be, in [0, 1].
    """

    image: Tensor
    cell: Tensor
    box: Tensor
    weight: Tensor


Assign = Callable[[Predicted, Truths, Grid, Rule], Assignment]


@torch.no_grad()
def assign(predicted: Predicted, truths: Truths, grid: Grid, rule: Rule) -> Assignment:
    """The assignment of a batch. Of cells that are equally good the first one counts, and so it is with boxes."""
    match = _Match(predicted, truths)
    ranges = CellRanges.inside(enlarged(truths.boxes_xyxy, smallest_side(grid.strides)), truths.image, grid)
    # For each of the B * N cells: how many boxes ask for it; one that asks; the one of all that overlaps most.
    asking = torch.zeros(len(predicted.boxes_xyxy) * grid.count, dtype=torch.int64, device=truths.image.device)
    asked, nearest = torch.full_like(asking, -1), torch.full_like(asking, -1)
    for start, end in ranges.chunks(MOST_PAIRS):
        box, cell = ranges.pairs(start, end)  # (P,) each
        overlap = match.overlap(box, cell)  # (P,)
        pair = _packed(overlap, box)  # (P,)
        chosen = _best_of_each(match.alignment(box, cell, overlap), box - start, end - start, rule.topk)
        at = cell[chosen]
        asking.scatter_add_(0, at, torch.ones_like(at))
        asked.scatter_reduce_(0, at, pair[chosen], "amax")
        nearest.scatter_reduce_(0, cell, pair, "amax")
    # Where several boxes ask, the one of all boxes that overlaps most gets the cell, even if it did not ask itself.
    pair = torch.where(asking > 1, nearest, asked)  # (B * N,)
    cell = torch.where(pair >= 0)[0]  # (M,)
    overlap, box = _unpacked(pair[cell])  # (M,) each
    alignment = match.alignment(box, cell, overlap)  # (M,)
    if rule.kept is not None:
        kept = _first_of_each(alignment, box, rule.kept).sort().values
        box, cell, overlap, alignment = (each[kept] for each in (box, cell, overlap, alignment))
    image = truths.image[box]
    weight = _soft_targets(alignment, overlap, box, len(truths.image))
    return Assignment(image, cell - image * grid.count, box, weight)


def smallest_side(strides: Sequence[float]) -> float:
    """Side in pixels to which boxes are enlarged when cells inside them are looked for: the second finest stride.

    A smaller box may lie between all points, and would be nobody's.
    """
    return sorted(strides)[:2][-1]


def enlarged(boxes_xyxy: Tensor, smallest: float) -> Tensor:
    """Boxes `(T, 4)` with short sides brought to the smallest one, about their centres."""
    low, high = boxes_xyxy.chunk(2, 1)  # (T, 2) each
    missing = (smallest - (high - low)).clamp(min=0) / 2  # (T, 2)
    return torch.cat((low - missing, high + missing), 1)


def _soft_targets(alignment: Tensor, overlap: Tensor, box: Tensor, boxes: int) -> Tensor:
    """`(M,)` what scores should be: the best cell of a box its overlap, the others in proportion to their alignment."""
    values = torch.stack((alignment, overlap))  # (2, M)
    most = values.new_zeros(2, boxes).scatter_reduce_(1, box.expand(2, -1), values, "amax")  # (2, T)
    most_aligned, most_overlap = most.index_select(1, box)  # (M,) each
    return alignment / (most_aligned + _ALIGNMENT_EPS) * most_overlap


class _Match:
    """How well cells predict true boxes, for any pairs; cells are numbered through all images."""

    def __init__(self, predicted: Predicted, truths: Truths) -> None:
        self._predicted = features_of(predicted.boxes_xyxy.flatten(0, 1))  # (8, B * N)
        self._true = truths.features  # (8, T)
        self._logits = predicted.class_logits.flatten(0, 1)  # (B * N, nc)
        self._label = truths.label  # (T,)

    def overlap(self, box: Tensor, cell: Tensor) -> Tensor:
        """`(P,)` complete IoU; 0 where it is negative, or undefined since a box has no size."""
        found = complete_iou(self._predicted.index_select(1, cell), self._true.index_select(1, box))
        return torch.where(found > 0, found, 0)

    def alignment(self, box: Tensor, cell: Tensor, overlap: Tensor) -> Tensor:
        """`(P,)` how well score and box agree: the root of the score times the overlap to the power of 6."""
        score = self._logits[cell, self._label.index_select(0, box)].sigmoid()  # (P,) of the box's class
        return score.sqrt() * (overlap.square() * overlap).square()


def _best_of_each(value: Tensor, box: Tensor, boxes: int, count: int) -> Tensor:
    """Which of P pairs have one of the highest values of their box, in any order; those of value 0 never.

    Sorting all of them would take most of the time. A box's cells are dealt into groups: the `count`-th best of the
    groups' best is a bound that the `count` best ones of the box reach, and few others.

    Args:
        value: `(P,)`, 0 or more.
        box: `(P,)` 0 to `boxes` - 1; rising.
    """
    group = box * _GROUPS + torch.arange(len(box), device=box.device) % _GROUPS  # (P,)
    best = value.new_zeros(boxes * _GROUPS).scatter_reduce_(0, group, value, "amax")
    bound = best.view(boxes, _GROUPS).topk(count).values[:, -1].contiguous()  # (boxes,)
    likely = torch.where((value >= bound.index_select(0, box)) & (value > 0))[0]
    return likely[_first_of_each(value[likely], box[likely], count)]


def _first_of_each(value: Tensor, box: Tensor, count: int) -> Tensor:
    """Which of P pairs have one of the `count` highest values of their box; of equal ones the first."""
    order = ((box << 32) + (_LAST - _bits(value))).sort(stable=True).indices  # (P,) by box, then from the highest value
    of_box = box[order]  # (P,) rising
    rank = torch.arange(len(order), device=order.device) - torch.searchsorted(of_box, of_box)  # (P,) in its box
    return order[rank < count]


def _bits(value: Tensor) -> Tensor:
    """float32 numbers that are not negative as int64 ones of the same order, below 2^31."""
    return value.view(torch.int32).long()


def _packed(overlap: Tensor, box: Tensor) -> Tensor:
    """An overlap and a box as one whole number: larger for more overlap, then for an earlier box."""
    return (_bits(overlap) << 32) + (_LAST - box)


def _unpacked(pair: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap and box of what `_packed` made."""
    return (pair >> 32).int().view(torch.float32), _LAST - (pair & _LAST)
