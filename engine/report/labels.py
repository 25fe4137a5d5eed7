"""The look at the data that a training leaves in its folder."""

from __future__ import annotations

import logging
from pathlib import Path

from data.coco.split import CocoSplit
from models.heads.base import DetectionHead

log = logging.getLogger(__name__)

LABELS = "labels.png"


def draw_labels(train: CocoSplit, val: CocoSplit, head: DetectionHead, imgsz: int, folder: Path, *, title: str) -> None:
    """Writes the sheet about the data beside the head's anchors and strides. A failure is a line, and stops nothing."""
    path = folder / LABELS
    try:
        # Imported late: a training that draws nothing, and a wrong flag, need no matplotlib.
        from data.sheet.facts import Network
        from data.sheet.page import write_sheet

        anchors = head.anchor_sizes().detach().cpu().double().numpy()  # (n, 2)
        strides = tuple(head.stride.tolist())
        network = Network(imgsz, strides, anchors if len(anchors) else None)
        write_sheet(path, title, {"train": train, "val": val}, network)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        log.warning("%s: the data could not be drawn (%s); the training goes on", path, reason)
