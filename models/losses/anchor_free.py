"""The loss of an anchor-free head: how far off the cells are that answer for a box, and the scores of all cells.

Three parts: complete IoU (Zheng et al., "Distance-IoU Loss", AAAI 2020, arXiv 1911.08287, section 3.3), the
distribution of distances (Li et al., "Generalized Focal Loss", NeurIPS 2020, arXiv 2006.04388, section 3.2), and
classification by binary cross-entropy against soft targets (see `models.losses.task_aligned`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.losses.cells import Cells, Grid, cells_to_ignore, flattened
from models.losses.overlap import complete_iou, features_of
from models.losses.targets import Targets, Truths
from models.losses.task_aligned import MANY, ONE, Assign, Assignment, Predicted, Rule, assign

SIDES = 4  # left, top, right, bottom
_MARGIN = 0.01  # cells; a distance lies between two bins, so it stays so far below the last one

# Share of the one-to-many pair of branches in the loss of two: it leads at the beginning, the other one at the end.
_MANY_AT_START, _MANY_AT_END = 0.8, 0.1


class AnchorFreeHead(Protocol):
    """What the loss reads from a head.

    Attributes:
        stride: `(levels,)` input pixels per cell.
        nc, reg_max: classes; bins of a distance, or 1 where distances are raw numbers.
        dfl: from box logits `(..., 4 * reg_max)` to distances `(..., 4)` in cells.
    """

    stride: Tensor
    nc: int
    reg_max: int

    @property
    def dfl(self) -> Callable[[Tensor], Tensor]: ...


class AnchorFreeLoss(nn.Module):
    """Box, class and distance loss of raw logits.

    Args:
        head: the head that gives them, with its strides set.
        gains: `box`, `cls`, `dfl`, the weights of the parts.

    Attributes:
        assign: what finds the cells that answer for a box; a benchmark compares another way.
    """

    def __init__(self, head: AnchorFreeHead, gains: Mapping[str, float]) -> None:
        super().__init__()
        # In a tuple, so that the head does not become a sub-module of its own loss.
        self._head = (head,)
        self.strides = tuple(float(stride) for stride in head.stride.tolist())  # on the host: read at every step
        self.assign: Assign = assign
        self.gains = {name: gains[name] for name in ("box", "cls", "dfl")}

    def forward(self, logits: Sequence[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        """The losses `box`, `cls` and `dfl` of a batch: scalars.

        Each is a sum over cells, divided by the sum of the batch's soft targets: it does not grow with the number of
        images, by which the trainer multiplies it. `dfl` is there where distances are raw numbers, too.

        Args:
            logits: per level `(B, 4 * reg_max + nc, H, W)`; with two pairs of branches the levels of the one-to-many
                pair first, then those of the one-to-one pair.
            targets: boxes; and regions in which only those cells count that answer for a box.
            progress: moves the weight from the first pair to the second.
        """
        levels = len(self.strides)
        many = self.pair_losses(logits[:levels], targets, MANY)
        if len(logits) == levels:
            return many
        one = self.pair_losses(logits[levels:], targets, ONE)
        share = _MANY_AT_START + (_MANY_AT_END - _MANY_AT_START) * progress
        return {name: share * many[name] + (1 - share) * one[name] for name in many}

    def pair_losses(self, logits: Sequence[Tensor], targets: Targets, rule: Rule) -> dict[str, Tensor]:
        """The losses of one pair of branches, assigned by this rule; its logits per level as in `forward`."""
        grid = Grid.of(logits, self.strides)
        truths = Truths.of(targets)
        flat = flattened(logits).float()  # (B, N, 4 * reg_max + nc)
        box_logits, class_logits = self._split(flat.detach())
        predicted = Predicted(grid.cells.boxes_xyxy(self._head[0].dfl(box_logits)), class_logits)
        found = self.assign(predicted, truths, grid, rule)
        matched = self._split(flat[found.image, found.cell])  # (M, 4 * reg_max), (M, nc)
        cells, wanted_boxes = grid.cells.some(found.cell), truths.features[:, found.box]  # (8, M)
        overlap_loss, distance_loss = self._box_losses(matched[0], cells, wanted_boxes, targets.input_hw)  # (M,) each
        label = truths.label[found.box]  # (M,)
        # The cross-entropy of a logit x with a target y is softplus(x) - x * y. Nearly all targets are 0.
        wanted = matched[1].gather(1, label[:, None])[:, 0]  # (M,)
        losses = {
            "box": overlap_loss @ found.weight,
            "cls": self._empty_loss(self._split(flat)[1], found, targets, grid) - wanted @ found.weight,
            "dfl": distance_loss @ found.weight,
        }
        total = found.weight.sum().clamp(min=1)
        return {name: loss / total * self.gains[name] for name, loss in losses.items()}

    def _split(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(..., 4 * reg_max + nc)` to those of boxes and those of classes."""
        head = self._head[0]
        box_logits, class_logits = flat.split((SIDES * head.reg_max, head.nc), -1)
        return box_logits, class_logits

    def _box_losses(
        self, box_logits: Tensor, cells: Cells, wanted_boxes: Tensor, input_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """`(M,)` one minus complete IoU, and `(M,)` the loss of the distances.

        Args:
            box_logits: `(M, 4 * reg_max)`.
            wanted_boxes: `(8, M)` features of the true boxes.
        """
        head = self._head[0]
        distances, wanted = head.dfl(box_logits), cells.distances(wanted_boxes[:4].T)  # (M, 4) cells, each
        overlap = complete_iou(features_of(cells.boxes_xyxy(distances)), wanted_boxes)  # (M,)
        if head.reg_max > 1:
            return 1 - overlap, distribution_loss(box_logits.unflatten(1, (SIDES, head.reg_max)), wanted)
        height, width = input_hw
        of_input = cells.side / cells.side.new_tensor((width, height, width, height))  # (M, 4)
        return 1 - overlap, ((distances - wanted).abs() * of_input).mean(1)

    def _empty_loss(self, logits: Tensor, found: Assignment, targets: Targets, grid: Grid) -> Tensor:
        """The sum of the cross-entropies, from logits `(B, N, nc)`, as if no cell answered for a box."""
        losses = functional.softplus(logits)  # (B, N, nc)
        if len(targets.ignore):
            ignored = cells_to_ignore(targets, len(logits), grid)  # (B, N)
            ignored[found.image, found.cell] = False
            losses = losses.masked_fill(ignored[..., None], 0)
        return losses.sum()


def distribution_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy of the two bins that a distance lies between, by nearness, as a mean over the sides.

    Args:
        logits: `(M, 4, reg_max)`.
        distances: `(M, 4)` in cells; brought into the bins' range.

    Returns:
        `(M,)`.
    """
    wanted = distances.clamp(0, logits.shape[2] - 1 - _MARGIN)[..., None]  # (M, 4, 1)
    below = wanted.floor()
    above = wanted - below  # share of the bin above
    bins = torch.cat((below, below + 1), 2).long()  # (M, 4, 2)
    near = logits.log_softmax(2).gather(2, bins) * torch.cat((1 - above, above), 2)  # (M, 4, 2)
    return -near.sum(2).mean(1)
