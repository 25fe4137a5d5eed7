"""`python detect.py` as a person runs it: a process of its own, real weights files, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine.backends import open_backend
from engine.checkpoint import save_checkpoint
from engine.cli.detect import main
from engine.cli.run import run_cli
from engine.detect.predictor import Predictor
from models import build_model
from tests.places import ROOT


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained yolov5n-saconv of two classes that fires everywhere."""
    torch.manual_seed(0)
    model = build_model("yolov5n-saconv.yaml", num_classes=2)
    for conv in model.head.m:  # type: ignore[union-attr]
        conv.bias.data.view(3, -1)[:, 4:] += 8  # type: ignore[union-attr]
    path = tmp_path_factory.mktemp("weights") / "random.pt"
    content = {"model": model.state_dict(), "yaml": model.yaml, "names": ["cat", "dog"], "category_ids": [17, 18]}
    save_checkpoint(path, {**content, "imgsz": 64, "data": ""})
    return path


def _command(argv: Sequence[object]) -> list[str]:
    return [sys.executable, str(ROOT / "detect.py"), *map(str, argv)]


def _detect(folder: Path, *argv: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    return subprocess.run(_command(argv), cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def _pictures(folder: Path, count: int = 2) -> Path:
    folder.mkdir()
    for number in range(count):
        image = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), image)
    return folder


@pytest.mark.slow
def test_pictures_with_every_output(tmp_path: Path, weights: Path) -> None:
    pictures = _pictures(tmp_path / "in")
    flags = ("--save-txt", "--save-conf", "--save-crop", "--save-json", "--device", "cpu", "--max-det", 5)
    result = _detect(tmp_path, "--weights", weights, "--source", pictures, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    folder = tmp_path / "runs/detect/exp"
    entries = json.loads((folder / "predictions.json").read_text())
    assert len(entries) == 10
    for entry in entries:
        x, y, w, h = entry["bbox"]
        assert entry["category_id"] in (17, 18)
        assert entry["file_name"] == f"{entry['image_id']}.jpg"
        assert 0 <= x <= x + w <= 64
        assert 0 <= y <= y + h <= 48
    for number in range(2):
        assert f"image {number + 1}/2 " in result.stdout
        lines = (folder / f"labels/{number}.txt").read_text().splitlines()
        assert [len(line.split()) for line in lines] == [6] * 5
        before, after = cv2.imread(str(pictures / f"{number}.jpg")), cv2.imread(str(folder / f"{number}.jpg"))
        assert before.shape == after.shape
        assert np.abs(before.astype(int) - after).max() > 50, "boxes are drawn"
    assert len(list(folder.glob("crops/*/*.jpg"))) == 10
    assert "ms pre-process" in result.stdout
    assert "results in runs/detect/exp" in result.stdout


def test_bfloat16_finds_what_float32_finds(weights: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    exact, rounded = (
        Predictor(open_backend(weights, device=torch.device("cpu"), dtype=dtype), max_det=3, iou_thres=0.2)(image)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert len(exact) == len(rounded) == 3
    np.testing.assert_allclose(rounded.confidence, exact.confidence, atol=0.05)
    assert not np.array_equal(rounded.confidence, exact.confidence), "it was another precision"


def test_a_missing_source_is_one_line_and_exit_code_2(tmp_path: Path, weights: Path) -> None:
    result = _detect(tmp_path, "--weights", weights, "--source", "missing.jpg")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: missing.jpg: no such file or folder; check --source\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--source", "empty"), "error: empty: no picture or video in this folder"),
        (("--source", "broken.jpg"), "error: broken.jpg: the image file is empty"),
        (("--source", "in", "--weights", "missing.pt"), "error: missing.pt: no such weights file"),
        (("--source", "in", "--weights", "broken.pt"), "error: broken.pt: "),
        (("--source", "in", "--weights", "model.onnx9"), "error: model.onnx9: no back end"),
        (("--source", "in", "--classes", "horse"), "error: --classes horse: "),
        (("--source", "in", "--view-img"), "error: --view-img: "),
        (("--source", "in", "--device", "cuda:99"), "error: --device cuda:99: "),
        (("--source", "in", "--project", "broken.jpg"), "error: broken.jpg"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path,
    weights: Path,
    flags: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    _pictures(tmp_path / "in", count=1)
    (tmp_path / "empty").mkdir()
    for name in ("broken.jpg", "broken.pt", "model.onnx9"):
        (tmp_path / name).write_bytes(b"")
    assert run_cli(main, ["--weights", str(weights), *flags]) == 2
    errors = capfd.readouterr().err
    assert errors.startswith(message)
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_broken_file_among_many_gives_exit_code_1(tmp_path: Path, weights: Path) -> None:
    _pictures(tmp_path / "in")
    (tmp_path / "in/0.jpg").write_bytes(b"\xff\xd8 not much of a JPEG")
    result = _detect(tmp_path, "--weights", weights, "--source", "in")
    assert result.returncode == 1
    assert [path.name for path in (tmp_path / "runs/detect/exp").iterdir()] == ["1.jpg"]
    assert result.stderr.startswith("error: in/0.jpg: ")
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to a single process on Windows")
def test_ctrl_c_during_a_video_keeps_what_is_done(tmp_path: Path, weights: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(5_000):
        writer.write(np.full((48, 64, 3), number % 256, np.uint8))
    writer.release()
    argv = ("--weights", weights, "--source", "clip.avi", "--save-json", "--device", "cpu", "--max-det", 2)
    with subprocess.Popen(
        _command(argv),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell would hand "ignore Ctrl-C" on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "(frame 5/" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors
    folder = tmp_path / "runs/detect/exp"
    assert sorted(path.name for path in folder.iterdir()) == ["clip.mp4", "predictions.json"]
    frames = cv2.VideoCapture(str(folder / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT)
    assert 4 <= frames < 5_000, "the line of a frame comes before the frame is written"
    assert max(entry["frame"] for entry in json.loads((folder / "predictions.json").read_text())) <= frames + 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the shell lines are those of Linux")
def test_lines_that_nobody_can_read(tmp_path: Path, weights: Path) -> None:
    pictures = _pictures(tmp_path / "in")
    (pictures / "0.jpg").rename(pictures / "0\x1b[2J\n\udcff.jpg")
    command = shlex.join(_command(["--weights", weights, "--source", pictures, "--device", "cpu", "--save-json"]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "ascii"}
    full = "error: standard output cannot be written: no space left on device; lead it elsewhere\n"
    for number, (redirection, code, errors) in enumerate(
        [(" | head -1", 0, ""), (" >/dev/full", 2, full), (" >&- 2>&-", 0, "")]
    ):
        shell = ["bash", "-o", "pipefail", "-c", f"{command} --name {number}{redirection}"]
        done = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stderr) == (code, errors)
        found = {entry.name for entry in (tmp_path / f"runs/detect/{number}").iterdir()}
        assert found == {"0_[2J_\udcff.jpg", "1.jpg", "predictions.json"}
