"""What a training is set up from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.coco.records import CocoSplit, ImageRecord, ScanReport
from engine.training.setup import box_sizes
from files.classes import Classes


def test_sizes_are_those_of_the_network_input() -> None:
    """Long sides become `imgsz`; crowds are no objects."""
    boxes = np.array([[0, 0, 40, 20], [0, 0, 100, 100]], np.float32)
    record = ImageRecord(1, Path("a.jpg"), 200, 100, boxes, np.zeros(2, np.int64), np.array([False, True]))
    split = CocoSplit((record,), Classes.of(["thing"]), Path("a.json"), ScanReport(1, 2, 0, 1, 0))
    assert box_sizes(split, 640).tolist() == [[128, 64]]
