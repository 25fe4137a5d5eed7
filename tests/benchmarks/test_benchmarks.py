"""The benchmarks measure what they say they measure."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import backends, blocks, models, picture
from benchmarks.measure import peak_memory, time_in_turn
from benchmarks.published import PublishedSAConv2d, TwoConvolutions
from benchmarks.report import geometric_mean
from engine.detections import Detections
from engine.errors import EngineError
from engine.exporting.benchmark import Candidate
from models import build_model
from models.blocks.saconv import SAConv2d

CPU = torch.device("cpu")


@pytest.mark.parametrize(("k", "s"), [(3, 1), (3, 2), (1, 1)])
def test_the_published_order_is_the_same_function(k: int, s: int) -> None:
    torch.manual_seed(0)
    ours, published = SAConv2d(8, 12, k, s), PublishedSAConv2d(8, 12, k, s)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    published.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 9, 13)
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(x), published.train(training)(x), rtol=1e-4, atol=1e-4)


def test_two_convolutions_are_the_branches_of_a_block_and_nothing_else() -> None:
    torch.manual_seed(0)
    block = TwoConvolutions(8, 12, 3, 2).eval()
    x = torch.randn(2, 8, 9, 13)
    small = functional.conv2d(x, block.small.weight, stride=2, padding=1)
    large = functional.conv2d(x, block.large.weight, stride=2, padding=3, dilation=3)
    expected = functional.silu((small + large) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(block.fuse()(x), expected, rtol=1e-4, atol=1e-5)


def test_functions_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    functions = {name: (lambda name=name: calls.append(name) or sum(range(1_000_000))) for name in ("a", "b")}
    medians = time_in_turn(functions, CPU, rounds=3)
    assert set(medians) == {"a", "b"}
    assert all(ms > 0 for ms in medians.values())
    turns = "".join(now for now, before in zip(calls, ["", *calls], strict=False) if now != before)
    assert turns == "ab" * 4, "a warm-up, of which each is timed once more, and three rounds"


def test_peak_memory_is_the_worst_moment_of_the_call() -> None:
    mib = 2**18  # float32 numbers

    def call() -> Tensor:
        first = torch.empty(4 * mib)
        second = torch.empty(3 * mib)
        del first
        third = torch.empty(2 * mib)
        del second
        return third

    assert peak_memory(call, CPU) == pytest.approx(7)


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 8]) == pytest.approx(2)


def test_ratios_divide_what_they_name() -> None:
    def figures(ms: float) -> blocks.Figures:
        return blocks.Figures(1, 1, ms, 10 * ms, 100 * ms, 1000 * ms)

    first, second = blocks.SHAPES[:2]
    measured = {
        first: {blocks.PLAIN: figures(1), blocks.OURS: figures(2), blocks.PUBLISHED: figures(6)},
        second: {blocks.PLAIN: figures(1), blocks.OURS: figures(8), blocks.PUBLISHED: figures(8)},
    }
    ratios = blocks.ratios(measured)
    assert ratios["inference, SAConv2d ours / Conv"] == pytest.approx({str(first): 2, str(second): 8, "mean": 4})
    assert ratios["inference, SAConv2d published / ours"]["mean"] == pytest.approx(3**0.5)
    assert ratios["training memory, SAConv2d ours / published"][str(first)] == pytest.approx(1 / 3)
    assert "inference, SPConv / Conv" not in ratios, "it was not measured"


def test_flops_of_a_block_are_those_of_its_formulas() -> None:
    shape = blocks.Shape(8, 16, 10)
    plain = 2 * 10 * 10 * 9 * 8 * 16
    found = {name: blocks._mflops(build(8, 16, 3, 1), shape) * 1e6 for name, build in blocks.VARIANTS.items()}
    contexts, switch = 2 * (8 * 8 + 16 * 16), 2 * 8 * 100
    assert found[blocks.PLAIN] == plain
    assert found[blocks.PUBLISHED] == found[blocks.OURS] == 2 * plain + contexts + switch
    assert found[blocks.DEFORMABLE] == found[blocks.OURS] + 2 * 10 * 10 * 9 * 8 * 36
    assert found[blocks.FLOOR] == 2 * plain
    assert found[blocks.SLIM] < plain / 2


@pytest.mark.slow
def test_blocks_run_and_write_their_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "blocks.json"
    assert blocks.main(["--device", "cpu", "--rounds", "1", "--shapes", "5", "--json", str(file)]) == 0
    content = json.loads(file.read_text())
    own = content["blocks"]["256->256 @40"]
    assert set(own) == set(blocks.VARIANTS)
    assert own["SAConv2d"]["training_mib"] < own["SAConv2d published"]["training_mib"]
    assert "SAConv2d deformable" in capsys.readouterr().out


@pytest.mark.slow
def test_models_run_and_write_their_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "models.json"
    arguments = ["--device", "cpu", "--rounds", "1", "--imgsz", "64", "--train-batch-size", "1", "--json", str(file)]
    assert models.main([*arguments, "--cfg", "yolov5n.yaml", "yolov5n-saconv.yaml"]) == 0
    content = json.loads(file.read_text())
    assert set(content["models"]["yolov5n.yaml"]["inference_ms"]) == {
        "NCHW, float32",
        "channels last, float32",
        "channels last, bfloat16",
    }
    assert set(content["models"]["yolov5n.yaml"]["training_mib"]) == {"NCHW, float32", "channels last, float32"}
    assert "images/s" in capsys.readouterr().out


def test_the_picture_is_a_row_of_each_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def found(image: np.ndarray) -> Detections:
        seen.append(int(image[0, 0, 0]))
        box = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
        return Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), data={"class_name": np.array(["all"])})

    monkeypatch.setattr(picture, "open_backend", lambda weights, device: None)
    monkeypatch.setattr(picture, "Predictor", lambda backend, conf_thres: found)
    for folder, hw in (("small", (30, 60)), ("large", (900, 600))):
        (tmp_path / folder).mkdir()
        for number in range(4):
            cv2.imwrite(str(tmp_path / folder / f"{number}.png"), np.full((*hw, 3), 10 * number, np.uint8))
    out = tmp_path / "out.png"
    pairs = [word for folder in ("small", "large") for word in ("--of", "a.pt", str(tmp_path / folder))]
    assert picture.main([*pairs, "--count", "2", "--out", str(out)]) == 0
    assert seen == [0, 20, 0, 20]
    assert cv2.imread(str(out)).shape == (2 * 480 + 2, 2 * 480 + 2, 3)
    with pytest.raises(EngineError, match="has 4 pictures, not 5"):
        picture.main([*pairs, "--count", "5", "--out", str(out)])


def test_what_a_takeover_leaves_neutral_is_moved() -> None:
    detector = build_model("yolov5n-saconv.yaml")
    block = detector.model[3]
    kept = block.weight.clone()
    backends.move_neutral(detector)
    assert all(bool(parameter.any()) for parameter in detector.parameters())
    assert 0 < float(block.weight_diff.detach().abs().max()) < 0.1
    torch.testing.assert_close(block.weight, kept, rtol=0, atol=0)


def test_the_table_of_back_ends_divides_by_the_first_network() -> None:
    found = [
        [Candidate("torch", "fp32", megabytes=7.5), Candidate("onnx", "fp32", fault="lacks it")],
        [Candidate("torch", "fp32", megabytes=11.0), Candidate("onnx", "fp32", megabytes=12.0)],
    ]
    lines = backends.table(["a", "b"], found, [[10.0, math.nan], [25.0, 30.0]]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["back end", "precision", "a, ms", "MB", "b, ms", "MB", "/ a"]
    assert cells[2] == ["torch", "fp32", "10.0", "7.5", "25.0", "11.0", "2.50"]
    assert cells[3] == ["onnx", "fp32", "-", "-", "30.0", "12.0", "-"]


def test_back_ends_that_are_there_take_turns_over_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def milliseconds(given: list[str], inputs: list[Tensor], rounds: int) -> list[float]:
        order.extend(given)
        return [float(len(order) - len(given) + index) for index in range(len(given))]

    order: list[str] = []
    monkeypatch.setattr(backends, "milliseconds", milliseconds)
    found = [
        [Candidate("torch", "fp32", backend=name), Candidate("onnx", "fp32", backend=other)]  # type: ignore[arg-type]
        for name, other in (("a1", "a2"), ("b1", None))
    ]
    times = backends.in_turn(found, [], 3)
    assert order == ["a1", "b1", "a2"]
    assert times[0] == [0.0, 2.0]
    assert times[1][0] == 1.0
    assert math.isnan(times[1][1])
