"""What a file may make a model of: each limit named with the flag that raises it, and before memory is filled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models import build_model
from models.budget import Budget, current_budget, model_budget
from models.errors import BudgetError, ConfigError
from tests.places import ROOT

ROWS = [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]]]


def config(*rows: Any, head: Any = ("nc", "anchors"), **keys: Any) -> dict[str, Any]:
    return {
        "nc": 2,
        "anchors": [[4, 5]],
        **keys,
        "backbone": [*ROWS, *rows],
        "head": [[[-1], 1, "Detect", list(head)]],
    }


DOUBLED = [[[-1, -1], 1, "Concat", [1]]] * 40

TOO_MUCH: dict[str, tuple[dict[str, Any], str]] = {
    "kernel": (config([-1, 1, "Conv", [8, 300]]), "k of 300"),
    "pooling window": (config([-1, 1, "SPPF", [8, 100_001]]), "k of 100,001"),
    "dilation": (config([-1, 1, "Conv", [8, 3], {"d": 10**9}]), "d of 1,000,000,000"),
    "dilation in a C3": (config([-1, 1, "C3", [8], {"conv": "SAConv2d", "d": 10**6}]), "d of 1,000,000"),
    "stride": (config([-1, 1, "nn.MaxPool2d", [2, 10**7]]), "stride of 10,000,000"),
    "channels": (config([-1, 1, "Conv", [10**9, 1]]), "1,000,000,000 channels"),
    "channels of astronomers": (config([-1, 1, "Conv", [10**400, 1]]), "more than 1e308 channels"),
    "channel multiple": (config(channel_multiple=10**9), "1,000,000,000 channels"),
    "channels of the image": (config(ch=10**7), "10,000,000 channels of the image"),
    "width": (config(width_multiple=1e300), "channels after the width multiple"),
    "joined maps": (config(*DOUBLED), "channels"),
    "depth": (config([-1, 3, "C3", [8]], depth_multiple=1e300), "3e+300 repeats"),
    "depth and number": (config([-1, 900, "C3", [8]], depth_multiple=300.0), "270000.0 repeats|2.7e+05 repeats"),
    "modules": (config([-1, 900, "C3", [8]]), "3,001 modules or more"),
    "modules of several rows": (config(*[[-1, 100, "Conv", [8]]] * 30), "3,001 modules or more"),
    "layers": (config([-1, 1, "TransformerBlock", [8, 1, 10**9]]), "modules or more"),
    "parameters": (config(*[[-1, 1, "Conv", [20_000, 3]]] * 2), "parameters or more|bytes of weights or more"),
    "parameters of several rows": (config(*[[-1, 1, "Conv", [4_000, 1]]] * 20), "parameters or more"),
    "expansion": (config([-1, 1, "C3", [64], {"e": 1e6}]), "or more"),
    "rows": (config(*[[-1, 1, "nn.MaxPool2d", [1]]] * 1_200), "1,203 rows"),
    "anchors": (config(anchors=10**9), "1,000,000,000 anchors"),
    "anchors of the row": (config(head=("nc", 10**9)), "1,000,000,000 anchors"),
    "classes": (config(nc=10**9), "1,000,000,005 channels"),
    "map": (config([-1, 1, "nn.Upsample", [None, 10**4]]), "numbers in a map"),
    "map, step by step": (config(*[[-1, 1, "nn.Upsample", [None, 4]]] * 9), "numbers in a map"),
    "padding": (config([-1, 1, "Conv", [8, 3, 1, 10**6]]), "numbers in a map"),
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_each_limit_is_named_with_its_flag(kind: str) -> None:
    given, expected = TOO_MUCH[kind]
    with pytest.raises(BudgetError) as caught:
        build_model(given)
    message = str(caught.value)
    assert any(words in message for words in expected.split("|")), message
    assert "--model-budget" in message
    assert "\n" not in message


MEASURE = """
import resource, time
import torch
from models import build_model
from models.errors import BudgetError
from tests.models.test_budget import TOO_MUCH, config
build_model(config())
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for kind, (given, _) in TOO_MUCH.items():
    start = time.process_time()
    try:
        build_model(given)
    except BudgetError:
        pass
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1024
    print(f"{kind}|{time.process_time() - start:.2f}|{grown:.0f}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.slow
def test_no_refusal_costs_two_seconds_or_500_mb() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True, check=True)
    figures = [line.split("|") for line in done.stdout.splitlines()]
    assert len(figures) == len(TOO_MUCH)
    too_slow = [(kind, seconds) for kind, seconds, _ in figures if float(seconds) > 2]
    assert not too_slow
    assert float(figures[-1][2]) < 500


def test_the_flag_raises_every_limit() -> None:
    row = [-1, 1, "Conv", [8, 257]]
    with model_budget(2):
        assert current_budget().window == 2 * Budget().window
        build_model(config(row))
    with pytest.raises(BudgetError, match=r"row 2 \(Conv\): .* may have 255; .* --model-budget 2$"):
        build_model(config(row))


def test_a_rehearsal_changes_no_random_numbers() -> None:
    torch.manual_seed(3)
    first = build_model(config()).state_dict()
    torch.manual_seed(3)
    second = build_model(config()).state_dict()
    torch.manual_seed(3)
    kernel = torch.nn.Conv2d(3, 8, 3).weight
    assert torch.equal(first["model.0.conv.weight"], kernel)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    "text", ["-" * 100_000 + "1", "nn.LeakyReLU(" + "-" * 90_000 + "1)", "a" * 100_000, "(" * 5000]
)
def test_a_long_activation_is_refused_in_a_short_line(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot read an activation of") as caught:
        build_model(config(activation=text))
    assert len(str(caught.value)) < 300


def test_a_configuration_whose_parts_are_shared_does_not_unfold() -> None:
    bomb: Any = ["x"]
    for _ in range(40):
        bomb = [bomb, bomb]
    for given in (config([-1, 1, "Conv", [8, bomb]]), config(anchors=bomb), {**config(), "extra": bomb}):
        with pytest.raises(ConfigError, match="unfolds to more than 100,000 values"):
            build_model(given)
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ConfigError, match="contains itself"):
        build_model({**config(), "extra": circle})


@pytest.mark.parametrize("side", [0, -3, float("nan"), float("inf"), True])
def test_anchors_have_a_size(side: float) -> None:
    for given in (config(anchors=[[4, side]]), config(head=("nc", [[side, 4]]))):
        with pytest.raises(ConfigError, match=r"anchors'? must be"):
            build_model(given)


def test_a_row_that_nobody_reads_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = (
        "[-1, 1, Conv, [8, 3, 2]], [-1, 1, Conv, [8, 3, 2]], [-1, 1, Conv, [8]], [[1, 1], 1, Concat, [1]]",
        "[-1, 1, Conv, [8, 3, 2]], [-1, 1, Conv, [8, 3, 2]], [-1, 1, Conv, [8]]",
    )
    for backbone, warned in zip(rows, (True, False), strict=True):
        head = "[[1], 1, Detect, [nc, anchors]]" if warned else "[[2], 1, Detect, [nc, anchors]]"
        file = tmp_path / "m.yaml"
        file.write_text(
            f"nc: 2\nanchors: [[4, 5]]\nbackbone: [{backbone}]\nhead: [{head}]\n".replace("[1, 0]", "[1, 1]")
        )
        caplog.clear()
        model = build_model(file)
        said = [record.getMessage() for record in caplog.records]
        assert [f"row {row} (" in text for row, text in zip((2, 3), said, strict=False)] == [True] * (2 * warned)
        assert all("no row reads its output; was a row inserted" in text for text in said)
        caplog.clear()
        build_model(model.yaml)  # of a checkpoint
        assert not caplog.records
