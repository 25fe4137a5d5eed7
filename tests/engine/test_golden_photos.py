"""The whole way from a photograph to its boxes, against what a reference finds with YOLOv5n's own weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.backends import open_backend
from engine.predict import Predictor

SHARED = Path(__file__).parents[2].parent / "shared"
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
    assert found.classes.tolist() == [detection["class_index"] for detection in expected]
    for box, score, detection in zip(found.boxes_xyxy, found.scores, expected, strict=True):
        assert score == pytest.approx(detection["score"], abs=0.01)
        np.testing.assert_allclose(box, detection["box"], atol=1)
