"""The table of a network, its operation counts, and the command that prints it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from models import build_model
from models.__main__ import main
from models.summary import count_flops, count_parameters, summarize
from tests.places import ROOT


def mapping(*backbone: list[object]) -> dict[str, object]:
    return {"nc": 2, "anchors": [[8, 8]], "backbone": list(backbone), "head": [[[-1], 1, "Detect", ["nc", "anchors"]]]}


def conv_flops(c1: int, c2: int, k: int, side: int) -> int:
    """Two per multiply-add of a square convolution with output of `side` x `side`."""
    return 2 * c1 * c2 * k * k * side * side


def test_flops_of_plain_convolutions_by_hand() -> None:
    model = build_model(mapping([-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [32, 1, 1]]))
    expected = conv_flops(3, 16, 3, 32) + conv_flops(16, 32, 1, 32) + conv_flops(32, 7, 1, 32)
    assert count_flops(model, 64) == expected
    assert count_flops(model, (64, 128)) == 2 * expected


def test_deformable_convolutions_are_counted() -> None:
    rigid = build_model(mapping([-1, 1, "SAConv2d", [16, 3, 2]]))
    deformable = build_model(mapping([-1, 1, "SAConv2d", [16, 3, 2], {"use_deform": True}]))
    offsets = 2 * conv_flops(3, 18, 3, 32)
    assert count_flops(deformable, 64) >= conv_flops(3, 16, 3, 32) * 2 + offsets
    assert count_flops(deformable, 64) - count_flops(rigid, 64) == pytest.approx(offsets, rel=0.05)


@pytest.mark.parametrize(
    ("size", "gflops"),
    [
        ("n", 4.5),
        ("s", 16.5),
        *(pytest.param(*p, marks=pytest.mark.slow) for p in [("m", 49.0), ("l", 109.1), ("x", 205.7)]),
    ],
)
def test_flops_of_the_five_sizes_are_the_published_ones(size: str, gflops: float) -> None:
    # published with normalisation and bias counted, hence the tolerance of a percent
    assert count_flops(build_model(f"yolov5{size}")) / 1e9 == pytest.approx(gflops, rel=0.01)


def test_counting_leaves_the_model_as_it_is() -> None:
    model = build_model("yolov5n-saconv")
    model.model[3].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    count_flops(model, 64)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.device.type == "cpu" and parameter.grad is None for parameter in model.parameters())


def test_the_table_has_a_row_per_module_and_adds_up() -> None:
    model = build_model("yolov5n-saconv", num_classes=3)
    lines = summarize(model, 128).splitlines()
    table = [line for line in lines if line.split()[:1] and line.split()[0].isdigit() and " rows, " not in line]
    assert [int(line.split()[0]) for line in table] == list(range(25))
    parameters = [int(line.split()[-2].replace(",", "")) for line in table]
    assert parameters == [sum(p.numel() for p in module.parameters()) for module in model.model]
    assert sum(parameters) == count_parameters(model)
    flops = sum(float(line.split()[-1].replace(",", "")) for line in table)
    assert flops == pytest.approx(count_flops(model, 128) / 1e6, abs=0.05 * len(table))
    assert f"{count_parameters(model):,} parameters" in lines[-4]
    assert "3 classes, strides 8, 16, 32" in lines[-4]
    assert "conv=SAConv2d" in table[4]
    assert " 32x32x32 " in table[2]
    assert "3x16x16x8 3x8x8x8 3x4x4x8" in table[24]


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yolov5n-spconv", "--imgsz", "320", "--nc", "7"]) == 0
    output = capsys.readouterr()
    assert "SPConv" in output.out
    assert "at 320x320, 7 classes" in output.out
    assert output.err == ""


def test_a_size_is_rounded_up_as_in_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yolov5n", "--imgsz", "100"]) == 0
    assert " at 128x128, " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["yolov5n", "--imgsz", "0"])
    assert "--imgsz: 0 is not a whole number from 1 to 65,536" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["yolov5q.yaml"], "yolov5q.yaml: no such model configuration"),
        (["yolov5n", "--nc", "0"], "the number of classes must be a whole number from 1, not 0"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert expected in output.err


def test_the_module_is_a_command_with_an_exit_code(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("nc: [")
    done = subprocess.run(
        [sys.executable, "-m", "models", str(broken)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {broken}, line 1: not valid YAML")
    assert done.stderr.count("\n") == 1


def test_flops_of_a_fused_model() -> None:
    model = build_model(mapping([-1, 1, "Conv", [16, 3, 2]])).eval()
    before = count_flops(model, 64)
    assert count_flops(model.fuse(), 64) == before
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
