"""What an evaluation leaves behind in its folder: pictures, and the detections as COCO-results JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from data.media.write import write_picture
from engine.metrics.evaluate import EvalResult, Sample
from engine.report.draw import draw_batch
from engine.report.plots import plot_confusion_matrix, plot_precision_recall
from files.atomic import write_json

log = logging.getLogger(__name__)


def save_pictures(result: EvalResult, names: Sequence[str], folder: Path) -> None:
    """Writes PR_curve.png, confusion_matrix.png, and val_batch*_labels.jpg beside val_batch*_pred.jpg."""
    plot_precision_recall(result.metrics, folder / "PR_curve.png")
    plot_confusion_matrix(result.confusion, names, folder / "confusion_matrix.png")
    for number, sample in enumerate(result.samples):
        batch = sample.batch
        captions = [Path(meta.path).name for meta in batch.metas]
        for kind, targets in (("labels", batch.targets), ("pred", predicted_targets(sample))):
            write_jpeg(folder / f"val_batch{number}_{kind}.jpg", draw_batch(batch.images, targets, names, captions))


def predicted_targets(sample: Sample) -> Tensor:
    """A sample's predictions in the layout of targets: `(N, 7)` image index, class, normalised cxcywh, score."""
    height, width = sample.batch.images.shape[2:]
    size = torch.tensor((width, height, width, height))
    rows = [torch.zeros((0, 7))]
    for index, boxes in enumerate(sample.predictions):
        cxcywh = box_convert(boxes[:, :4], "xyxy", "cxcywh") / size  # (n, 4) in 0..1
        rows.append(torch.cat((torch.full((len(boxes), 1), index), boxes[:, 5:6], cxcywh, boxes[:, 4:5]), dim=1))
    return torch.cat(rows)


def write_predictions(detections: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes COCO-results JSON: boxes to a thousandth of a pixel, scores to five decimals."""
    rounded = [
        {**entry, "bbox": [round(value, 3) for value in entry["bbox"]], "score": round(entry["score"], 5)}
        for entry in detections
    ]
    write_json(path, rounded)


def write_jpeg(path: Path, image_bgr: np.ndarray) -> None:
    """Writes a picture `(H, W, 3)` uint8 BGR, whole or not at all; as PNG where it is too large for a JPEG."""
    note = write_picture(path, image_bgr, quality=92).note
    if note:
        log.warning("warning: %s", note)
