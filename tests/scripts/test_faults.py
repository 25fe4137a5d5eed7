"""Trainings that end early, in real processes: Ctrl-C and SIGTERM at any stage, workers that die, runs in the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.cli import detect, val
from engine.cli.run import run_cli
from engine.cli.train import main
from tests.places import ROOT
from tests.scripts.trainings import EPOCHS, Trainings, flags

KILLED = (
    "error: a process that loads images was ended from outside (Killed), as where memory runs out; use fewer "
    "--workers; 0 loads in the main process"
)
BUS_ERROR = "error: no shared memory is left for the processes that load images; use --workers 0"
HOLDS = "LAST holds epoch {0}: --resume LAST"
NO_EPOCH = "no epoch was complete, so there is nothing to resume"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "epoch", "deed", "workers", "code", "complete", "line"),
    [
        ("preparation", 0, "SIGINT", 0, 130, None, "interrupted"),
        ("preparation", 0, "SIGTERM", 0, 143, None, "ended by SIGTERM"),
        ("step", 0, "SIGINT", 2, 130, None, f"interrupted in epoch 1; {NO_EPOCH}"),
        ("step", 1, "SIGTERM to all", 2, 143, 1, f"interrupted in epoch 2; {HOLDS}"),
        ("validation", 1, "SIGTERM", 0, 143, 1, f"interrupted in epoch 2; {HOLDS}"),
        ("half", 0, "SIGINT", 0, 130, None, f"interrupted in epoch 1; {NO_EPOCH}"),
        ("half", 2, "SIGTERM", 0, 143, 2, f"interrupted in epoch 3; {HOLDS}"),
        ("rename", 1, "SIGINT", 0, 130, 1, f"interrupted in epoch 2; {HOLDS}"),
        ("report", 0, "SIGINT", 0, 130, 4, f"interrupted in the report, after the last epoch; {HOLDS}"),
        ("step", 0, "a worker is killed", 2, 1, None, f"{KILLED}; {NO_EPOCH}"),
        ("validation", 1, "a worker is killed", 2, 1, 1, f"{KILLED}; {HOLDS}"),
        ("step", 1, "a worker has a bus error", 1, 1, 1, BUS_ERROR),
    ],
)
def test_a_training_that_ends_early(
    train: Trainings,
    folder: Path,
    tmp_path: Path,
    moment: str,
    epoch: int,
    deed: str,
    workers: int,
    code: int,
    complete: int | None,
    line: str,
) -> None:
    before = len(train.log.read_text()) if train.log.exists() else 0
    more = ("--epochs", EPOCHS, "--workers", workers)
    assert train(moment, epoch, flags(folder, tmp_path / "runs", *more), deed) == code, train.log.read_text()[before:]
    output = train.log.read_text()[before:]
    last = tmp_path / "runs" / "exp" / "weights" / "last.pt"
    assert line.format(complete).replace("LAST", str(last)) in output
    assert "Traceback" not in output
    if moment == "preparation":
        assert not (tmp_path / "runs").exists()
        return
    assert last.exists() == (complete is not None)
    if complete is not None:
        assert load_checkpoint(last)["training"]["progress"]["epoch"] == complete
    assert not [file for file in (tmp_path / "runs").rglob(".*") if file.is_file()]  # no lock, nothing half-written


HOLD = """
import sys
from pathlib import Path
from files.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of one epoch, as if its report were missing."""
    project = tmp_path_factory.mktemp("trained")
    assert run_cli(main, flags(folder, project, "--epochs", 1, "--workers", 0)) == 0
    last = project / "exp" / "weights" / "last.pt"
    content = load_checkpoint(last)
    content["training"]["progress"]["finished"] = False
    save_checkpoint(last, content)
    return project / "exp"


def refused(command: Callable[..., int], arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run_cli(command, [str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_that_another_run_writes_into(folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    place = ["--project", trained.parent, "--name", trained.name, "--exist-ok"]
    best = trained / "weights" / "best.pt"
    command = [sys.executable, "-c", HOLD, str(trained)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        line = f"error: {trained}: process {holder.pid} on "
        for main_, arguments in (
            (main, [*flags(folder, trained.parent), *place]),
            (main, ["--resume", trained / "weights" / "last.pt"]),
            (val.main, ["--weights", best, *place]),
            (detect.main, ["--weights", best, "--source", folder / "0.png", *place]),
        ):
            error = refused(main_, arguments, capsys)
            assert error.startswith(line)
            remedy = "end it first" if "--resume" in arguments else "choose another --name"  # which --resume refuses
            assert f"writes into it; wait for its end, or {remedy}" in error
        holder.communicate()
    found = {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    assert found == content
    # The others run again, and leave no lock behind.
    assert run_cli(detect.main, [*map(str, ("--weights", best, "--source", folder / "0.png", *place))]) == 0
    assert not (trained / ".lock").exists()


def test_an_earlier_run_is_not_this_one(
    folder: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In epoch 1, the last.pt that lies in the folder is not of this training."""
    (folder / "wild.yaml").write_text("lr0: 10\nwarmup_epochs: 0\nmosaic: 0\n")
    monkeypatch.setattr("engine.training.loop.torch.isfinite", lambda _: False)
    place = ["--project", trained.parent, "--name", trained.name, "--exist-ok"]
    error = refused(main, [*flags(folder, trained.parent, "--epochs", 2, "--workers", 0), *place], capsys)
    assert " in epoch 1; lower lr0 in --hyp, or check the boxes; no epoch was complete" in error


def test_val_with_a_worker_that_is_killed(
    folder: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill_one(*_: object, **__: object) -> None:
        worker = multiprocessing.active_children()[0]
        os.kill(int(worker.pid or 0), signal.SIGKILL)
        time.sleep(10)  # its death interrupts this, as whatever runs

    monkeypatch.setattr("engine.metrics.evaluate.select_boxes", kill_one)
    arguments = ["--weights", trained / "weights" / "best.pt", "--workers", 1, "--batch-size", 1, "--device", "cpu"]
    code = run_cli(val.main, [*map(str, [*arguments, "--project", trained.parent / "val"])])
    assert code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(KILLED)
