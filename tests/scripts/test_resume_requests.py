"""What may be asked of --resume: a folder, a data set that has moved, another length."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.cli.run import run_cli
from engine.cli.train import main, parse_options
from engine.options import ResumeOptions, TrainOptions
from engine.training.hyperparameters import TrainingHyperparameters
from engine.training.schedule import Schedule, extension_line
from engine.training.state import Progress
from models.budget import Budget, current_budget
from tests.scripts.trainings import flags


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of two epochs."""
    project = tmp_path_factory.mktemp("trained")
    assert run_cli(main, flags(folder, project, "--epochs", 2, "--workers", 0)) == 0
    return project / "exp"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, as if its report were missing."""
    shutil.copytree(trained, tmp_path / "runs" / "exp")
    last = tmp_path / "runs" / "exp" / "weights" / "last.pt"
    content = load_checkpoint(last)
    content["training"]["progress"]["finished"] = False
    save_checkpoint(last, content)
    return last.parents[1]


def refusal(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run_cli(main, [str(argument) for argument in arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def progress_of(run: Path) -> dict[str, Any]:
    entry: dict[str, Any] = load_checkpoint(run / "weights" / "last.pt")["training"]["progress"]
    return entry


# -- which run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["", "weights", "weights/last.pt"])
def test_a_run_is_named_by_its_folder(run: Path, part: str) -> None:
    assert run_cli(main, ["--resume", str(run / part), "--workers", "0"]) == 0
    assert progress_of(run)["finished"]


@pytest.mark.parametrize(
    ("content", "state"), [(None, "is not there"), (b"", "cannot be read"), (b"x", "cannot be read")]
)
def test_a_best_that_somebody_removed_or_damaged(
    run: Path, content: bytes | None, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    best = run / "weights" / "best.pt"
    if content is None:
        best.unlink()
    else:
        best.write_bytes(content)
    assert run_cli(main, ["--resume", str(run), "--workers", "0"]) == 0
    assert f"best.pt {state} any more; the weights of the last epoch take its place" in caplog.text
    assert "best of epoch 2: " in caplog.text
    assert load_checkpoint(best)["epoch"] == 2


def test_a_refusal_names_a_file_that_weights_can_take(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(main, ["--resume", str(run), "--seed", "1"]) == 2
    assert f"start a new training with --weights {run / 'weights' / 'last.pt'}\n" in capsys.readouterr().err


def test_without_momentum_an_optimiser_remembers_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain.yaml").write_text("momentum: 0\nwarmup_momentum: 0\nwarmup_epochs: 0\n")
    more = ("--hyp", tmp_path / "plain.yaml", "--workers", 0, "--epochs")
    assert run_cli(main, flags(folder, tmp_path, *more, 1)) == 0
    assert run_cli(main, ["--resume", str(tmp_path / "exp"), "--epochs", "2", "--workers", "0"]) == 0


def test_a_budget_holds_when_it_is_resumed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("engine.training.state.check_weights", lambda *_: seen.append(current_budget()))
    last = run / "weights" / "last.pt"
    content = load_checkpoint(last)
    content["training"]["options"]["model_budget"] = 7
    save_checkpoint(last, content)
    assert run_cli(main, ["--resume", str(run), "--workers", "0"]) == 0
    assert seen == [Budget().times(7)] * 2


def test_a_folder_without_a_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = run / "weights" / "last.pt"
    line = refusal(["--resume", run.parent], capsys)
    assert line == f"error: {run.parent}: has no weights/last.pt; resume its newest run with --resume {last}"
    (tmp_path / "empty").mkdir()
    assert refusal(["--resume", tmp_path / "empty"], capsys).endswith(
        "has no weights/last.pt; name the folder of a run"
    )
    line = refusal(["--resume", run / "weights" / "best.pt"], capsys)
    assert f"best.pt: holds weights, but no training to continue; resume from {last}, or start a new training" in line


def test_an_empty_argument_is_not_the_newest_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--resume", ""])
    assert "argument --resume: is empty; write a value" in capsys.readouterr().err


def test_runs_in_subfolders_are_found(tmp_path: Path) -> None:
    last = tmp_path / "bccd" / "first" / "weights" / "last.pt"
    last.parent.mkdir(parents=True)
    last.touch()
    assert parse_options(["--resume", "--project", str(tmp_path)]) == ResumeOptions(str(last))


# -- a data set that has moved ----------------------------------------------------------------------------------------


def test_a_data_set_that_has_moved(run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    last = run / "weights" / "last.pt"
    content = load_checkpoint(last)
    gone = str(tmp_path / "gone" / "data.yaml")
    content["training"]["options"]["data"] = gone
    save_checkpoint(last, content)
    line = refusal(["--resume", run], capsys)
    assert line.startswith(f"error: {gone}: no such data-set YAML")
    assert line.endswith("; where the data set has moved, name its YAML with --data")
    assert "nowhere" in (line := refusal(["--resume", run, "--data", "nowhere.yaml"], capsys))
    assert "has moved" not in line
    assert run_cli(main, ["--resume", str(run), "--data", str(moved / "data.yaml"), "--workers", "0"]) == 0
    assert load_checkpoint(last)["training"]["options"]["data"] == str(moved / "data.yaml")
    assert yaml.safe_load((run / "opt.yaml").read_text())["data"] == str(moved / "data.yaml")  # where val.py looks


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda content: content["annotations"].pop(), "train has 5 boxes, not 6; val has 5 boxes, not 6"),
        (lambda content: content["images"].pop(0), "train has 5 images, not 6 and 5 boxes, not 6"),
        (lambda content: content["annotations"][0].update(bbox=[1, 1, 20, 20]), "train has other boxes or classes"),
        (
            lambda content: content["images"].reverse(),
            "train has pictures of other names or sizes, or in another order",
        ),
    ],
)
def test_another_data_set_is_refused_and_the_difference_named(
    run: Path, folder: Path, tmp_path: Path, change: Any, difference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    content = json.loads((other / "all.json").read_text())
    change(content)
    content["annotations"] = [
        a for a in content["annotations"] if any(i["id"] == a["image_id"] for i in content["images"])
    ]
    (other / "all.json").write_text(json.dumps(content))
    before = (run / "opt.yaml").read_bytes()
    line = refusal(["--resume", run, "--data", other / "data.yaml"], capsys)
    last = run / "weights" / "last.pt"
    assert f"{other / 'data.yaml'}: is not the data set that {last} began with ({difference}" in line
    assert line.endswith(f"; give that one, or start a new training with --weights {last}")
    assert (run / "opt.yaml").read_bytes() == before


def test_a_picture_that_was_replaced_makes_it_another_data_set(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    cv2.imwrite(str(other / "0.png"), np.zeros((64, 64, 3), np.uint8))
    line = refusal(["--resume", run, "--data", other / "data.yaml"], capsys)
    assert "(train has pictures of other names or sizes, or in another order; val has pictures" in line


def test_a_data_set_that_changed_where_it_lies_is_told(
    run: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = run / "weights" / "last.pt"
    content = load_checkpoint(last)
    content["training"]["data"]["train"]["boxes"] = 7
    save_checkpoint(last, content)
    assert run_cli(main, ["--resume", str(run), "--workers", "0"]) == 0
    assert "has changed since the training began (train has 6 boxes, not 7): it continues" in caplog.text


# -- another length ---------------------------------------------------------------------------------------------------


def test_a_finished_training_is_extended(trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = tmp_path / "runs" / "exp"
    shutil.copytree(trained, run)
    caplog.set_level("INFO")
    assert run_cli(main, ["--resume", str(run), "--epochs", "4", "--workers", "0"]) == 0
    assert re.search(
        r"the training has 4 epochs in place of 2: the learning rate goes from 0\.005\d* in epoch 2 to 0\.005\d* "
        r"in epoch 3, and comes to 0\.002\d* in epoch 4, as in a training that was that long",
        caplog.text,
    )
    progress = progress_of(run)
    assert (progress["epoch"], progress["finished"], progress["extended_at"]) == (4, True, 2)
    assert load_checkpoint(run / "weights" / "last.pt")["training"]["options"]["epochs"] == 4
    assert yaml.safe_load((run / "opt.yaml").read_text())["epochs"] == 4
    rows = (run / "results.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3"]
    assert rows[:3] == (trained / "results.csv").read_text().splitlines()


def test_the_length_of_a_training_that_is_extended(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = run / "weights" / "last.pt"
    for number in (1, 2):
        line = refusal(["--resume", run, "--epochs", number], capsys)
        assert (
            line == f"error: --epochs {number}: 2 epochs of {last} are complete; give more than that, or leave it out"
        )
    with pytest.raises(SystemExit):
        parse_options(["--resume", str(run), "--epochs", "0"])


def test_patience_counts_from_the_extension() -> None:
    options = TrainOptions(patience=3)
    assert Progress(epoch=9, best_epoch=1).has_stalled(options)
    assert not Progress(epoch=9, best_epoch=1, extended_at=9).has_stalled(options)
    assert not Progress(epoch=11, best_epoch=1, extended_at=9).has_stalled(options)
    assert Progress(epoch=12, best_epoch=1, extended_at=9).has_stalled(options)


def test_the_line_says_the_rates_of_the_schedule() -> None:
    """Rates of a straight line from lr0 = 0.1 to a tenth of it: 0.1 * (1 - 0.9 * epoch / epochs)."""
    schedule = Schedule(TrainingHyperparameters(lr0=0.1, lrf=0.1), epochs=20, batches=1, batch_size=1)
    assert extension_line(schedule, before=10, done=10) == (
        "the training has 20 epochs in place of 10: the learning rate goes from 0.019 in epoch 10 to 0.055 in epoch "
        "11, and comes to 0.0145 in epoch 20, as in a training that was that long from the beginning"
    )
