"""The configurations of YOLOv8, 10, 11, 12 and 26: sizes, variants, and where the other convolutions stand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from models import Detector, SAConv2d, SPConv, build_model
from models.config.reader import SHELF, config_names, load_config
from models.parser import build_rows
from models.summary import count_flops
from tests.models.swapped import check_stages, square_convolutions

V8 = {"n": (0.33, 0.25, 1024), "s": (0.33, 0.5, 1024), "m": (0.67, 0.75, 768), "l": (1, 1, 512), "x": (1, 1.25, 512)}
V11 = {"n": (0.5, 0.25, 1024), "s": (0.5, 0.5, 1024), "m": (0.5, 1, 512), "l": (1, 1, 512), "x": (1, 1.5, 512)}
ONE_SIZE = {"yolov10n": "n", "yolov10s": "s"}
FAMILIES = [file.stem for file in SHELF.files() if not file.stem.startswith("yolov5")]


def sized(family: str, size: str) -> str:
    """`yolov8-p2` and `n`: `yolov8n-p2`."""
    start, _, suffix = family.partition("-")
    return f"{start}{size}{f'-{suffix}' if suffix else ''}"


def modules_without_storage(name: str) -> list[nn.Module]:
    """The rows' modules: enough to count by, and free of cost for the largest size."""
    with torch.device("meta"):
        return build_rows(load_config(name))[1]


def test_every_configuration_is_one_of_these() -> None:
    known = {*ONE_SIZE, *(sized(family, size) for family in FAMILIES if family not in ONE_SIZE for size in V8)}
    assert {name for name in config_names() if not name.startswith("yolov5")} == known


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in ONE_SIZE])
def test_the_sizes_differ_in_their_numbers_only(family: str) -> None:
    numbers = V8 if family.startswith("yolov8") else V11
    of_size_n = load_config(sized(family, "n")).plain()
    for size, (depth, width, channels) in numbers.items():
        own = {"depth_multiple": depth, "width_multiple": width, "max_channels": channels, "scale": size}
        assert load_config(sized(family, size)).plain() == {**of_size_n, **own}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_size_of_every_file_builds_and_runs(family: str) -> None:
    model = build_model(family if family in ONE_SIZE else sized(family, "n"))
    check_runs(model)
    two_headed = family in ONE_SIZE or family.startswith("yolo26")
    assert model.head.needs_suppression is not two_headed
    if not two_headed:
        assert model.head.reg_max == 16
    levels = {"p2": [4, 8, 16, 32], "p6": [8, 16, 32, 64]}.get(family[-2:], [8, 16, 32])
    assert model.stride.tolist() == levels


@torch.no_grad()
def check_runs(model: Detector) -> None:
    size = model.size_divisor
    images = torch.rand(1, 3, size, 2 * size)
    table, logits = model.eval()(images)
    cells = sum(2 * (size // int(stride)) ** 2 for stride in model.stride)
    assert table.shape == (1, cells, 84)
    assert table.isfinite().all()
    assert sum(math.prod(level.shape[2:]) for level in logits) in (cells, 2 * cells)


@pytest.mark.parametrize(
    ("name", "plain", "block", "depthwise"),
    [
        ("yolov8n-saconv", "yolov8n", SAConv2d, 0),
        ("yolov8n-spconv", "yolov8n", SPConv, 0),
        ("yolo11n-saconv", "yolo11n", SAConv2d, 1),
        ("yolo26n-saconv", "yolo26n", SAConv2d, 1),
        pytest.param("yolov8m-saconv", "yolov8m", SAConv2d, 0, marks=pytest.mark.slow),
        pytest.param("yolov8x-spconv", "yolov8x", SPConv, 0, marks=pytest.mark.slow),
        pytest.param("yolo11m-saconv", "yolo11m", SAConv2d, 1, marks=pytest.mark.slow),
        pytest.param("yolo26l-saconv", "yolo26l", SAConv2d, 2, marks=pytest.mark.slow),
    ],
)
def test_the_stages_p3_to_p5_have_no_other_3x3_convolution(
    name: str, plain: str, block: type[nn.Module], depthwise: int
) -> None:
    """But for those that say where a cell is, in the attention of row 10."""
    rows = modules_without_storage(name)
    check_stages(rows, modules_without_storage(plain), block)
    assert len(square_convolutions(rows[10], ())) == depthwise


@pytest.mark.parametrize(("name", "gflops"), [("yolov8n", 8.7), ("yolo26n", 6.1)])
def test_published_operation_counts(name: str, gflops: float) -> None:
    assert count_flops(build_model(name)) / 1e9 == pytest.approx(gflops, rel=0.03)
