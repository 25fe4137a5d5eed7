"""Detection, validation and training with a checkpoint of ultralytics, as with one's own of the same weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from engine import DetectOptions, TrainOptions, ValOptions, predict, train, validate
from engine.checkpoint import save_checkpoint
from engine.cli.run import run_cli
from engine.cli.train import main as train_command
from models import Detector, build_model
from models.weights.load import load_detector
from tests.models.weights import ultralytics_files as files

TINY = {**files.TINY, "nc": 1}
TINY_26 = {**files.TINY_26, "nc": 1}
ROWS = TINY["backbone"]
SWAPPED = [*ROWS[:2], [*ROWS[2], {"conv": "SAConv2d"}], [-1, 1, "SAConv2d", [128, 3, 2]], ROWS[4]]


@pytest.fixture
def data(tmp_path: Path, write_squares: Callable[..., None]) -> Path:
    write_squares(tmp_path, 4, batch_size=2)
    return tmp_path / "data.yaml"


def _both(folder: Path, content: dict[str, Any]) -> tuple[Detector, dict[str, Path]]:
    """A detector, as a checkpoint of ultralytics and as one of this project."""
    model, classes = files.detector_of(content, ["square"], build_model), files.Classes()
    twin = files.mirrored(copy.deepcopy(model).half(), classes, "DetectionModel")
    theirs = classes.save(files.unfinished(files.described(twin, content, ["square"]), classes), folder / "theirs.pt")
    facts = {"names": ["square"], "category_ids": [12], "imgsz": 64}
    save_checkpoint(folder / "own.pt", {"model": model.state_dict(), "yaml": model.yaml, **facts})
    return model, {"own": folder / "own.pt", "theirs": theirs}


@pytest.mark.parametrize("content", [TINY, TINY_26], ids=["one head", "two heads"])
def test_detection_and_validation_are_those_of_the_same_weights(content: dict[str, Any], data: Path) -> None:
    _, weights = _both(data.parent, content)
    found, metrics = {}, {}
    for name, path in weights.items():
        picture = str(data.parent / "0.png")
        (found[name],) = list(predict(DetectOptions(weights=str(path), source=picture, conf_thres=1e-5, device="cpu")))
        common: dict[str, Any] = {"weights": str(path), "data": str(data), "device": "cpu", "workers": 0}
        metrics[name] = validate(ValOptions(**common, project=str(data.parent / name))).detections
    assert len(found["own"]) > 3
    for part in ("xyxy", "confidence", "class_id"):
        np.testing.assert_allclose(getattr(found["own"], part), getattr(found["theirs"], part), rtol=1e-4, atol=1e-4)
    assert len(metrics["own"]) == len(metrics["theirs"]) > 3
    for own, theirs in zip(metrics["own"], metrics["theirs"], strict=True):
        np.testing.assert_allclose(own["bbox"], theirs["bbox"], atol=1e-2)


@pytest.mark.parametrize("content", [TINY, TINY_26], ids=["one head", "two heads"])
def test_training_starts_from_it_with_another_convolution(
    content: dict[str, Any], data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model, weights = _both(data.parent, content)
    cfg = data.with_name("swapped.yaml")
    swapped = SWAPPED if content is TINY else [*SWAPPED[:2], [*content["backbone"][2], SWAPPED[2][4]], *SWAPPED[3:]]
    cfg.write_text(yaml.safe_dump({**content, "backbone": swapped}, default_flow_style=None))
    common = {"data": str(data), "device": "cpu", "workers": 0, "noplots": True, "project": str(data.parent / "runs")}
    result = train(TrainOptions(weights=str(weights["theirs"]), cfg=str(cfg), epochs=1, **common))
    assert "ultralytics checkpoint in the middle of a training, of which only the weights are taken" in caplog.text
    assert "Conv to SAConv2d: the same function" in caplog.text
    trained = load_detector(result.folder / "weights" / "last.pt")
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before, after = model.predict(images), trained.predict(images)
    # some steps away, and no new start
    assert 0 < (before.boxes_xyxy - after.boxes_xyxy).abs().mean() < 2


def test_its_training_is_not_resumed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, weights = _both(data.parent, TINY)
    assert run_cli(train_command, ["--resume", str(weights["theirs"])]) == 2
    assert "a training of another program is not resumed, but its weights are a start with --weights" in (
        capsys.readouterr().err
    )
