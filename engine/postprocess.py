"""From decoded predictions to final boxes: thresholds, then non-maximum suppression by torchvision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_convert

# Suppression costs up to the square of the candidates; only the best this many of an image take part.
MAX_CANDIDATES = 30_000


def non_max_suppression(
    decoded: Tensor,
    *,
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    max_det: int = 300,
    classes: Sequence[int] | None = None,
    agnostic: bool = False,
    multi_label: bool = False,
) -> list[Tensor]:
    """Keeps, per image, the boxes that no better box of the same class overlaps.

    A box's score is objectness times class probability. Anchors with any number that is not finite are dropped.

    Args:
        decoded: `(B, anchors, 5 + nc)`: cx, cy, w, h in input pixels, objectness and class probabilities in [0, 1];
            any floating type (scores are computed in float32).
        conf_thres: objectness and score must both be above it, [0, 1].
        iou_thres: of two boxes of a class whose IoU is above it, the one with the lower score is dropped, [0, 1].
        max_det: at most this many boxes per image, the best ones.
        classes: class indices to keep; None keeps all.
        agnostic: boxes suppress each other across classes as well.
        multi_label: every class above the threshold makes a candidate of its own (what mAP wants); otherwise an
            anchor stands for its best class alone.

    Returns:
        One float32 tensor `(n, 6)` per image: x1, y1, x2, y2 in input pixels (not clipped), score, class index; the
        highest score first, `(0, 6)` where nothing is left.

    Raises:
        ValueError: `decoded` has another shape, or a threshold lies outside [0, 1].
    """
    if decoded.ndim != 3 or decoded.shape[2] < 6:
        raise ValueError(f"decoded must be (B, anchors, 5 + nc) with nc >= 1, got {tuple(decoded.shape)}")
    for name, value in (("conf_thres", conf_thres), ("iou_thres", iou_thres)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value}")
    # Most anchors are dropped here, before anything is copied or converted. A comparison with NaN is False.
    likely = decoded[..., 4] > conf_thres
    kept = []
    for image_rows, image_likely in zip(decoded, likely, strict=True):
        rows = image_rows[image_likely].float()
        rows = rows[rows.isfinite().all(dim=1)]
        candidates = _candidates(rows, conf_thres, classes, multi_label)
        kept.append(_suppress(candidates, iou_thres, max_det, agnostic))
    return kept


def _candidates(rows: Tensor, conf_thres: float, classes: Sequence[int] | None, multi_label: bool) -> Tensor:
    """`(m, 5 + nc)` -> `(k, 6)` xyxy, score, class; the best `MAX_CANDIDATES` by score."""
    class_scores = rows[:, 5:] * rows[:, 4:5]
    if multi_label:
        row_index, labels = (class_scores > conf_thres).nonzero(as_tuple=True)
        scores = class_scores[row_index, labels]
    else:
        scores, labels = class_scores.max(dim=1)
        row_index = (scores > conf_thres).nonzero().flatten()
        scores, labels = scores[row_index], labels[row_index]
    if classes is not None:
        wanted = torch.isin(labels, torch.as_tensor(list(classes), dtype=labels.dtype, device=labels.device))
        row_index, labels, scores = row_index[wanted], labels[wanted], scores[wanted]
    if len(scores) > MAX_CANDIDATES:
        scores, best = scores.topk(MAX_CANDIDATES)
        row_index, labels = row_index[best], labels[best]
    boxes_xyxy = box_convert(rows[row_index, :4], "cxcywh", "xyxy")
    return torch.cat((boxes_xyxy, scores[:, None], labels[:, None].to(boxes_xyxy.dtype)), dim=1)


def _suppress(candidates: Tensor, iou_thres: float, max_det: int, agnostic: bool) -> Tensor:
    groups = torch.zeros_like(candidates[:, 5]) if agnostic else candidates[:, 5]
    keep = batched_nms(candidates[:, :4], candidates[:, 4], groups, iou_thres)
    return candidates[keep[:max_det]]
