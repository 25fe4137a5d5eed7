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
from torchvision.ops import complete_box_iou_loss

from models.losses.cells import Cells, Shapes, cells_to_ignore
from models.losses.targets import Targets, boxes_in_pixels
from models.losses.task_aligned import MANY, ONE, Assignment, Predicted, Rule, assign

SIDES = 4  # left, top, right, bottom
_MARGIN = 0.01  # cells; a distance lies between two bins, so it stays so far below the last one

# Share of the one-to-many pair of branches in the loss of two: it leads at the beginning, the other one at the end.
_MANY_AT_START, _MANY_AT_END = 0.8, 0.1


class AnchorFreeHead(Protocol):
    """What the loss reads from a head.

    Attributes:
        stride: `(levels,)` input pixels per cell.
        nc, reg_max: classes; bins of a distance, or 1 where distances are raw numbers.
        dfl: from box logits `(B, 4 * reg_max, N)` to distances `(B, 4, N)` in cells.
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
    """

    def __init__(self, head: AnchorFreeHead, gains: Mapping[str, float]) -> None:
        super().__init__()
        # In a tuple, so that the head does not become a sub-module of its own loss.
        self._head = (head,)
        self.strides = tuple(float(stride) for stride in head.stride.tolist())  # on the host: read at every step
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
        head = self._head[0]
        shapes = [(level.shape[2], level.shape[3]) for level in logits]
        flat = torch.cat([level.flatten(2) for level in logits], 2).float()  # (B, 4 * reg_max + nc, N)
        cells = Cells.of_maps(shapes, self.strides, flat)
        box_logits, class_logits = self._split(flat.detach())
        predicted = Predicted(cells.boxes_xyxy(head.dfl(box_logits)), class_logits)
        found = assign(predicted, targets, shapes, self.strides, rule)
        matched = flat[found.image, :, found.cell].T[None]  # (1, 4 * reg_max + nc, M)
        box_loss, distance_loss = self._box_losses(self._split(matched)[0], cells.some(found.cell), found, targets)
        total = found.weight.sum().clamp(min=1)
        losses = {
            "box": (box_loss * found.weight).sum(),
            "cls": self._class_loss(flat, matched, found, targets, shapes),
            "dfl": (distance_loss * found.weight).sum(),
        }
        return {name: loss / total * self.gains[name] for name, loss in losses.items()}

    def _split(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(B, 4 * reg_max + nc, N)` to those of boxes and those of classes."""
        head = self._head[0]
        box_logits, class_logits = flat.split((SIDES * head.reg_max, head.nc), 1)
        return box_logits, class_logits

    def _box_losses(
        self, box_logits: Tensor, cells: Cells, found: Assignment, targets: Targets
    ) -> tuple[Tensor, Tensor]:
        """`(M,)` one minus complete IoU, and `(M,)` the loss of the distances, from logits `(1, 4 * reg_max, M)`."""
        head = self._head[0]
        truth = boxes_in_pixels(targets.boxes[found.box, 2:], targets.input_hw)  # (M, 4)
        distances = head.dfl(box_logits)  # (1, 4, M) cells
        overlap_loss = complete_box_iou_loss(cells.boxes_xyxy(distances)[0].T, truth)  # (M,)
        wanted = cells.distances(truth.T[None])  # (1, 4, M) cells
        if head.reg_max > 1:
            return overlap_loss, distribution_loss(box_logits[0].unflatten(0, (SIDES, head.reg_max)), wanted[0])
        height, width = targets.input_hw
        of_input = cells.side / cells.side.new_tensor((width, height, width, height))[:, None]  # (4, M)
        return overlap_loss, ((distances - wanted)[0].abs() * of_input).mean(0)

    def _class_loss(self, flat: Tensor, matched: Tensor, found: Assignment, targets: Targets, shapes: Shapes) -> Tensor:
        """The sum of the cross-entropies of all cells and classes, from all logits and the matched ones."""
        # The cross-entropy of a logit x with a target y is softplus(x) - x * y. Nearly all targets are 0.
        empty = functional.softplus(self._split(flat)[1])  # (B, nc, N)
        if len(targets.ignore):
            ignored = cells_to_ignore(targets, len(flat), shapes, self.strides)  # (B, N)
            ignored[found.image, found.cell] = False
            empty = empty.masked_fill(ignored[:, None], 0)
        label = targets.boxes[found.box, 1].long()  # (M,)
        of_label = self._split(matched)[1][0].gather(0, label[None])[0]  # (M,)
        return empty.sum() - (of_label * found.weight).sum()


def distribution_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Cross-entropy of the two bins that a distance lies between, by nearness, as a mean over the sides.

    Args:
        logits: `(4, reg_max, M)`.
        distances: `(4, M)` in cells; brought into the bins' range.

    Returns:
        `(M,)`.
    """
    wanted = distances.clamp(0, logits.shape[1] - 1 - _MARGIN)[:, None]  # (4, 1, M)
    below = wanted.floor()
    above = wanted - below  # share of the bin above
    logarithms = logits.log_softmax(1)  # (4, reg_max, M)
    bin_below = below.long()
    near = logarithms.gather(1, bin_below) * (1 - above) + logarithms.gather(1, bin_below + 1) * above  # (4, 1, M)
    return -near[:, 0].mean(0)
