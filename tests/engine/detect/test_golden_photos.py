"""The whole way from a photograph to its boxes, against what a reference finds with YOLOv5n's own weights."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine.backends import open_backend
from engine.cli.run import run_cli
from engine.cli.val import main
from engine.detect.predictor import Predictor
from models.weights.source import load_source
from tests.places import SHARED

GOLDEN = SHARED / "golden" / "coco_photos.json"
WEIGHTS = SHARED / "weights" / "yolov5n.pt"

pytestmark = pytest.mark.skipif(not (GOLDEN.is_file() and WEIGHTS.is_file()), reason="shared/golden is not here")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(open_backend(WEIGHTS, device=torch.device("cpu")), conf_thres=0.25, iou_thres=0.45)


def _photo(name: str) -> np.ndarray:
    """(H, W, 3) uint8 BGR."""
    if name == "china":
        rgb = pytest.importorskip("sklearn.datasets").load_sample_image("china.jpg")
    else:
        rgb = getattr(pytest.importorskip("skimage.data"), name)()
    return np.ascontiguousarray(rgb[..., ::-1])


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "china"])
def test_photos(name: str, predictor: Predictor) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    image = _photo(name)
    assert image.shape[:2] == (golden["height"], golden["width"])
    found = predictor(image)
    expected = golden["detections"]
    assert found.class_id.tolist() == [detection["class_index"] for detection in expected]
    for box, score, detection in zip(found.xyxy, found.confidence, expected, strict=True):
        assert score == pytest.approx(detection["score"], abs=0.01)
        np.testing.assert_allclose(box, detection["box"], atol=1)


@pytest.mark.slow
def test_val_script_finds_the_same(tmp_path: Path) -> None:
    """val.py over the photographs as a COCO data set whose annotations are what the reference detects.

    For AP, val.py keeps boxes from a score of 0.001 on and suppresses them at another IoU than detect.py; here both are
    told to be the reference's. In batches of one, each photograph gets the smallest input, as the reference gave it. A
    box may count for several classes in val.py, which with these photographs and this threshold none does.
    """
    golden = json.loads(GOLDEN.read_text())
    classes = load_source(WEIGHTS).classes
    assert classes is not None
    names = classes.names
    category_ids = [7 * index + 3 for index in range(len(names))]
    images, annotations = [], []
    for number, (name, entry) in enumerate(golden.items()):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), _photo(name))
        images.append({"id": number, "file_name": f"{name}.png", "width": entry["width"], "height": entry["height"]})
        for detection in entry["detections"]:
            x1, y1, x2, y2 = detection["box"]
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": category_ids[detection["class_index"]]}
            annotations.append({"id": len(annotations) + 1, "image_id": number, **box})
    categories = [{"id": category, "name": name} for category, name in zip(category_ids, names, strict=True)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "photos.json").write_text(json.dumps(content))
    split = "{images: ., annotations: photos.json}"
    (tmp_path / "photos.yaml").write_text(f"train: {split}\nval: {split}\n")

    thresholds = ["--conf-thres", "0.25", "--iou-thres", "0.45", "--imgsz", "640", "--batch-size", "1"]
    data = ["--data", str(tmp_path / "photos.yaml"), "--project", str(tmp_path / "runs"), "--save-json"]
    assert run_cli(main, ["--weights", str(WEIGHTS), *data, *thresholds, "--workers", "0", "--device", "cpu"]) == 0

    found = json.loads((tmp_path / "runs" / "exp" / "predictions.json").read_text())
    assert len(found) == len(annotations) > 0
    for number, entry in enumerate(golden.values()):
        boxes = sorted((box for box in found if box["image_id"] == number), key=lambda box: -box["score"])
        for box, detection in zip(boxes, entry["detections"], strict=True):
            x, y, width, height = box["bbox"]
            assert box["category_id"] == category_ids[detection["class_index"]]
            assert box["score"] == pytest.approx(detection["score"], abs=0.01)
            np.testing.assert_allclose((x, y, x + width, y + height), detection["box"], atol=1)
