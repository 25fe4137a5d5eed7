"""Does a file that suppresses itself give what it should?

Two boxes of nearly the same score, or an overlap near the threshold, may come out one way there and the other way here,
and both are right. So the detections are not compared one by one. Each has to be one of PyTorch's cells; each of
PyTorch's detections has to be there, or a box that may stand in its place; and none may overlap another too much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from engine.exporting.check import Distance
from engine.options import ExportOptions
from engine.postprocess import select_boxes
from models.heads.base import Predictions

_NEAR = 0.05
"""How far an overlap may be from the threshold, and decide otherwise."""


@dataclass(frozen=True)
class SuppressedComparison:
    """Called with PyTorch's cells and the file's detections of a picture, see `engine.exporting.check.Compare`.

    Attributes:
        options: thresholds.
        score: how far scores may differ.
    """

    options: ExportOptions
    score: float

    def __call__(self, expected: Predictions, actual: Predictions) -> Distance:
        there = actual.scores.amax(1) > 0  # (K,)
        boxes, (scores, labels) = actual.boxes_xyxy[there], actual.scores[there].max(1)  # (n, 4), (n,), (n,)
        found = self._from_cells(expected, boxes, scores, labels)
        if len(boxes) > self.options.topk_all or bool((scores <= self.options.conf_thres - self.score).any()):
            return Distance(found.boxes_px, math.inf, found.cells)
        return found + Distance(0.0, max(self._missing(expected, boxes, scores, labels), self._twins(boxes, labels)))

    def _from_cells(self, expected: Predictions, boxes: Tensor, scores: Tensor, labels: Tensor) -> Distance:
        """How far each detection is from the cell that it is nearest to, among those with that class."""
        total = Distance()
        for box, score, label in zip(boxes, scores, labels, strict=True):
            sides = (expected.boxes_xyxy - box).abs().amax(1)  # (N,) pixels
            off = (expected.scores[:, label] - score).abs()  # (N,)
            cell = int((sides + off / max(self.score, 1e-9)).argmin())
            total += Distance(float(sides[cell]), float(off[cell]), 1)
        return total

    def _missing(self, expected: Predictions, boxes: Tensor, scores: Tensor, labels: Tensor) -> float:
        """The highest score of a detection that neither is there nor may have been suppressed; 0 for none."""
        (wanted,) = select_boxes(
            Predictions(expected.boxes_xyxy[None], expected.scores[None]),
            conf_thres=self.options.conf_thres,
            iou_thres=self.options.iou_thres,
            max_det=self.options.topk_all,
            agnostic=self.options.agnostic_nms,
        )  # (m, 6)
        wanted = wanted[wanted[:, 4] > self.options.conf_thres + self.score]
        if len(boxes) == self.options.topk_all:  # what is weaker than the last one had no place
            wanted = wanted[wanted[:, 4] > scores.min() + self.score]
        replaces = box_iou(wanted[:, :4], boxes) > self.options.iou_thres - _NEAR  # (m, n)
        replaces &= scores[None] > wanted[:, 4:5] - self.score
        if not self.options.agnostic_nms:
            replaces &= labels[None] == wanted[:, 5:6]
        missing = wanted[~replaces.any(1), 4]
        return float(missing.max()) if len(missing) else 0.0

    def _twins(self, boxes: Tensor, labels: Tensor) -> float:
        """1 where two detections of a class overlap by more than they may; else 0."""
        overlap = torch.triu(box_iou(boxes, boxes), 1)  # (n, n)
        if not self.options.agnostic_nms:
            overlap = overlap * (labels[:, None] == labels[None])
        return float(bool((overlap > self.options.iou_thres + _NEAR).any()))
