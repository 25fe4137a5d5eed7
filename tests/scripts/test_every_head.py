"""Every head of the project goes through every command: it trains, resumes, validates, detects."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from engine.backends import open_backend
from engine.cli import detect, train, val
from engine.cli.run import run_cli
from models.__main__ import main as summary
from models.weights.load import load_detector
from tests.heads import HEADS, Head
from tests.scripts.test_resume import differences

BACKBONE = [
    [-1, 1, "Conv", [8, 3, 2]],
    [-1, 1, "SAConv2d", [16, 3, 2]],
    [-1, 1, "Conv", [16, 3, 2]],
    [-1, 2, "C2f", [16, True], {"conv": "SPConv"}],
    [-1, 1, "Conv", [16, 3, 2]],
]
SOURCES = (4, 3)  # the coarsest level first
CELLS = 4 * 4 + 8 * 8  # of a picture of 64 px
PICTURES, EPOCHS = 8, 3


class Runs:
    """Commands in one folder, for one head."""

    def __init__(self, folder: Path, head: Head) -> None:
        self.folder, self.head = folder, head

    def call(self, command: Callable[..., int], *flags: object) -> int:
        return run_cli(command, [str(flag) for flag in flags])

    def begin(self, name: str) -> int:
        common = ["--cfg", self.folder / "model.yaml", "--data", self.folder / "data.yaml", "--project", self.folder]
        common += ["--hyp", self.folder / "hyp.yaml", "--name", name, "--workers", 0, "--device", "cpu", "--noplots"]
        return self.call(train.main, *common, "--epochs", EPOCHS)

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name / "results.csv").open() as file:
            return list(csv.DictReader(file))

    def weights(self, name: str, which: str = "best") -> Path:
        return self.folder / name / "weights" / f"{which}.pt"

    def content(self, name: str, which: str = "best") -> dict[str, Any]:
        return torch.load(self.weights(name, which), weights_only=True)

    def predictions(self, command: Callable[..., int], name: str, *flags: object) -> list[dict[str, Any]]:
        more = ["--project", self.folder, "--name", name, "--device", "cpu", "--save-json"]
        assert self.call(command, "--weights", self.weights("whole"), *more, *flags) == 0
        return json.loads((self.folder / name / "predictions.json").read_text())


PARAMS = [pytest.param(head, id=head.name, marks=[pytest.mark.slow] if head.name == "v10" else []) for head in HEADS]


@pytest.fixture(scope="module", params=PARAMS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, write_squares: Any) -> Runs:
    """A finished training `whole`."""
    head: Head = request.param
    folder = tmp_path_factory.mktemp(head.name)
    write_squares(folder, PICTURES, batch_size=4, others=[{"id": 3, "name": "nothing"}])
    model = yaml.safe_dump(head.configuration(BACKBONE, SOURCES), default_flow_style=None, sort_keys=False)
    (folder / "model.yaml").write_text(model)
    (folder / "hyp.yaml").write_text("lr0: 0.02\nwarmup_epochs: 0.0\n")
    runs = Runs(folder, head)
    assert runs.begin("whole") == 0
    return runs


def test_it_trains_and_its_losses_have_their_names(runs: Runs) -> None:
    rows = runs.rows("whole")
    losses = [f"{split}/{name}_loss" for split in ("train", "val") for name in runs.head.losses]
    assert [key for key in rows[0] if key.endswith("_loss")] == losses
    assert len(rows) == EPOCHS
    assert all(np.isfinite(float(row[key])) for row in rows for key in losses)
    hyp = yaml.safe_load((runs.folder / "whole" / "hyp.yaml").read_text())
    assert ("obj" in hyp) == ("obj" in runs.head.losses)
    assert ("dfl" in hyp) == ("dfl" in runs.head.losses)


def test_it_resumes_bit_for_bit(runs: Runs, interrupted: Callable[[int], AbstractContextManager[None]]) -> None:
    with interrupted(2):
        assert runs.begin("halves") == 130
    assert runs.content("halves", "last")["training"]["progress"]["epoch"] == 2
    assert runs.call(train.main, "--resume", runs.weights("halves", "last")) == 0
    assert runs.rows("halves") == runs.rows("whole")
    for which in ("last", "best"):
        whole, halves = (runs.content(name, which) for name in ("whole", "halves"))
        for content in (whole, halves):
            content.get("training", {}).pop("options", None)  # another name
        assert differences(whole, halves) == []


def test_val_measures_what_training_measured(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    found = runs.predictions(val.main, "val", "--data", runs.folder / "data.yaml", "--workers", 0)
    assert {entry["category_id"] for entry in found} <= {3, 12}
    best = max(runs.rows("whole"), key=lambda row: float(row["metrics/AP"]))
    (printed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("AP ")]
    assert float(printed.split()[-1]) == pytest.approx(float(best["metrics/AP"]), abs=1e-3)


def test_only_heads_that_repeat_themselves_are_suppressed(runs: Runs) -> None:
    everything = ("--conf-thres", 0.0, "--iou-thres", 0.0, "--max-det", 10_000)
    data = ("--data", runs.folder / "data.yaml", "--workers", 0)
    counts = np.bincount(
        [entry["image_id"] for entry in runs.predictions(val.main, "all", *data, *everything)], minlength=PICTURES
    )
    # each cell has a box, and a score of it for both classes
    assert (counts < CELLS).all() if runs.head.suppresses else (counts == 2 * CELLS).all()
    found = runs.predictions(detect.main, "detect", "--source", runs.folder / "3.png", *everything)
    assert 0 < len(found) < CELLS if runs.head.suppresses else len(found) == CELLS
    assert (runs.folder / "detect" / "3.png").is_file()


def test_a_back_end_says_the_same_as_the_network(runs: Runs) -> None:
    backend = open_backend(runs.weights("whole"), device=torch.device("cpu"))
    assert backend.needs_suppression is runs.head.suppresses
    pictures = torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8)
    predictions = backend(pictures)
    count = (4 * 6 + 8 * 12) * runs.head.boxes
    assert predictions.boxes_xyxy.shape == (2, count, 4)
    assert predictions.scores.shape == (2, count, 2)
    with torch.no_grad():
        boxes_xyxy, scores = load_detector(runs.weights("whole")).eval().predict(pictures / 255)
    torch.testing.assert_close(predictions.boxes_xyxy, boxes_xyxy, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(predictions.scores, scores, rtol=1e-4, atol=1e-5)


def test_readable_form_is_centre_size_and_scores(runs: Runs) -> None:
    model = load_detector(runs.weights("whole")).eval()
    with torch.no_grad():
        readable, logits = model(torch.rand(2, 3, 64, 96))
    boxes_xyxy, scores = model.head.decode(logits)
    centre, size = readable[..., :2], readable[..., 2:4]
    torch.testing.assert_close(torch.cat((centre - size / 2, centre + size / 2), 2), boxes_xyxy)
    assert readable.shape[2] == (7 if runs.head.boxes > 1 else 6)
    if runs.head.boxes == 1:
        assert torch.equal(readable[..., 4:], scores)


def test_the_table_of_the_network_has_its_row(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert summary([str(runs.folder / "model.yaml"), "--imgsz", "64"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == [str(len(BACKBONE))]]
    assert row.split()[1:4] == ["4,", "3", runs.head.block]
