"""`hubconf.py` as `torch.hub` uses it: from another folder, in a process of its own."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine import DetectOptions, predict
from engine.checkpoint import save_checkpoint
from engine.errors import EngineError
from engine.hub.entries import open_architecture, open_weights
from engine.hub.model import HubModel
from models import Detector, build_model
from models.errors import ConfigError
from tests.places import ROOT

SMALL = {
    "nc": 2,
    "anchors": [[10, 13, 16, 30]],
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "SAConv2d", [8, 3, 2]]],
    "head": [[[-1], 1, "Detect", ["nc", "anchors"]]],
}
PROGRAM = """
import pathlib, sys
import numpy as np, torch
root, weights, picture = sys.argv[1:]
model = torch.hub.load(root, "custom", weights, source="local", device="cpu")
assert root not in sys.path
results = model([picture, np.zeros((64, 64, 3), np.uint8)])
assert results.files == [picture, "image1.jpg"]
results.save(save_dir="out/exp")
np.save("boxes.npy", results.xyxy[0].numpy())
fresh = torch.hub.load(root, "yolov5n_saconv", source="local", autoshape=False, classes=3)
assert fresh.training and fresh.num_classes == 3
print("engine" in sys.modules, pathlib.Path("out/exp").is_dir())
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of two classes that fires everywhere."""
    torch.manual_seed(0)
    model = build_model(SMALL)
    for conv in model.head.m:  # type: ignore[union-attr]
        conv.bias.data.view(2, -1)[:, 4:] += 8  # type: ignore[union-attr]
    path = tmp_path_factory.mktemp("weights") / "small.pt"
    content = {"model": model.state_dict(), "yaml": model.yaml, "names": ["cat", "dog"], "category_ids": [17, 18]}
    save_checkpoint(path, {**content, "imgsz": 64, "data": ""})
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "a.png"
    assert cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    return path


@pytest.mark.slow
def test_from_another_folder(tmp_path: Path, weights: Path, picture: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(ROOT), str(weights), str(picture)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr
    (expected,) = predict(DetectOptions(str(weights), str(picture), device="cpu"))
    assert len(expected)
    # On another number of threads sums are rounded otherwise.
    np.testing.assert_allclose(np.load(tmp_path / "boxes.npy")[:, :4], expected.xyxy, atol=1e-3)


def hubconf() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("hubconf", ROOT / "hubconf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_entries() -> None:
    module = hubconf()
    assert {"custom", "yolov5n", "yolov5n_saconv", "yolov8n_saconv", "yolov10s", "yolo26x_p2"} <= {*dir(module)}
    assert module.yolov5m_spconv.__name__ == "yolov5m_spconv"
    assert "yolov5m-spconv" in module.yolov5m_spconv.__doc__
    detector = module.yolov5n_saconv(autoshape=False)
    assert isinstance(detector, Detector)
    assert detector.yaml == build_model("yolov5n-saconv").yaml


def test_it_imports_nothing_but_the_engine() -> None:
    tree = ast.parse((ROOT / "hubconf.py").read_text())
    typing_only = next(node for node in tree.body if isinstance(node, ast.If))
    tree.body.remove(typing_only)
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {(module or "").split(".")[0] for module in modules} == {"__future__", "pathlib", "typing", "engine"}


def test_another_package_of_the_same_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = types.ModuleType("models")
    other.__file__ = str(tmp_path / "models/__init__.py")
    monkeypatch.setitem(sys.modules, "models", other)
    with pytest.raises(ImportError, match=r"models/__init__\.py has been imported as 'models'.*rename yours"):
        hubconf()


def test_what_its_options_choose(weights: Path, picture: Path) -> None:
    model = open_weights(weights, device="cpu", bf16=True)
    assert isinstance(model, HubModel)
    assert model.backend.dtype == torch.bfloat16
    assert model.names == {0: "cat", 1: "dog"}
    assert model.device == torch.device("cpu")
    bare = open_weights(weights, autoshape=False, device="cpu")
    assert isinstance(bare, Detector)
    assert not bare.training
    with pytest.raises(EngineError, match="nonsense"):
        open_weights(weights, device="nonsense")
    with pytest.raises(ConfigError, match="yolov5nn"):
        open_weights(weights, cfg="yolov5nn", device="cpu")
    with pytest.raises(EngineError, match="no back end"):
        open_weights(picture, device="cpu")


def test_fresh_weights_stay_the_same_on_every_device(caplog: pytest.LogCaptureFixture, picture: Path) -> None:
    model = open_architecture("yolov5n-saconv", classes=3, device="cpu")
    assert isinstance(model, HubModel)
    assert "fresh weights, which find noise" in caplog.text
    assert len(model.names) == 3
    model.conf = 0.0
    before = model(picture, size=64).xyxy[0]
    assert len(before)
    torch.testing.assert_close(model.cpu()(picture, size=64).xyxy[0], before)
    with pytest.raises(EngineError, match="no trained weights come along"):
        open_architecture("yolov5n-saconv", pretrained=True)


def test_weights_in_an_architecture(weights: Path) -> None:
    with pytest.raises(Exception, match="has no weights for") as raised:
        open_architecture("yolov5n", weights, device="cpu")
    assert type(raised.value).__name__ == "WeightsError"
