"""Regions to ignore in evaluation: crowds of every class, which no class counts."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from data.coco.records import CocoSplit, load_split
from data.coco.source import CocoFile, ScanSettings
from data.loading.loader import build_loader
from engine.metrics.coco import CocoEvaluator, GroundTruth
from engine.metrics.confusion import ConfusionMatrix
from engine.metrics.evaluate import evaluate
from models import build_model

SIDE = 100
REGION = [50, 50, 50, 50]


@pytest.fixture
def document() -> dict:
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": SIDE, "height": SIDE} for n in (1, 2)],
        "categories": [{"id": 2, "name": "dog"}, {"id": 4, "name": "cat"}, {"id": 7, "name": "DontCare"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [0, 0, 20, 20]},
            {"id": 2, "image_id": 1, "category_id": 4, "bbox": [20, 0, 20, 20]},
            {"id": 3, "image_id": 1, "category_id": 7, "bbox": REGION},
            {"id": 4, "image_id": 2, "category_id": 7, "bbox": REGION},
        ],
    }


@pytest.fixture
def split(tmp_path: Path, document: dict) -> CocoSplit:
    for entry in document["images"]:
        cv2.imwrite(str(tmp_path / entry["file_name"]), np.full((SIDE, SIDE, 3), 90, np.uint8))
    (tmp_path / "a.json").write_text(json.dumps(document))
    return load_split(CocoFile(tmp_path / "a.json", tmp_path), ScanSettings(ignore=("DontCare",)), cache=False)


def found(category: int, *bbox: float, score: float, image: int = 1) -> dict:
    return {"image_id": image, "category_id": category, "bbox": list(bbox), "score": score}


FOUND = [
    found(2, 0, 0, 20, 20, score=0.5),
    found(4, 20, 0, 20, 20, score=0.5),
    found(2, 55, 55, 10, 10, score=0.9),  # inside the region
    found(4, 60, 60, 10, 10, score=0.9),
    found(4, 60, 60, 10, 10, score=0.9, image=2),
]


def test_a_region_is_a_crowd_of_every_class(split: CocoSplit, document: dict) -> None:
    metrics = CocoEvaluator(split).measure(FOUND)
    assert [entry.ap for entry in metrics.classes] == [pytest.approx(1.0)] * 2
    # The same by pycocotools on a file that has a crowd of either class in each region's place.
    crowds = [each for each in document["annotations"] if each["category_id"] != 7]
    crowds += [
        {"id": 10 + 2 * image + category, "image_id": image, "category_id": category, "bbox": REGION, "iscrowd": 1}
        for image in (1, 2)
        for category in (2, 4)
    ]
    plain = GroundTruth({**document, "categories": document["categories"][:2], "annotations": crowds})
    assert plain.measure(FOUND).figures == pytest.approx(dict(metrics.figures), nan_ok=True)


def test_outside_of_it_a_false_alarm_is_one(split: CocoSplit) -> None:
    false_alarm = found(4, 20, 55, 55, 10, score=0.9)  # less than half of it inside
    assert CocoEvaluator(split).measure([*FOUND, false_alarm]).classes[1].ap < 0.6


def test_no_class_counts_it(split: CocoSplit) -> None:
    evaluator = CocoEvaluator(split)
    assert [(entry.images, entry.instances) for entry in evaluator.measure(FOUND).classes] == [(1, 1), (1, 1)]
    assert evaluator.differences == ""


def test_a_detection_in_a_region_excuses_any_class() -> None:
    matrix = ConfusionMatrix(2)
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    rows = np.array([[55, 55, 65, 65, 0.9, 1], [10, 10, 30, 30, 0.9, 1]], np.float32)
    matrix.update(rows, *none, np.array([[50, 50, 100, 100]], np.float32))
    assert matrix.counts[-1].tolist() == [0, 1, 0]


def test_a_detection_in_a_region_is_no_false_alarm(split: CocoSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation hands the regions to the confusion matrix."""
    seen = []
    monkeypatch.setattr(ConfusionMatrix, "update", lambda self, *arguments: seen.append(arguments[-1]))
    loader = build_loader(split, imgsz=64, batch_size=2)
    head = [[[1, 0], 1, "Detect", ["nc", "anchors"]]]
    backbone = [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]]]
    model = build_model({"nc": 2, "anchors": [[30, 61], [10, 13]], "backbone": backbone, "head": head})
    evaluate(model, loader, CocoEvaluator(split), device=torch.device("cpu"))
    assert [regions.tolist() for regions in seen] == [[[50, 50, 100, 100]]] * 2
