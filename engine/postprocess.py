"""From a network's predictions to final boxes: thresholds, then non-maximum suppression by torchvision where needed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from models.heads.base import Predictions

# Suppression costs up to the square of the candidates; only the best this many of an image take part.
MAX_CANDIDATES = 30_000


def select_boxes(
    predictions: Predictions,
    *,
    needs_suppression: bool = True,
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    max_det: int = 300,
    classes: Sequence[int] | None = None,
    agnostic: bool = False,
    multi_label: bool = False,
) -> list[Tensor]:
    """Keeps, per image, the boxes that no better box of the same class overlaps.

    Predictions with a number in them that is not finite are dropped.

    Args:
        predictions: of any head.
        needs_suppression: as the head says; without it overlapping boxes stay, and `iou_thres` and `agnostic` mean
            nothing.
        conf_thres: a score must be above it, [0, 1].
        iou_thres: of two boxes of a class whose IoU is above it, the one with the lower score is dropped, [0, 1].
        max_det: at most this many boxes per image, the best ones.
        classes: class indices to keep; None keeps all.
        agnostic: boxes suppress each other across classes as well.
        multi_label: every class above the threshold makes a candidate of its own (what mAP wants); otherwise a
            prediction stands for its best class alone.

    Returns:
        One float32 tensor `(n, 6)` per image: x1, y1, x2, y2 in input pixels (not clipped), score, class index; the
        highest score first, `(0, 6)` where nothing is left.

    Raises:
        ValueError: the predictions have another shape, or a threshold lies outside [0, 1].
    """
    boxes_xyxy, scores = predictions
    _check_shapes(boxes_xyxy, scores)
    for name, value in (("conf_thres", conf_thres), ("iou_thres", iou_thres)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value}")
    # Most predictions are dropped here, before anything is copied or converted; a comparison with NaN is False.
    likely = scores.amax(2) > conf_thres  # (B, N)
    kept = []
    for image_boxes, image_scores, image_likely in zip(boxes_xyxy, scores, likely, strict=True):
        boxes, class_scores = image_boxes[image_likely].float(), image_scores[image_likely].float()  # (m, 4), (m, nc)
        finite = boxes.isfinite().all(1) & class_scores.isfinite().all(1)  # (m,)
        candidates = _candidates(boxes[finite], class_scores[finite], conf_thres, classes, multi_label)
        if needs_suppression:
            kept.append(_suppress(candidates, iou_thres, max_det, agnostic))
        else:
            kept.append(candidates[candidates[:, 4].argsort(descending=True, stable=True)[:max_det]])
    return kept


def _check_shapes(boxes_xyxy: Tensor, scores: Tensor) -> None:
    fits = boxes_xyxy.ndim == scores.ndim == 3 and boxes_xyxy.shape[:2] == scores.shape[:2]
    if not fits or boxes_xyxy.shape[2] != 4 or scores.shape[2] < 1:
        raise ValueError(
            "predictions must be boxes (B, N, 4) and scores (B, N, nc) with nc >= 1, "
            f"got {tuple(boxes_xyxy.shape)} and {tuple(scores.shape)}"
        )


def _candidates(
    boxes: Tensor, class_scores: Tensor, conf_thres: float, classes: Sequence[int] | None, multi_label: bool
) -> Tensor:
    """`(m, 4)` and `(m, nc)` -> `(k, 6)` xyxy, score, class; the best `MAX_CANDIDATES` by score."""
    if multi_label:
        row_index, labels = (class_scores > conf_thres).nonzero(as_tuple=True)  # (k,) each
        scores = class_scores[row_index, labels]
    else:
        scores, labels = class_scores.max(dim=1)  # (m,) each
        row_index = (scores > conf_thres).nonzero().flatten()  # (k,)
        scores, labels = scores[row_index], labels[row_index]
    if classes is not None:
        wanted = torch.isin(labels, torch.as_tensor(list(classes), dtype=labels.dtype, device=labels.device))
        row_index, labels, scores = row_index[wanted], labels[wanted], scores[wanted]
    if len(scores) > MAX_CANDIDATES:
        scores, best = scores.topk(MAX_CANDIDATES)
        row_index, labels = row_index[best], labels[best]
    return torch.cat((boxes[row_index], scores[:, None], labels[:, None].to(boxes.dtype)), dim=1)


def _suppress(candidates: Tensor, iou_thres: float, max_det: int, agnostic: bool) -> Tensor:
    groups = torch.zeros_like(candidates[:, 5]) if agnostic else candidates[:, 5]
    keep = batched_nms(candidates[:, :4], candidates[:, 4], groups, iou_thres)
    return candidates[keep[:max_det]]
