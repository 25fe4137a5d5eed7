"""The whole way from a photograph to its boxes, against what a reference finds with YOLOv5n's own weights."""

from __future__ import annotations

import json
import pickle
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.backends import open_backend
from engine.checkpoint import save_checkpoint
from engine.predict import Predictor
from models import build_model

SHARED = Path(__file__).parents[2].parent / "shared"
GOLDEN = SHARED / "golden" / "coco_photos.json"
WEIGHTS = SHARED / "weights" / "yolov5n.pt"

pytestmark = pytest.mark.skipif(not (GOLDEN.is_file() and WEIGHTS.is_file()), reason="shared/golden is not here")

_TENSOR_PARTS = {
    ("__builtin__", "set"),
    ("builtins", "set"),
    ("collections", "OrderedDict"),
    ("torch", "FloatStorage"),
    ("torch", "HalfStorage"),
    ("torch", "LongStorage"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor_v2"),
}


class _TensorsOnly(pickle.Unpickler):
    """Builds tensors; every other class in the file becomes an empty module, so that none of its code runs."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name) if (module, name) in _TENSOR_PARTS else type(name, (nn.Module,), {})


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    reader: Any = types.ModuleType("reader")
    reader.Unpickler = _TensorsOnly
    stored = torch.load(WEIGHTS, map_location="cpu", pickle_module=reader, weights_only=False)
    model = build_model("yolov5n.yaml")
    model.load_state_dict(stored["model"].float().state_dict())
    path = tmp_path_factory.mktemp("weights") / "yolov5n.pt"
    content = {"names": [str(index) for index in range(80)], "category_ids": list(range(80)), "imgsz": 640, "data": ""}
    save_checkpoint(path, {"model": model.state_dict(), "yaml": model.yaml, **content})
    return Predictor(open_backend(path, device=torch.device("cpu")), conf_thres=0.25, iou_thres=0.45)


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
