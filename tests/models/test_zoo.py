"""The configurations of this repository, and YOLOv5's other architectures in YOLOv5's own dialect.

Parameter counts are published figures, or follow from the golden files of the five sizes by arithmetic.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from models import Conv, Detector, SAConv2d, SPConv, build_model
from models.blocks.csp import C3
from models.config.reader import load_config
from models.summary import count_flops, count_parameters
from tests.models.swapped import check_stages
from tests.places import GOLDEN

ZOO = Path(__file__).parent / "zoo"
SIZES = {"n": (0.33, 0.25), "s": (0.33, 0.50), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}
P6_ANCHORS = [
    [19, 27, 44, 40, 38, 94],
    [96, 68, 86, 152, 180, 137],
    [140, 301, 303, 264, 238, 542],
    [436, 615, 739, 380, 925, 792],
]


def golden_shapes(size: str) -> dict[str, list[int]]:
    if not GOLDEN.is_dir():
        pytest.skip("needs ../shared/golden")
    return json.loads(str(np.load(GOLDEN / f"yolo_yolov5{size}.npz")["keys"]))


def learned(shapes: dict[str, list[int]]) -> int:
    """Number of parameters in a table of state-dict shapes."""
    buffers = ("running_mean", "running_var", "num_batches_tracked", "anchors")
    return sum(math.prod(shape) for key, shape in shapes.items() if not key.endswith(buffers))


def check_runs(model: Detector) -> None:
    """A forward pass gives as many predictions as there are anchors and cells."""
    size = model.size_divisor
    decoded, logits = model.eval()(torch.rand(1, 3, size, size))
    assert decoded.shape == (1, sum(math.prod(level.shape[1:4]) for level in logits), 85)
    assert [level.shape[2] for level in logits] == [size // int(stride) for stride in model.stride]
    assert decoded.isfinite().all()


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("yolov3", [8, 16, 32]),
        ("yolov3-spp", [8, 16, 32]),
        ("yolov3-tiny", [16, 32]),
        ("yolov5-bifpn", [8, 16, 32]),
        ("yolov5-fpn", [8, 16, 32]),
        ("yolov5-panet", [8, 16, 32]),
        ("yolov5-p2", [4, 8, 16, 32]),
        ("yolov5-p34", [8, 16]),
        ("yolov5-p6", [8, 16, 32, 64]),
        pytest.param("yolov5-p7", [8, 16, 32, 64, 128], marks=pytest.mark.slow),
        ("yolov5s-LeakyReLU", [8, 16, 32]),
        ("yolov5s-ghost", [8, 16, 32]),
        ("yolov5s-transformer", [8, 16, 32]),
    ],
)
def test_yolov5s_other_architectures_parse_and_run(name: str, strides: list[int]) -> None:
    model = build_model(ZOO / f"{name}.yaml")
    assert model.stride.tolist() == strides
    check_runs(model)


# Published counts are those of fused models.
@pytest.mark.parametrize(
    ("name", "parameters"), [("yolov3", 61_922_845), ("yolov3-spp", 62_971_933), ("yolov3-tiny", 8_849_182)]
)
def test_published_parameter_counts(name: str, parameters: int) -> None:
    assert count_parameters(build_model(ZOO / f"{name}.yaml").fuse()) == parameters


@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        ("n", 3_239_884),
        ("s", 12_612_508),
        pytest.param("m", 35_704_908, marks=pytest.mark.slow),
        pytest.param("l", 76_726_332, marks=pytest.mark.slow),
        pytest.param("x", 140_730_220, marks=pytest.mark.slow),
    ],
)
def test_published_parameter_counts_of_the_sizes_with_four_levels(size: str, parameters: int) -> None:
    content = yaml.safe_load((ZOO / "yolov5-p6.yaml").read_text())
    depth, width = SIZES[size]
    model = build_model({**content, "depth_multiple": depth, "width_multiple": width, "anchors": P6_ANCHORS})
    assert model.stride.tolist() == [8, 16, 32, 64]
    pixels = model.head.anchors * model.stride.view(-1, 1, 1)
    assert pixels.flatten(1).tolist() == P6_ANCHORS
    assert count_parameters(model.fuse()) == parameters


@pytest.mark.parametrize(("name", "gflops"), [("yolov3", 155.9), ("yolov3-tiny", 13.2)])
def test_published_operation_counts(name: str, gflops: float) -> None:
    assert count_flops(build_model(ZOO / f"{name}.yaml")) / 1e9 == pytest.approx(gflops, rel=0.01)


def test_same_topology_same_keys() -> None:
    """PANet is the large size; an activation has no weights."""
    for name, size in [("yolov5-panet", "l"), ("yolov5s-LeakyReLU", "s")]:
        state = build_model(ZOO / f"{name}.yaml").state_dict()
        assert {key: list(value.shape) for key, value in state.items()} == golden_shapes(size)


def test_two_levels_are_the_small_size_without_its_last_rows() -> None:
    small = golden_shapes("s")
    gone = ("model.21.", "model.23.", "model.24.m.2.")
    expected = {
        key.replace("model.24.", "model.21."): shape for key, shape in small.items() if not key.startswith(gone)
    }
    expected["model.21.anchors"] = [2, 3, 2]
    state = build_model(ZOO / "yolov5-p34.yaml").state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == expected


def test_the_size_divisor_covers_the_backbone_too() -> None:
    model = build_model(ZOO / "yolov5-p34.yaml")
    assert model.stride.max() == 16
    assert model.size_divisor == 32
    model.eval()(torch.zeros(1, 3, 96, 96))
    with pytest.raises(ValueError, match="multiple of 32"):
        model(torch.zeros(1, 3, 48, 48))


def test_the_second_join_of_bifpn_widens_one_row() -> None:
    # 512 more channels into the two 1x1 convolutions, to 256 each, of row 20
    expected = learned(golden_shapes("l")) + 2 * 512 * 256
    assert count_parameters(build_model(ZOO / "yolov5-bifpn.yaml")) == expected


def test_the_transformer_stage_by_arithmetic() -> None:
    c = 256  # hidden channels of row 8; one block of each kind
    bottleneck = c * c + 2 * c + 9 * c * c + 2 * c
    attention = 3 * c * c + (3 * c * c + 3 * c) + (c * c + c)  # q, k, v; their second projection; the output's
    transformer = (c * c + c) + attention + 2 * c * c  # position, attention, two linear layers without bias
    expected = learned(golden_shapes("s")) - bottleneck + transformer
    assert count_parameters(build_model(ZOO / "yolov5s-transformer.yaml")) == expected


def _conv(c1: int, c2: int, k: int = 1, groups: int = 1) -> int:
    return c1 * c2 * k * k // groups + 2 * c2


def _ghost_conv(c1: int, c2: int, k: int = 1) -> int:
    half = c2 // 2
    return _conv(c1, half, k) + _conv(half, half, 5, half)


def _ghost_c3(c1: int, c2: int, n: int) -> int:
    half = c2 // 2
    bottleneck = _ghost_conv(half, half // 2) + _ghost_conv(half // 2, half)
    return 2 * _conv(c1, half) + _conv(2 * half, c2) + n * bottleneck


def test_the_ghost_network_by_arithmetic() -> None:
    rows = [_conv(3, 32, 6)]
    for c1, c2, n in [(32, 64, 1), (64, 128, 2), (128, 256, 3), (256, 512, 1)]:
        rows += [_ghost_conv(c1, c2, 3), _ghost_c3(c2, c2, n)]
    rows.append(_conv(512, 256) + _conv(1024, 512))
    rows += [_ghost_conv(512, 256), _ghost_c3(512, 256, 1), _ghost_conv(256, 128), _ghost_c3(256, 128, 1)]
    rows += [_ghost_conv(128, 128, 3), _ghost_c3(256, 256, 1), _ghost_conv(256, 256, 3), _ghost_c3(512, 512, 1)]
    rows.append(sum(255 * c + 255 for c in (128, 256, 512)))
    assert count_parameters(build_model(ZOO / "yolov5s-ghost.yaml")) == sum(rows)


def test_the_zoos_activation_reaches_every_convolution() -> None:
    model = build_model(ZOO / "yolov5s-LeakyReLU.yaml")
    acts = [module.act for module in model.modules() if isinstance(module, Conv)]
    assert len(acts) == 57
    assert all(isinstance(act, nn.LeakyReLU) and act.negative_slope == 0.1 for act in acts)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suffix", ["", "-saconv", "-spconv"])
def test_the_sizes_differ_in_their_multiples_only(size: str, suffix: str) -> None:
    content = load_config(f"yolov5{size}{suffix}").plain()
    large = load_config(f"yolov5l{suffix}").plain()
    depth, width = SIZES[size]
    assert content == {**large, "depth_multiple": depth, "width_multiple": width}


@pytest.mark.parametrize(("suffix", "block"), [("saconv", SAConv2d), ("spconv", SPConv)])
def test_the_stages_p3_to_p5_have_no_other_3x3_convolution(suffix: str, block: type[nn.Module]) -> None:
    model, plain = build_model(f"yolov5s-{suffix}"), build_model("yolov5s")
    check_stages(model.model, plain.model, block)


def test_configs_use_no_other_dialect_than_yolov5s() -> None:
    """The plain sizes are read by any YOLOv5 parser: four elements a row, its keys only."""
    content: dict[str, Any] = load_config("yolov5s").plain()
    assert set(content) == {"nc", "depth_multiple", "width_multiple", "anchors", "backbone", "head"}
    assert {len(row) for row in content["backbone"] + content["head"]} == {4}
    assert isinstance(build_model("yolov5s").model[2], C3)
