"""YOLOv5n's own weights as an ONNX file: on photographs it finds what the reference finds, and its AP is the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from engine import ExportOptions, ValOptions, export, validate
from engine.backends import open_backend
from engine.detect.predictor import Predictor
from models.weights.source import load_source
from tests.engine.detect.test_golden_photos import GOLDEN, WEIGHTS, _photo

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TORCH < (2, 5), reason="torch 2.4's ONNX exporter takes no dynamic shapes"),
    pytest.mark.skipif(not (GOLDEN.is_file() and WEIGHTS.is_file()), reason="shared/golden is not here"),
]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data-set YAML of the photographs, whose annotations are what the reference detects; the weights beside it."""
    folder = tmp_path_factory.mktemp("photographs")
    classes = load_source(WEIGHTS).classes
    assert classes is not None
    images, boxes = [], []
    for number, (name, entry) in enumerate(json.loads(GOLDEN.read_text()).items()):
        cv2.imwrite(str(folder / f"{name}.png"), _photo(name))
        images.append({"id": number, "file_name": f"{name}.png", "width": entry["width"], "height": entry["height"]})
        for found in entry["detections"]:
            x1, y1, x2, y2 = found["box"]
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": found["class_index"]}
            boxes.append({"id": len(boxes), "image_id": number, **box})
    categories = [{"id": index, "name": name} for index, name in enumerate(classes.names)]
    (folder / "all.json").write_text(json.dumps({"images": images, "categories": categories, "annotations": boxes}))
    split = {"images": str(folder), "annotations": str(folder / "all.json")}
    (folder / "data.yaml").write_text(yaml.safe_dump({"train": split, "val": split}))
    shutil.copy(WEIGHTS, folder / "yolov5n.pt")
    return folder / "data.yaml"


@pytest.mark.parametrize("nms", [False, True])
def test_the_file_finds_what_the_reference_finds(nms: bool, photographs: Path) -> None:
    folder = photographs.parent
    (result,) = export(ExportOptions(str(folder / "yolov5n.pt"), data=str(photographs), dynamic=True, nms=nms))
    predictor = Predictor(open_backend(result.path, device=torch.device("cpu")), conf_thres=0.25, iou_thres=0.45)
    for name, golden in json.loads(GOLDEN.read_text()).items():
        found, expected = predictor(_photo(name)), golden["detections"]
        assert found.class_id.tolist() == [detection["class_index"] for detection in expected]
        boxes = np.array([detection["box"] for detection in expected]).reshape(-1, 4)
        np.testing.assert_allclose(found.xyxy, boxes, atol=1)
        np.testing.assert_allclose(found.confidence, [detection["score"] for detection in expected], atol=0.01)
    common = {"data": str(photographs), "workers": 0, "device": "cpu", "project": str(folder / "runs")}
    thresholds = {"conf_thres": 0.25, "iou_thres": 0.45} if nms else {}
    measured, trained = (
        validate(ValOptions(str(weights), **common, **thresholds)).metrics  # type: ignore[arg-type]
        for weights in (result.path, folder / "yolov5n.pt")
    )
    assert trained.ap > 0.7
    assert measured.ap == pytest.approx(trained.ap, abs=1e-3)
