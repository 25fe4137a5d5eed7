"""`--imgsz` is rounded up to the stride, and said, by the one rule that all commands share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from engine.cli.run import run_cli
from engine.cli.train import main as train
from engine.cli.val import main as val
from engine.errors import EngineError
from engine.input_size import check_input_memory, fit_to_stride
from engine.options import TrainOptions
from engine.training.saving import save_epoch
from engine.training.start import prepare
from tests.engine.detect.colour_backend import draw, run, save
from tests.scripts.test_train_script import CFG


@pytest.mark.parametrize(
    ("asked", "stride", "used", "said"),
    [
        ((640,), 32, (640,), ""),
        ((100,), 32, (128,), "--imgsz 100 is not a multiple of the stride 32; 128 is used"),
        ((1,), 32, (32,), "--imgsz 1 is"),
        ((320, 321), 64, (320, 384), "--imgsz 320 321 is not a multiple of the stride 64; 320 384 is used"),
    ],
)
def test_sides_are_rounded_up_and_that_is_said_once(
    asked: tuple[int, ...], stride: int, used: tuple[int, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert fit_to_stride(asked, stride) == used
    assert len(caplog.records) == bool(said)
    assert said in caplog.text


def test_training_validation_and_detection_follow_it(
    tmp_path: Path, write_squares: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    write_squares(tmp_path, 5, batch_size=4)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CFG, default_flow_style=None))
    common = {"cfg": str(tmp_path / "tiny.yaml"), "data": str(tmp_path / "data.yaml"), "device": "cpu"}
    with ExitStack() as held:
        training = prepare(TrainOptions(**common, imgsz=50, workers=0, project=str(tmp_path / "train")), held)
    assert training.options.imgsz == 64
    assert yaml.safe_load((training.folder / "opt.yaml").read_text())["imgsz"] == 64
    assert next(iter(training.data.train_loader)).images.shape[2:] == (64, 64)
    assert "--imgsz 50 is not a multiple of the stride 16; 64 is used" in caplog.text

    save_epoch(training, improved=True)
    caplog.clear()
    flags = ["--weights", training.best, "--data", common["data"], "--imgsz", 40, "--workers", 0, "--device", "cpu"]
    assert run_cli(val, [str(flag) for flag in [*flags, "--project", tmp_path / "val"]]) == 0
    assert "--imgsz 40 is not a multiple of the stride 16; 48 is used" in caplog.text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.input_size.memory_bytes", lambda: 100)
        assert run_cli(val, [str(flag) for flag in [*flags, "--project", tmp_path / "none"]]) == 2
    assert not (tmp_path / "none").exists()

    caplog.clear()
    run(tmp_path, save(tmp_path / "a.png", draw((20, 20), (2, 2, 9, 9))), imgsz=(33,))
    assert "--imgsz 33 is not a multiple of the stride 32; 64 is used" in caplog.text


@pytest.mark.parametrize(("imgsz", "batch_size", "fits"), [(640, 16, True), (640, 99, True), (1280, 16, False)])
def test_an_input_that_no_memory_holds(
    imgsz: int, batch_size: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty images of 640 px in float32 are 98,304,000 bytes: as much as there is."""
    monkeypatch.setattr("engine.input_size.memory_bytes", lambda: 98_304_000)
    if fits:
        check_input_memory(imgsz, batch_size, images=20)
        return
    with pytest.raises(EngineError, match="--imgsz 1280: 16 images of that size fill 0 GiB, and"):
        check_input_memory(imgsz, batch_size, images=20)


def test_training_looks_at_the_memory(
    tmp_path: Path, write_squares: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_squares(tmp_path, 3, batch_size=2)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CFG))
    common = ["--data", str(tmp_path / "data.yaml"), "--imgsz", "65536", "--batch-size", "9999", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.input_size.memory_bytes", lambda: 2**34)
        assert run_cli(train, ["--cfg", str(tmp_path / "tiny.yaml"), *common, "--project", str(tmp_path)]) == 2
        assert (
            "--imgsz 65536: 3 images of that size fill 144 GiB, and this machine has 16 GiB" in capsys.readouterr().err
        )
