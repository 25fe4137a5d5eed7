"""YOLOv8, 10, 11, 12 and 26 agree with the golden files: keys and shapes in their order, strides, and both heads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import Detector, build_model
from models.config.reader import load_config
from models.heads.base import DetectionHead
from models.parser import build_rows
from models.summary import count_parameters
from tests.models.golden import fill, golden_image
from tests.places import GOLDEN

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared/golden")

SMALL = ["yolov8n", "yolov8n-ghost", "yolov8n-p2", "yolov8n-p6", "yolov10n", "yolo11n", "yolo26n"]
MORE = ["yolov8s", "yolov10s", "yolo11s", "yolo26s", "yolo26n-p2", "yolo26n-p6"]
LARGE = ["yolov8m", "yolov8l", "yolov8x", "yolo11m", "yolo11l", "yolo11x", "yolo26m"]
IN_DOUBLE = ["yolo12n", "yolo12s"]  # with these weights float32's rounding alone moves boxes


def of(name: str) -> tuple[dict[str, Any], Any]:
    golden = np.load(GOLDEN / f"yolo_{name}.npz")
    return json.loads(str(golden["meta"])), golden


@pytest.mark.parametrize("name", [*SMALL, *MORE, *LARGE, *IN_DOUBLE])
def test_keys_shapes_and_count_are_the_golden_ones(name: str) -> None:
    """Without storage, so that the largest one is no dearer than the smallest."""
    meta, golden = of(name)
    with torch.device("meta"):
        modules = nn.Sequential(*build_rows(load_config(f"{name}.yaml"))[1])
    shapes = [(f"model.{key}", list(value.shape)) for key, value in modules.state_dict().items()]
    assert shapes == list(json.loads(str(golden["keys"])).items())
    assert count_parameters(modules) == meta["parameters"]


@pytest.mark.parametrize(
    "name",
    [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in [*MORE, *LARGE])],
)
def test_strides_and_outputs_are_the_golden_ones(name: str) -> None:
    check_outputs(fill(build_model(name)), golden_image(), *of(name))


@pytest.mark.parametrize("name", [IN_DOUBLE[0], pytest.param(IN_DOUBLE[1], marks=pytest.mark.slow)])
def test_outputs_in_double_precision_are_the_golden_ones(name: str) -> None:
    check_outputs(fill(build_model(name)).double(), golden_image().double(), *of(name))


@torch.no_grad()
def check_outputs(model: Detector, image: Tensor, meta: dict[str, Any], golden: Any) -> None:
    assert model.stride.tolist() == meta["strides"]
    assert model.num_classes == meta["nc"]
    logits, levels = model.logits(image), len(model.stride)
    check_branch(model.head, logits[:levels], golden, "one2many")
    if "one2one_head" in golden:
        check_branch(model.head, logits, golden, "one2one")
        assert not model.head.needs_suppression
    else:
        assert len(logits) == levels
        assert model.head.needs_suppression


def check_branch(head: DetectionHead, logits: list[Tensor], golden: Any, branch: str) -> None:
    readable = head.readable(logits)[0].double().numpy()  # (N, 4 + nc)
    for actual, expected in [
        (readable[:64], golden[f"{branch}_head"]),
        (np.abs(readable).mean(0, keepdims=True), golden[f"{branch}_mean_abs"][None]),
    ]:
        np.testing.assert_allclose(actual[:, :4], expected[:, :4], rtol=0, atol=1e-3)  # px
        np.testing.assert_allclose(actual[:, 4:], expected[:, 4:], rtol=0, atol=5e-6)
