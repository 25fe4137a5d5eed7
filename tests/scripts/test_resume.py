"""--resume: exact after a kill at any moment, in real processes; what it refuses; which run it takes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.cli.run import run_cli
from engine.cli.train import main, parse_options
from engine.options import ResumeOptions
from tests.heads import HEADS
from tests.scripts.trainings import CFG, EPOCHS, Trainings, flags


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two checkpoints are not bit-identical."""
    if type(a) is not type(b):
        return [f"{path}: {type(a)}, {type(b)}"]
    if isinstance(a, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [path]
    if isinstance(a, list | tuple):
        a, b = dict(enumerate(a)), dict(enumerate(b))
    if isinstance(a, Mapping):
        absent = [f"{path}: {[*a]}, {[*b]}"] if a.keys() != b.keys() else []
        return absent + [text for key in a.keys() & b.keys() for text in differences(a[key], b[key], f"{path}.{key}")]
    return [] if a == b else [f"{path}: {a}, {b}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "optimizer", "kills", "workers_at_the_end"),
    [
        # (moment, epoch from 0, workers)
        ("anchor-based", "SGD", [("step", 1, 2), ("half", 2, 0), ("end", EPOCHS - 1, 2)], 0),
        ("anchor-based", "AdamW", [("results", 1, 0), ("validation", 2, 2), ("rename", EPOCHS - 1, 0)], 2),
        ("anchor-free", "AdamW", [("validation", 1, 2)], 0),
        ("two-headed", "SGD", [("step", 1, 0)], 2),
    ],
)
def test_a_killed_training_ends_as_if_it_had_never_stopped(
    train: Trainings,
    folder: Path,
    tmp_path: Path,
    head: str,
    optimizer: str,
    kills: list[tuple[str, int, int]],
    workers_at_the_end: int,
) -> None:
    model = next(each for each in HEADS if each.name == head).configuration(CFG["backbone"], (3, 4))
    (tmp_path / "noisy.yaml").write_text(yaml.safe_dump(model))
    more = ("--cfg", tmp_path / "noisy.yaml", "--epochs", EPOCHS, "--optimizer", optimizer, "--seed", 3)
    whole = flags(folder, tmp_path, *more, "--workers", 0, "--name", "whole")
    assert train("never", 0, whole) == 0, train.log.read_text()

    last = tmp_path / "killed" / "weights" / "last.pt"
    arguments: Sequence[object] = flags(folder, tmp_path, *more, "--name", "killed")
    for moment, epoch, workers in kills:
        assert train(moment, epoch, [*arguments, "--workers", workers]) == -signal.SIGKILL, train.log.read_text()
        complete = epoch + (moment == "end")
        assert load_checkpoint(last)["training"]["progress"]["epoch"] == complete  # the previous one, whole
        assert bool(leftovers(last.parent)) == (moment in ("half", "rename", "results", "end"))
        arguments = ("--resume", last)
    assert train("never", 0, [*arguments, "--workers", workers_at_the_end]) == 0, train.log.read_text()

    for name in ("last.pt", "best.pt"):
        a, b = (load_checkpoint(tmp_path / run / "weights" / name) for run in ("whole", "killed"))
        assert ("training" in a) == (name == "last.pt")
        for content in (a, b):
            content.get("training", {}).pop("options", None)  # other names and workers
        assert differences(a, b) == []
    results = [(tmp_path / run / "results.csv").read_bytes() for run in ("whole", "killed")]
    assert results[0] == results[1]
    assert results[0].count(b"\n") == 1 + EPOCHS
    assert not leftovers(last.parent)
    assert not leftovers(last.parents[1])


def leftovers(place: Path) -> list[str]:
    return [entry.name for entry in place.iterdir() if ".tmp" in entry.name]


def test_differences_are_found() -> None:
    def content(numbers: Any = (1, 2.0), **more: Any) -> dict[str, Any]:
        return {"x": [torch.zeros(2), numbers], "y": "z", **more}

    assert differences(content(), content()) == []
    changed = (
        {"numbers": (1, 2.5)},
        {"numbers": [1, 2.0]},
        {"numbers": (1,)},
        {"y": "w"},
        {"x": [torch.ones(2), (1, 2.0)]},
    )
    for other in (*changed, {"z": 1}, {"x": [torch.zeros(2).double(), (1, 2.0)]}):
        assert len(differences(content(), content(**other))) == 1, other


class Interrupt:
    """Stands for `fitness`: scores by epoch; KeyboardInterrupt instead, once, where the epoch is `at`."""

    def __init__(self, scores: Sequence[float], at: int) -> None:
        self.scores, self.at, self.epoch = scores, at, 0

    def __call__(self, _: object) -> float:
        if self.epoch == self.at:
            self.at = -1
            raise KeyboardInterrupt
        self.epoch += 1
        return self.scores[self.epoch - 1]


@pytest.mark.slow
def test_early_stopping_and_the_best_epoch_survive(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The best is epoch 1: with patience 3, the training stops after epoch 4.
    monkeypatch.setattr("engine.training.loop.fitness", Interrupt([0.1, 0.3, 0.2, 0.3, 0.1, 0.9, 0.9], at=3))
    last = tmp_path / "exp" / "weights" / "last.pt"
    assert run_cli(main, flags(folder, tmp_path, "--epochs", 9, "--patience", 3, "--workers", 0)) == 130
    assert load_checkpoint(last)["training"]["progress"]["epoch"] == 3

    # Interrupted again when it has stopped and the report is missing: it must not train on.
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("engine.training.loop.finish_report", interrupted)
        assert run_cli(main, ["--resume", str(last)]) == 130
    assert load_checkpoint(last)["training"]["progress"]["epoch"] == 5
    assert run_cli(main, ["--resume", str(last)]) == 0
    progress = load_checkpoint(last)["training"]["progress"]
    assert progress == {"epoch": 5, "best_fitness": 0.3, "best_epoch": 1, "finished": True}
    assert load_checkpoint(last.with_name("best.pt"))["epoch"] == 2
    capsys.readouterr()
    assert run_cli(main, ["--resume", str(last)]) == 2
    assert re.fullmatch(
        r"error: \S+last\.pt: its training is complete \(5 of 9 epochs, stopped early by --patience\); .*--weights.*\n",
        capsys.readouterr().err,
    )


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that is over, of one epoch."""
    project = tmp_path_factory.mktemp("runs")
    assert run_cli(main, flags(folder, project, "--epochs", 1, "--workers", 0)) == 0
    return project / "exp"


def unfinished(run: Path, place: Path, **changes: Any) -> Path:
    """A copy of `run` as it was before its report was written; `changes` of the checkpoint's entry `training`."""
    shutil.copytree(run, place)
    last = place / "weights" / "last.pt"
    content = load_checkpoint(last)
    content["training"]["progress"]["finished"] = False
    content["training"].update(changes)
    save_checkpoint(last, content)
    return last


def refusal(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command line gets."""
    capsys.readouterr()
    assert run_cli(main, [str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_what_cannot_be_resumed_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = run / "weights"
    assert re.search(
        r"last\.pt: its training is complete \(1 of 1 epochs\); extend it with --epochs, or start a new one with",
        refusal(["--resume", weights / "last.pt"], capsys),
    )
    assert re.search(r"best\.pt: holds weights, but no training", refusal(["--resume", weights / "best.pt"], capsys))
    assert re.search(r"none\.pt: no such checkpoint; check --resume", refusal(["--resume", "none.pt"], capsys))
    data = (weights / "last.pt").read_bytes()
    for share in (0.0, 0.5, 0.99):
        (tmp_path / "cut.pt").write_bytes(data[: int(share * len(data))])
        assert re.search(r"cut\.pt: .*damaged", refusal(["--resume", tmp_path / "cut.pt"], capsys))
    torch.save({"model": {"model.0.conv.weight": torch.zeros(1)}}, tmp_path / "foreign.pt")
    assert re.search(
        r"foreign\.pt: not a checkpoint of this project", refusal(["--resume", tmp_path / "foreign.pt"], capsys)
    )
    (tmp_path / "text.pt").write_text("no checkpoint")
    assert "text.pt" in refusal(["--resume", tmp_path / "text.pt"], capsys)


def test_a_training_of_another_place_version_or_data_set_is_one_line(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = unfinished(run, tmp_path / "a")
    shutil.copy(last, tmp_path / "last.pt")
    assert "must lie in the folder 'weights' of its run" in refusal(["--resume", tmp_path / "last.pt"], capsys)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    content = json.loads((other / "all.json").read_text())
    content["categories"][0]["name"] = "circle"
    (other / "all.json").write_text(json.dumps(content))
    options = {**load_checkpoint(last)["training"]["options"], "data": str(other / "data.yaml")}
    moved = unfinished(run, tmp_path / "b", options=options)
    assert "its classes are no longer those of" in refusal(["--resume", moved], capsys)

    results = unfinished(run, tmp_path / "c").parents[1] / "results.csv"
    results.write_text("epoch;loss\n0;1\n")
    assert "results.csv: is not the table" in refusal(["--resume", tmp_path / "c/weights/last.pt"], capsys)


def test_leftovers_of_a_killed_process_go(run: Path, tmp_path: Path) -> None:
    last = unfinished(run, tmp_path / "exp")
    kept = {entry.name for entry in last.parent.iterdir()} | {".mine", ".notes.tmp"}
    for name in (".last.4711.tmp.pt", ".best.12.tmp.pt", ".mine", ".notes.tmp"):
        (last.parent / name).write_bytes(b"half")
    (last.parents[1] / ".results.4711.tmp.csv").write_bytes(b"half")
    assert run_cli(main, ["--resume", str(last), "--workers", "0"]) == 0
    assert {entry.name for entry in last.parent.iterdir()} == kept
    assert leftovers(last.parents[1]) == []


def test_resume_alone_takes_the_newest_run(tmp_path: Path) -> None:
    for age, name in enumerate(("exp3", "exp", "exp2")):
        last = tmp_path / name / "weights" / "last.pt"
        last.parent.mkdir(parents=True)
        last.touch()
        os.utime(last, (1e9 - age, 1e9 - age))
    expected = str(tmp_path / "exp3" / "weights" / "last.pt")
    assert parse_options(["--resume", "--project", str(tmp_path)]) == ResumeOptions(expected)


def test_what_changes_nothing_of_the_result_may_be_given(run: Path, tmp_path: Path) -> None:
    given = parse_options(["--resume", "a.pt", "--device", "cpu", "--workers", "0", "--cache", "disk"])
    assert given == ResumeOptions("a.pt", "cpu", 0, "disk")
    last = unfinished(run, tmp_path / "exp")
    before = load_checkpoint(last)["training"]["options"]
    assert run_cli(main, ["--resume", str(last), "--workers", "1", "--cache"]) == 0
    assert load_checkpoint(last)["training"]["options"] == {**before, "workers": 1, "cache": "ram"}


@pytest.mark.parametrize(
    "given",
    [
        *("--batch-size 16", "--cfg a.yaml", "--weights b.pt", "--cos-lr", "--noval", "--freeze 3 4"),
        *("--hyp a.yaml", "--imgsz 64", "--seed 0", "--patience 100", "--project runs/train", "--name exp", "--rect"),
    ],
)
def test_what_would_change_the_training_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(["--resume", "a.pt", *given.split(), "--workers", 1], capsys)
    assert f"leave out {given.split()[0]} (" in line
    assert "start a new training with --weights a.pt" in line
