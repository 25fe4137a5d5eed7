"""Confusion matrix of a detector: what each true object was taken for; "background" for misses and false alarms."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.ops import box_iou

CROWD_COVER = 0.5
"""A box with at least this share of its area inside a crowd region of its class is no false alarm."""


class ConfusionMatrix:
    """Counts, over images, which class each true box was detected as.

    Detections at or below the score threshold do not count. A detection and a true box can be a pair when their IoU is
    above the threshold, whatever their classes; pairs are made greedily, the largest IoU first, each box once.

    Attributes:
        counts: `(nc + 1, nc + 1)` int64, rows true class, columns predicted class; the last row holds false alarms, the
            last column misses.
    """

    def __init__(self, num_classes: int, conf_thres: float = 0.25, iou_thres: float = 0.45) -> None:
        self.num_classes = num_classes
        self.conf_thres = conf_thres
        self.iou_thres = iou_thres
        self.counts = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)

    def update(
        self,
        predictions: np.ndarray,
        boxes_xyxy: np.ndarray,
        labels: np.ndarray,
        crowd: np.ndarray,
        regions_xyxy: np.ndarray | None = None,
    ) -> None:
        """Adds one image; predictions and boxes in the same pixels.

        Args:
            predictions: `(n, 6)` x1, y1, x2, y2, score, class.
            boxes_xyxy: `(m, 4)` true boxes.
            labels: `(m,)` their classes.
            crowd: `(m,)` bool, the box marks a crowd: it cannot be missed, and detections inside are no false alarms.
            regions_xyxy: `(r, 4)` regions that are crowds of every class; None for none.
        """
        predictions = predictions[predictions[:, 4] > self.conf_thres]  # (p, 6)
        predicted = predictions[:, 5].astype(np.int64)  # (p,)
        single_boxes, single_labels = boxes_xyxy[~crowd], labels[~crowd]  # (s, 4), (s,)
        iou = box_iou(_tensor(single_boxes), _tensor(predictions[:, :4])).numpy()  # (s, p)
        paired_true, paired_predicted = _greedy_pairs(iou, self.iou_thres)  # as many rows as columns of `iou`
        # `add.at` counts a cell as often as it is named, which `+=` would not.
        np.add.at(self.counts, (single_labels[paired_true], predicted[paired_predicted]), 1)

        missed = np.delete(single_labels, paired_true)
        self.counts[:-1, -1] += np.bincount(missed, minlength=self.num_classes)  # (nc,)
        excused = _inside_crowd(predictions, boxes_xyxy[crowd], labels[crowd])  # (p,)
        if regions_xyxy is not None:
            excused |= _inside_crowd(predictions, regions_xyxy)
        excused[paired_predicted] = True
        self.counts[-1, :-1] += np.bincount(predicted[~excused], minlength=self.num_classes)

    def normalized(self) -> np.ndarray:
        """`(nc + 1, nc + 1)` float: shares of each true class (rows add up to 1); nan for a row without entries."""
        totals = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, totals, out=np.full(self.counts.shape, np.nan), where=totals > 0)


def _greedy_pairs(iou: np.ndarray, threshold: float) -> tuple[list[int], list[int]]:
    """Rows and columns of the pairs above `threshold`, best first, every row and column used at most once."""
    rows, columns = np.nonzero(iou > threshold)
    best_first = np.argsort(-iou[rows, columns], kind="stable")
    pairs: dict[int, int] = {}
    used: set[int] = set()
    for row, column in zip(rows[best_first].tolist(), columns[best_first].tolist(), strict=True):
        if row not in pairs and column not in used:
            pairs[row] = column
            used.add(column)
    return list(pairs.keys()), list(pairs.values())


def _inside_crowd(predictions: np.ndarray, crowd_xyxy: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """`(p,)` bool: the prediction lies mostly inside one of c crowd regions, of its own class where these have one."""
    boxes = predictions[:, None, :4]  # (p, 1, 4)
    top_left = np.maximum(boxes[..., :2], crowd_xyxy[None, :, :2])  # (p, c, 2)
    bottom_right = np.minimum(boxes[..., 2:], crowd_xyxy[None, :, 2:])  # (p, c, 2)
    covered = np.clip(bottom_right - top_left, 0, None).prod(axis=2)  # (p, c): common area
    area = (boxes[..., 2:] - boxes[..., :2]).prod(axis=2)  # (p, 1): of the prediction alone, unlike in an IoU
    inside = covered >= CROWD_COVER * area  # (p, c)
    if labels is not None:
        inside &= predictions[:, None, 5] == labels[None]  # (p, c)
    return inside.any(axis=1)  # (p,)


def _tensor(boxes: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
