"""Which cells of an anchor-free head answer for which box: those that predict it best already.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, arXiv 2108.07755, section 3.2. One cell for one
box: Wang et al., "YOLOv10", NeurIPS 2024, arXiv 2405.14458, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models.losses.cells import MOST_PAIRS, CellRanges, Shapes
from models.losses.targets import Targets, boxes_in_pixels

_ALIGNMENT_EPS = 1e-9
_AREA_EPS = 1e-7  # px^2

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
        boxes_xyxy: `(B, 4, N)` pixels.
        class_logits: `(B, nc, N)`.
    """

    boxes_xyxy: Tensor
    class_logits: Tensor


class Assignment(NamedTuple):
    """The cells that answer for a box: M in all, by image and then by cell.

    Attributes:
        image: `(M,)` int64.
        cell: `(M,)` int64, among the N of the image.
        box: `(M,)` int64, row of the targets' boxes.
        weight: `(M,)` what the class score should be, in [0, 1].
    """

    image: Tensor
    cell: Tensor
    box: Tensor
    weight: Tensor


@torch.no_grad()
def assign(predicted: Predicted, targets: Targets, shapes: Shapes, strides: Sequence[float], rule: Rule) -> Assignment:
    """The assignment of a batch. Of cells that are equally good the first one counts, and so it is with boxes.

    Args:
        shapes, strides: of the levels, in the order of the cells; strides in pixels.
    """
    match = _Match(predicted, targets)
    ranges = CellRanges.inside(_enlarged(match.boxes_xyxy, smallest_side(strides)), shapes, strides)
    asking = torch.zeros(match.cells, dtype=torch.int64, device=match.image.device)  # (B * N,) boxes that ask for it
    owner = torch.full_like(asking, -1)  # (B * N,) one of them
    nearest = torch.full_like(asking, -1)  # (B * N,) the box that overlaps most, in the low bits, behind the overlap
    for start, end in ranges.chunks(MOST_PAIRS):
        box, cell, place = ranges.pairs(start, end)  # (P,) each
        cell = match.across_images(box, cell)
        overlap = match.overlap(box, cell)  # (P,)
        meeting = torch.where(overlap > 0)[0]  # predictions elsewhere are out of the question, and are many
        box, cell, place, overlap = box[meeting], cell[meeting], place[meeting], overlap[meeting]
        nearest.scatter_reduce_(0, cell, (_bits(overlap) << 32) + (_LAST - box), "amax")
        chosen = _best_of_each(match.alignment(box, cell, overlap), box - start, end - start, place, rule.topk)
        asking.scatter_add_(0, cell[chosen], torch.ones_like(chosen))
        owner.scatter_reduce_(0, cell[chosen], box[chosen], "amax")
    # Where several boxes ask, the one of all boxes that overlaps most gets the cell, even if it did not ask itself.
    owner = torch.where(asking > 1, _LAST - (nearest & _LAST), owner)
    cell = torch.where(owner >= 0)[0]  # (M,)
    return _with_weights(match, owner[cell], cell, rule.kept)


def _with_weights(match: _Match, box: Tensor, cell: Tensor, kept: int | None) -> Assignment:
    """The assignment from pairs of a box `(M,)` and a cell `(M,)` among those of all images."""
    overlap = match.overlap(box, cell)  # (M,)
    alignment = match.alignment(box, cell, overlap)  # (M,)
    if kept is not None:
        best = _first_of_each(alignment, box, kept).sort().values
        box, cell, overlap, alignment = box[best], cell[best], overlap[best], alignment[best]
    most = overlap.new_zeros(2, len(match.image))  # (2, T) over the cells of each box
    most_aligned, most_overlap = most.scatter_reduce_(
        1, box.expand(2, -1), torch.stack((alignment, overlap)), "amax"
    )  # (T,) each
    weight = alignment / (most_aligned + _ALIGNMENT_EPS)[box] * most_overlap[box]
    image = match.image[box]
    return Assignment(image, cell - image * match.cells_per_image, box, weight)


def smallest_side(strides: Sequence[float]) -> float:
    """Side in pixels to which boxes are enlarged when cells inside them are looked for: the second finest stride.

    A smaller box may lie between all points, and would be nobody's.
    """
    return sorted(strides)[:2][-1]


def _enlarged(boxes_xyxy: Tensor, smallest: float) -> Tensor:
    """Boxes `(T, 4)` with short sides brought to the smallest one, about their centres."""
    low, high = boxes_xyxy.chunk(2, 1)  # (T, 2) each
    missing = (smallest - (high - low)).clamp(min=0) / 2  # (T, 2)
    return torch.cat((low - missing, high + missing), 1)


class _Match:
    """How well the box of a cell and a true box agree, for any pairs.

    Attributes:
        boxes_xyxy: `(T, 4)` true boxes in pixels; image: `(T,)` int64.
        cells, cells_per_image: B * N, and N.
    """

    def __init__(self, predicted: Predicted, targets: Targets) -> None:
        _, classes, self.cells_per_image = predicted.class_logits.shape
        self.boxes_xyxy = boxes_in_pixels(targets.boxes[:, 2:], targets.input_hw)
        self.image, label = targets.boxes[:, :2].T.long()  # (T,) each
        self.cells = len(predicted.boxes_xyxy) * self.cells_per_image
        self._logits = predicted.class_logits.reshape(-1)  # (B * nc * N,)
        # (T,) from the number of a cell to the place of its logit for the box's class
        self._to_logit = (self.image * (classes - 1) + label) * self.cells_per_image
        self._predicted = _with_angle(predicted.boxes_xyxy.transpose(0, 1).flatten(1))  # (5, B * N)
        self._true = _with_angle(self.boxes_xyxy.T)  # (5, T)

    def across_images(self, box: Tensor, cell: Tensor) -> Tensor:
        """`(P,)` number of a cell among those of all images, from that in the image of the box."""
        return cell + (self.image * self.cells_per_image)[box]

    def overlap(self, box: Tensor, cell: Tensor) -> Tensor:
        """`(P,)` complete IoU, 0 where it is negative: Zheng et al., AAAI 2020, arXiv 1911.08287, section 3.3.

        torchvision's loss says the same of the few pairs that are learnt from. Here are millions, so angles are taken
        once for each box, and coordinates lie together.
        """
        x1, y1, x2, y2, angle = self._predicted.index_select(1, cell)  # (P,) each
        true_x1, true_y1, true_x2, true_y2, true_angle = self._true.index_select(1, box)
        width = (torch.minimum(x2, true_x2) - torch.maximum(x1, true_x1)).clamp_(min=0)
        common = (torch.minimum(y2, true_y2) - torch.maximum(y1, true_y1)).clamp_(min=0).mul_(width)  # (P,) px^2
        areas = (x2 - x1) * (y2 - y1) + (true_x2 - true_x1) * (true_y2 - true_y1)
        iou = common / (areas - common + _AREA_EPS)
        across = (torch.maximum(x2, true_x2) - torch.minimum(x1, true_x1)).square_()
        around = across.add_((torch.maximum(y2, true_y2) - torch.minimum(y1, true_y1)).square_()).add_(_AREA_EPS)
        # four times the squared distance of the centres
        apart = (x1 + x2 - true_x1 - true_x2).square_().add_((y1 + y2 - true_y1 - true_y2).square_())
        aspect = (angle - true_angle).square_()
        trade_off = aspect / (aspect - iou + (1 + _AREA_EPS))
        return (iou - apart / (4 * around) - trade_off * aspect).clamp_(min=0)

    def alignment(self, box: Tensor, cell: Tensor, overlap: Tensor) -> Tensor:
        """`(P,)` how well cells predict boxes: the root of the score times the overlap to the power of 6."""
        score = self._logits[cell + self._to_logit[box]].sigmoid()  # (P,) of the box's class
        return score.sqrt() * (overlap * overlap * overlap).square()


def _with_angle(boxes_xyxy: Tensor) -> Tensor:
    """Boxes `(4, n)` with the angle of their diagonals as a share of a right angle: `(5, n)`."""
    width, height = boxes_xyxy[2] - boxes_xyxy[0], boxes_xyxy[3] - boxes_xyxy[1]
    return torch.cat((boxes_xyxy, torch.atan(width / height)[None] * (2 / math.pi)))


def _best_of_each(value: Tensor, box: Tensor, boxes: int, place: Tensor, count: int) -> Tensor:
    """Which of P pairs have one of the highest values of their box, in any order; those of value 0 never.

    Sorting all of them would take most of the time. A box's cells are dealt into groups: the `count`-th best of the
    groups' best is a bound that the `count` best ones of the box reach, and few others.

    Args:
        value: `(P,)`, 0 or more.
        box: `(P,)` 0 to `boxes` - 1; rising.
        place: `(P,)` of the pair among those of its box.
    """
    groups = value.new_zeros(boxes * _GROUPS).scatter_reduce_(0, box * _GROUPS + place % _GROUPS, value, "amax")
    bound = groups.view(boxes, _GROUPS).topk(count).values[:, -1]  # (boxes,)
    likely = torch.where((value >= bound[box]) & (value > 0))[0]
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
