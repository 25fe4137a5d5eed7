"""train.py as a person runs it: what it leaves behind, Ctrl-C, and one line for bad input."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
import yaml

from engine import ResumeOptions, TrainOptions, train
from engine.cli import val
from engine.cli.run import run_cli
from engine.cli.train import main
from engine.metrics.coco import FIGURES
from tests.places import ROOT

CFG = {
    "nc": 80,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "anchors": [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]],
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "SAConv2d", [16, 3, 2]],
        [-1, 1, "C3", [16], {"conv": "SPConv"}],
        [-1, 1, "SPConv", [32, 3, 2]],
    ],
    "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_squares: Callable[..., None]) -> Path:
    """Ten images with a bright square each (class 12) and one without, as data.yaml; a small model as tiny.yaml."""
    root = tmp_path_factory.mktemp("train")
    write_squares(root, 11, batch_size=4, empty=[0], others=[{"id": 3, "name": "nothing"}])
    (root / "tiny.yaml").write_text(yaml.safe_dump(CFG, default_flow_style=None))
    return root


def flags(folder: Path, project: Path, *more: object) -> list[str]:
    common = ("--cfg", folder / "tiny.yaml", "--data", folder / "data.yaml", "--device", "cpu", "--project", project)
    return [str(flag) for flag in (*common, *more)]


def process(arguments: Sequence[str], cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A test run in the background of a shell would hand "ignore Ctrl-C" on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_run_leaves_everything_behind(folder: Path, tmp_path: Path) -> None:
    done = process(flags(folder, tmp_path, "--epochs", 2, "--workers", 2), tmp_path)
    output = done.communicate(timeout=300)[0]
    assert done.returncode == 0, output
    run = tmp_path / "exp"
    expected = {"opt.yaml", "hyp.yaml", "results.csv", "results.png", "PR_curve.png", "confusion_matrix.png"}
    expected |= {"weights", "labels.png", "train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg"}
    expected |= {f"val_batch{k}_{kind}.jpg" for k in (0, 1) for kind in ("labels", "pred")}
    found = {entry.name for entry in run.iterdir()}
    assert {name for name in found if not name.startswith("events.out.tfevents")} == expected
    assert any(name.startswith("events.out.tfevents") for name in found)
    assert all(cv2.imread(str(run / name)) is not None for name in expected if name.endswith(("png", "jpg")))
    assert {entry.name for entry in (run / "weights").iterdir()} == {"best.pt", "last.pt"}
    assert [row["epoch"] for row in rows(run)] == ["0", "1"]
    assert {"train/box_loss", "train/obj_loss", "train/cls_loss", "val/box_loss", "metrics/AP", "x/lr"} < set(
        rows(run)[0]
    )
    options = yaml.safe_load((run / "opt.yaml").read_text())
    assert (options["epochs"], options["batch_size"], options["imgsz"]) == (2, 4, 64)  # the data set's own defaults
    best = torch.load(run / "weights" / "best.pt", weights_only=True)
    assert (best["names"], best["category_ids"]) == (["nothing", "square"], [3, 12])
    # What is handed on names no folder of its author; in its place the run's options know the data set.
    last = torch.load(run / "weights" / "last.pt", weights_only=True)
    assert last.pop("training")["options"]["data"] == str(folder / "data.yaml")
    for content in (best, last):
        assert str(folder) not in str({**content, "model": None})
    measured = ["--weights", str(run / "weights" / "best.pt"), "--workers", "0", "--device", "cpu"]
    assert run_cli(val.main, [*measured, "--project", str(tmp_path / "val")]) == 0
    assert "AP50" in output
    assert "11 images, 10 boxes (1 without boxes)" in output


def test_python_gets_figures_paths_and_history(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.3, 0.1])
    monkeypatch.setattr("engine.training.loop.fitness", lambda _: next(scores))
    options = TrainOptions(str(folder / "tiny.yaml"), data=str(folder / "data.yaml"), epochs=2, device="cpu", workers=0)
    result = train(replace(options, project=str(tmp_path), noplots=True, noval=False))
    run = tmp_path / "exp"
    assert (result.folder, result.best, result.last) == (run, run / "weights/best.pt", run / "weights/last.pt")
    assert (result.best_epoch, result.interrupted) == (0, False)
    assert [row["epoch"] for row in result.history] == [0, 1]
    table = [{key: float(text) for key, text in row.items()} for row in rows(run)]
    assert repr([*result.history]) == repr(table)  # nan is not equal to itself
    # best.pt is the first epoch's, measured again
    assert {*result.figures} == {*FIGURES}
    assert result.figures["AP"] == pytest.approx(table[0]["metrics/AP"], rel=1e-4, abs=1e-6)
    assert capsys.readouterr().out == ""


def test_an_interrupted_training_is_a_result_that_can_be_resumed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.3])

    def score(_: object) -> float:
        try:
            return next(scores)
        except StopIteration:
            raise KeyboardInterrupt from None

    options = TrainOptions(str(folder / "tiny.yaml"), data=str(folder / "data.yaml"), epochs=3, device="cpu", workers=0)
    options = replace(options, project=str(tmp_path), noplots=True)
    with monkeypatch.context() as patch:
        patch.setattr("engine.training.loop.fitness", score)
        result = train(options)
    assert (result.interrupted, result.figures, len(result.history)) == (True, {}, 1)
    assert result.last is not None
    resumed = train(ResumeOptions(str(result.last)))
    assert (resumed.folder, resumed.interrupted, len(resumed.history)) == (result.folder.resolve(), False, 3)
    assert repr(resumed.history[0]) == repr(result.history[0])


def test_interrupted_before_the_first_epoch_there_is_nothing_to_resume(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.training.loop.fitness", score)
    options = TrainOptions(str(folder / "tiny.yaml"), data=str(folder / "data.yaml"), epochs=3, device="cpu", workers=0)
    result = train(replace(options, project=str(tmp_path), noplots=True))
    assert (result.best, result.last, result.history, result.interrupted) == (None, None, (), True)


def test_interrupted_when_the_checkpoint_has_just_got_its_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(_: Path) -> None:
        if (tmp_path / "exp/weights/last.pt").is_file():
            raise KeyboardInterrupt

    monkeypatch.setattr("engine.checkpoint.sync_folder", interrupt)
    options = TrainOptions(str(folder / "tiny.yaml"), data=str(folder / "data.yaml"), epochs=3, device="cpu", workers=0)
    caplog.set_level("INFO")
    result = train(replace(options, project=str(tmp_path), noplots=True))
    assert result.last is not None
    assert f"{result.last} holds epoch 1: --resume {result.last}" in caplog.text


@pytest.mark.slow
def test_interrupt_keeps_the_last_checkpoint(folder: Path, tmp_path: Path) -> None:
    running = process(flags(folder, tmp_path, "--epochs", 1000, "--noplots", "--workers", 2), tmp_path)
    last = tmp_path / "exp" / "weights" / "last.pt"
    deadline = time.monotonic() + 200
    while not last.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    output = running.communicate(timeout=60)[0]
    assert running.returncode == 130, output
    assert "Traceback" not in output
    assert f"--resume {last}" in output
    assert torch.load(last, weights_only=True)["training"]["progress"]["epoch"] >= 1
    assert [int(row["epoch"]) for row in rows(tmp_path / "exp")] == list(range(len(rows(tmp_path / "exp"))))


@pytest.mark.slow
def test_it_learns(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "hyp.yaml").write_text("mosaic: 0.0\nscale: 0.1\nwarmup_epochs: 0.0\n")
    more = ("--epochs", 150, "--optimizer", "AdamW", "--hyp", tmp_path / "hyp.yaml", "--noval", "--workers", 0)
    assert run_cli(main, flags(folder, tmp_path, *more, "--noplots", "--batch-size", 11)) == 0
    assert float(rows(tmp_path / "exp")[-1]["metrics/AP50"]) > 0.5


@pytest.mark.slow
def test_it_stops_early_when_nothing_improves(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.3, 0.1, 0.9])
    monkeypatch.setattr("engine.training.loop.fitness", lambda _: next(scores))
    more = ("--epochs", 50, "--patience", 3, "--noplots", "--workers", 0)
    assert run_cli(main, flags(folder, tmp_path, *more)) == 0
    assert [row["epoch"] for row in rows(tmp_path / "exp")] == ["0", "1", "2", "3", "4"]
    assert torch.load(tmp_path / "exp/weights/best.pt", weights_only=True)["epoch"] == 2


@pytest.mark.slow
def test_weights_of_another_class_count_are_taken_over(folder: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    assert run_cli(main, flags(folder, tmp_path, "--epochs", 1, "--noplots", "--workers", 0)) == 0
    only = yaml.safe_load((folder / "data.yaml").read_text()) | {"names": ["square"], "path": str(folder)}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(only))
    first = tmp_path / "exp" / "weights" / "best.pt"
    more = ("--data", tmp_path / "one.yaml", "--weights", first, "--epochs", 1, "--noplots", "--freeze", 2)
    assert run_cli(main, flags(folder, tmp_path, *more, "--workers", 0)) == 0
    assert "box, objectness and the 1 classes that both know" in caplog.text
    before, after = (torch.load(tmp_path / n / "weights/best.pt", weights_only=True) for n in ("exp", "exp2"))
    assert torch.equal(before["model"]["model.1.conv.weight"], after["model"]["model.1.conv.weight"])
    assert not torch.equal(before["model"]["model.2.weight"], after["model"]["model.2.weight"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--cfg", "yolov5z.yaml"], "yolov5z.yaml"),
        (["--data", "nowhere.yaml"], "nowhere.yaml"),
        (["--hyp", "nowhere"], "nowhere: no such hyperparameter file"),
        (["--weights", "nowhere.pt"], "nowhere.pt: no such checkpoint"),
        (["--device", "77"], "--device 77"),
        (["--freeze", "9", "3"], "--freeze: there is no row 9"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert run_cli(main, flags(folder, tmp_path / "runs", *more)) == 2
    errors = capsys.readouterr().err.splitlines()
    line = [text for text in errors if text.startswith("error: ")]
    assert len(line) == 1
    assert message in line[0]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--cfg yolov5s-sacnov.yaml", "did you mean 'yolov5s-saconv.yaml'"),
        ("--hyp scrach", "scrach: no such hyperparameter file; did you mean 'scratch.yaml'?"),
        ("--data cocco", "cocco: no such data-set YAML; did you mean 'coco.yaml'?"),
        ("--weights nowhere.pt", "nowhere.pt: no such checkpoint; check --weights"),
        ("--device 99", "--device 99: "),
        (
            "--cfg yolov5n.yaml --freeze 3 24",
            "--freeze: there is no row 24 to freeze; the model has rows 0 to 23 before its head",
        ),
    ],
)
def test_what_is_misspelt_is_noticed_before_any_picture_is_drawn_or_looked_at(
    argv: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("load_splits", "ensure_demo_dataset"):
        monkeypatch.setattr(f"engine.training.start.{name}", lambda *_: pytest.fail("looked at pictures"))
    assert run_cli(main, [*argv.split(), "--project", str(tmp_path / "runs")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("default", "message"),
    [
        ({"optimizer": "Foo"}, "optimizer: 'Foo' is not one of SGD, Adam, AdamW"),
        ({"imgsz": 320000000}, "imgsz: 320000000 is not a whole number from 1 to 65,536"),
        ({"epochs": 10**30}, "epochs: 1000000000000000000000000000000 is not a whole number from 1 to"),
        ({"hyp": "nowhere"}, "hyp: nowhere: no such hyperparameter file"),
    ],
)
def test_a_default_of_the_data_set_is_reported_as_its_own(
    default: dict[str, object], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.yaml"
    data.write_text(
        yaml.safe_dump({**yaml.safe_load((folder / "data.yaml").read_text()), "path": str(folder), **default})
    )
    assert run_cli(main, flags(folder, tmp_path / "runs", "--data", data)) == 2
    assert f"error: {data}: {message}" in capsys.readouterr().err


def test_with_strict_a_broken_image_stops_before_anything_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "4.png").write_bytes((broken / "4.png").read_bytes()[:300])
    assert run_cli(main, flags(broken, tmp_path / "runs", "--data", broken / "data.yaml", "--strict")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "4.png" in error
    assert not (tmp_path / "runs").exists()
