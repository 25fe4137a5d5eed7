"""The look at the data in a training's folder: beside what it is drawn, and that it never stops the training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.coco.records import CocoSplit, ScanReport
from engine.report.labels import draw_labels
from files.classes import Classes
from models.heads.anchor_free import AnchorFreeDetect
from models.heads.detect import Detect

SPLIT = CocoSplit((), Classes.of(["a"]), Path("a.json"), ScanReport(0, 0, 0, 0, 0))


def test_it_is_drawn_beside_anchors_and_strides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("data.sheet.page.write_sheet", lambda *given: drawn.append(given))
    anchors = Detect(1, [[10, 13, 16, 30], [116, 90, 156, 198]], (4, 4))
    anchors.set_stride(torch.tensor([8.0, 32.0]))
    draw_labels(SPLIT, SPLIT, anchors, 320, tmp_path, title="my.yaml")
    free = AnchorFreeDetect(1, (4, 4))
    free.set_stride(torch.tensor([8.0, 16.0]))
    draw_labels(SPLIT, SPLIT, free, 640, tmp_path, title="my.yaml")
    (file, title, splits, first), (*_, second) = drawn
    assert (file, title, splits) == (tmp_path / "labels.png", "my.yaml", {"train": SPLIT, "val": SPLIT})
    assert (first.imgsz, first.strides) == (320, (8.0, 32.0))
    np.testing.assert_allclose(first.anchors_wh, [[10, 13], [16, 30], [116, 90], [156, 198]])
    assert (second.imgsz, second.strides, second.anchors_wh) == (640, (8.0, 16.0), None)


def test_a_failure_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no\nroom")

    monkeypatch.setattr("data.sheet.page.write_sheet", fail)
    head = AnchorFreeDetect(1, (4, 4))
    with caplog.at_level(logging.WARNING):
        draw_labels(SPLIT, SPLIT, head, 640, tmp_path, title="my.yaml")
    assert caplog.messages == [
        f"{tmp_path}/labels.png: the data could not be drawn (MemoryError: no room); the training goes on"
    ]
