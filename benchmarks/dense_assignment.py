"""Task-aligned assignment the usual way, as a yardstick: every box of an image is compared with every cell.

The same rule as `models.losses.task_aligned`, written down directly: tables of images x boxes x cells.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.losses.cells import Grid
from models.losses.targets import Truths
from models.losses.task_aligned import Assignment, Predicted, Rule, enlarged, smallest_side


@torch.no_grad()
def assign_dense(predicted: Predicted, truths: Truths, grid: Grid, rule: Rule) -> Assignment:
    """See `models.losses.task_aligned.assign`, whose results these are. There is at least one box."""
    images, cells, _ = predicted.boxes_xyxy.shape
    row, boxes_xyxy, label, real = _padded(truths, images)  # (B, G), (B, G, 4), (B, G), (B, G)
    candidate = _inside(boxes_xyxy, grid) & real[..., None]  # (B, G, N)
    predictions = predicted.boxes_xyxy[:, None]  # (B, 1, N, 4)
    overlap = complete_iou(predictions, boxes_xyxy[:, :, None]).clamp(min=0)  # (B, G, N)
    overlap = torch.where(candidate, overlap, 0.0)
    score = (
        predicted.class_logits.sigmoid().transpose(1, 2).gather(1, label[..., None].expand(-1, -1, cells))
    )  # (B, G, N)
    aligned = score.sqrt() * overlap**6  # (B, G, N)

    taken = _best(aligned, rule.topk) & (aligned > 0)  # (B, G, N)
    contested = taken.sum(1, keepdim=True) > 1  # (B, 1, N)
    most = torch.zeros_like(taken).scatter_(1, overlap.argmax(1, keepdim=True), True)
    taken = torch.where(contested, most, taken)
    if rule.kept is not None:
        taken &= _best(torch.where(taken, aligned, -1.0), rule.kept)
    most_aligned = (aligned * taken).amax(2, keepdim=True)  # (B, G, 1)
    most_overlap = (overlap * taken).amax(2, keepdim=True)
    weight = aligned / (most_aligned + 1e-9) * most_overlap  # (B, G, N)
    image, cell = torch.where(taken.any(1))  # (M,) each
    box = taken.int().argmax(1)[image, cell]  # (M,)
    return Assignment(image, cell, row[image, box], weight[image, box, cell])


def _padded(truths: Truths, images: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Numbers of the true boxes, their corners, classes, and what is no padding, by image: `(B, G, ...)`."""
    counts = truths.image.bincount(minlength=images)
    order = truths.image.argsort(stable=True)
    image = truths.image[order]
    place = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[image]
    row = order.new_zeros(images, max(int(counts.max()), 1))
    real = torch.zeros_like(row, dtype=torch.bool)
    row[image, place], real[image, place] = order, True
    return row, truths.boxes_xyxy[row], truths.label[row], real


def _inside(boxes_xyxy: Tensor, grid: Grid) -> Tensor:
    """`(B, G, N)` whether the points of cells lie inside boxes `(B, G, 4)` of at least the smallest side."""
    points = grid.cells.points * grid.cells.side  # (N, 2)
    low, high = enlarged(boxes_xyxy.flatten(0, 1), smallest_side(grid.strides)).view_as(boxes_xyxy).chunk(2, 2)
    return ((points > low[:, :, None]) & (points < high[:, :, None])).all(3)


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU of boxes `(..., 4)`, broadcast: arXiv 1911.08287, section 3.3."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.unbind(-1), b.unbind(-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    common = width * (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    iou = common / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common + 1e-7)
    across = (torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)) ** 2
    around = across + (torch.maximum(ay2, by2) - torch.minimum(ay1, by1)) ** 2 + 1e-7
    apart = ((ax1 + ax2 - bx1 - bx2) ** 2 + (ay1 + ay2 - by1 - by2) ** 2) / 4
    angles = torch.atan((ax2 - ax1) / (ay2 - ay1)) - torch.atan((bx2 - bx1) / (by2 - by1))
    aspect = 4 / math.pi**2 * angles**2
    return (iou - apart / around - aspect / (aspect - iou + 1 + 1e-7) * aspect).nan_to_num(0.0)


def _best(values: Tensor, count: int) -> Tensor:
    """`(B, G, N)` whether a cell has one of the `count` highest values of its box."""
    chosen = values.topk(min(count, values.shape[2])).indices
    return torch.zeros_like(values, dtype=torch.bool).scatter_(2, chosen, True)
