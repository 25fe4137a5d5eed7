"""YOLOv5's pickled checkpoints: read without their code.

The files are written with classes of a package `models.yolo` that exists only while they are written.
"""

from __future__ import annotations

import argparse
import copy
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from files.classes import Classes
from models import build_model
from models.detector import Detector
from models.errors import WeightsError
from models.weights.load import load_detector
from models.weights.source import load_source
from tests.models.weights.foreign_network import YAML, make_network, save_foreign
from tests.places import SHARED

WEIGHTS = SHARED / "weights" / "yolov5n.pt"


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_modules_become_a_state_dict(
    legacy: bool, foreign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_network(foreign).half()
    expected = {key: value.float() for key, value in model.state_dict().items() if "anchor_grid" not in key}
    source = load_source(save_foreign({"model": model, "ema": None}, tmp_path / "a.pt", monkeypatch, legacy))
    assert source.classes == Classes.of(["cat", "dog"])
    assert source.origin == "YOLOv5 checkpoint"
    assert source.yaml == {key: value for key, value in YAML.items() if key != "yaml_key_of_a_fork"}
    assert list(source.state) == list(expected)
    for key, value in expected.items():
        assert torch.equal(source.state[key].to(value.dtype), value)
        assert source.state[key].dtype == (torch.float32 if "tracked" not in key else torch.int64)


def test_what_lies_beside_the_weights(foreign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Average preferred; names as a map; a training's NumPy figures, paths and optimiser do no harm."""
    model, ema = make_network(foreign), make_network(foreign, names={1: "dog", 0: "cat"})
    content = {
        "model": model,
        "ema": ema,
        "best_fitness": np.float64(0.5),
        "figures": np.ones(3),
        "opt": {"imgsz": 320, "save_dir": Path("runs")},
        "optimizer": torch.optim.SGD(model.parameters(), 0.1).state_dict(),
        "device": torch.device("cpu"),
        "sets": {1, 2},
    }
    expected = ema.state_dict()["model.0.conv.weight"]
    source = load_source(save_foreign(content, tmp_path / "a.pt", monkeypatch))
    assert torch.equal(source.state["model.0.conv.weight"], expected)
    assert (source.classes, source.imgsz) == (Classes.of(["cat", "dog"]), 320)


# As v5.0's YAMLs were written: Focus, BottleneckCSP, SPP, "None" as text.
OLD_YAML = {
    "nc": 2,
    "depth_multiple": 0.33,
    "width_multiple": 0.25,
    "anchors": [[10, 13, 16, 30], [30, 61, 62, 45]],
    "backbone": [
        [-1, 1, "Focus", [32, 3]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 3, "BottleneckCSP", [64]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "SPP", [128, [5, 9, 13]]],
        [-1, 3, "C3", [128, False]],
    ],
    "head": [
        [-1, 1, "Conv", [64, 1, 1]],
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 2], 1, "Concat", [1]],
        [-1, 3, "C3", [64, False]],
        [[9, 5], 1, "Detect", ["nc", "anchors"]],
    ],
    "ch": 3,
}


def _detector(**changes: Any) -> Detector:
    """A network with statistics of its own and scores that differ, in evaluation mode; float16 holds its weights."""
    torch.manual_seed(0)
    model = build_model({**OLD_YAML, **changes})
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = None
    model.train()(torch.rand(4, 3, 64, 64))
    model.classes = Classes.of(["cat", "dog"])
    return model.eval().half().float()


def _pickled_like(release: str, module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same tree of modules as objects of YOLOv5's classes, with what that release keeps in them."""
    for name in ("models.common", "models.yolo"):
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name) or types.ModuleType(name))

    def mirror(part: nn.Module, name: str = "") -> nn.Module:
        if type(part).__module__.startswith("torch."):
            for child_name, child in part.named_children():
                setattr(part, child_name, mirror(child))
            if isinstance(part, nn.Upsample):
                del part.recompute_scale_factor  # torch 1.7 had none
            return part
        name = name or type(part).__name__
        home: Any = sys.modules["models.yolo" if name in ("Detect", "Model", "DetectionModel") else "models.common"]
        if not hasattr(home, name):
            setattr(home, name, type(name, (nn.Module,), {"__module__": home.__name__}))
        twin = getattr(home, name)()
        for key in ("_parameters", "_buffers", "_non_persistent_buffers_set"):
            setattr(twin, key, getattr(part, key))
        for child_name, child in part.named_children():
            setattr(twin, child_name, mirror(child))
        return twin

    old = release == "v5.0"
    twin: Any = mirror(copy.deepcopy(module), "Model" if old else "DetectionModel")
    head = twin.model[-1]
    del head._buffers["stride"]
    head.stride = torch.tensor([4.0, 8.0])
    if old:
        head.register_buffer("anchor_grid", torch.ones(2, 1, 2, 1, 1, 2))
    else:
        head.anchor_grid, head.grid = [torch.empty(0)] * 2, [torch.empty(0)] * 2
    twin.yaml, twin.stride, twin.hyp, twin.gr = {**module.yaml}, head.stride, {"lr0": 0.01}, 1.0
    twin.names = list(module.names) if old else dict(enumerate(module.names))
    return twin


def _decoded(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)))[0]


def _assert_same(path: Path, expected: torch.Tensor) -> None:
    detector = load_detector(path)
    assert detector.names == ["cat", "dog"]
    torch.testing.assert_close(_decoded(detector), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("stripped", [True, False])
@pytest.mark.parametrize("release", ["v5.0", "v7.0"])
def test_old_and_new_releases_compute_the_same(
    release: str, stripped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _detector()
    twin = _pickled_like(release, model, monkeypatch).half()
    content: dict[str, Any] = {"epoch": -1, "best_fitness": None, "model": twin, "ema": None, "optimizer": None}
    if not stripped:
        other = _pickled_like(release, _detector(), monkeypatch).half()
        for parameter in other.parameters():
            parameter.data.zero_()
        optimizer = torch.optim.SGD(other.parameters(), 0.1, momentum=0.9).state_dict()
        content = {"epoch": 3, "best_fitness": np.array([0.5]), "training_results": "...", "wandb_id": None}
        content |= {"model": other, "ema": twin, "updates": 77, "optimizer": optimizer}
        options = types.SimpleNamespace(imgsz=64, save_dir=Path("runs"))
        content["opt"] = vars(options) if release == "v7.0" else argparse.Namespace(**vars(options))
    path = tmp_path / "a.pt"
    torch.save(content, path, _use_new_zipfile_serialization=release != "v5.0")
    for name in ("common", "yolo"):
        monkeypatch.delitem(sys.modules, f"models.{name}")
    _assert_same(path, _decoded(model))
    assert not any("anchor_grid" in key for key in load_source(path).state)


def test_the_activation_is_that_of_the_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edited code, and releases before v4.0, had others than SiLU, of which the YAML says nothing."""
    for text, act in (("nn.Hardswish()", nn.Hardswish()), ("nn.LeakyReLU(0.1)", nn.LeakyReLU(0.1))):
        model = _detector(activation=text)
        model.yaml.pop("activation")
        torch.save({"model": _pickled_like("v5.0", model, monkeypatch)}, tmp_path / "a.pt")
        _assert_same(tmp_path / "a.pt", _decoded(model))
        assert (load_source(tmp_path / "a.pt").yaml or {})["activation"] == text
        # BottleneckCSP's own activation was LeakyReLU up to v5.0.
        model.get_submodule("model.2").act = act
        expected = _decoded(model)
        torch.save({"model": _pickled_like("v5.0", model, monkeypatch)}, tmp_path / "b.pt")
        assert load_source(tmp_path / "b.pt").activations == {"model.2.act": text}
        _assert_same(tmp_path / "b.pt", expected)
        assert not torch.allclose(_decoded(load_detector(tmp_path / "a.pt")), expected, atol=0.01)


def test_an_activation_of_a_fork_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fork: Any = types.ModuleType("utils.activations")
    monkeypatch.setitem(sys.modules, "utils", types.ModuleType("utils"))
    monkeypatch.setitem(sys.modules, "utils.activations", fork)
    fork.Wobble = type("Wobble", (nn.Module,), {"__module__": "utils.activations"})
    twin = _pickled_like("v5.0", _detector(), monkeypatch)
    twin.model[1].act = fork.Wobble()
    torch.save({"model": twin}, tmp_path / "c.pt")
    with pytest.raises(WeightsError, match=r"c\.pt: .*unknown activation 'nn.Wobble\(\)'") as caught:
        load_detector(tmp_path / "c.pt")
    assert "\n" not in str(caught.value)


def test_wrapped_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State dicts and objects of DataParallel, torch.compile, and of what torch.hub gives (AutoShape)."""
    model = _detector()
    tensors = {**model.state_dict(), "model.10.anchor_grid": torch.ones(1)}
    for number, prefix in enumerate(("module.", "model.", "model.model.", "_orig_mod.", "module._orig_mod.")):
        torch.save({f"{prefix}{key}": value for key, value in tensors.items()}, tmp_path / f"{number}.pt")
        assert load_source(tmp_path / f"{number}.pt").state.keys() == model.state_dict().keys()

    for number, kind in enumerate(("AutoShape", "DataParallel")):
        twin = _pickled_like("v7.0", model, monkeypatch)
        if kind == "DataParallel":
            wrapper: Any = nn.DataParallel(twin)
        else:
            common: Any = sys.modules["models.common"]
            common.AutoShape = type("AutoShape", (nn.Module,), {"__module__": "models.common"})
            wrapper = common.AutoShape()
            wrapper.model, wrapper.yaml, wrapper.names = twin, twin.yaml, twin.names
        torch.save({"model": wrapper}, tmp_path / f"wrapped{number}.pt")
        _assert_same(tmp_path / f"wrapped{number}.pt", _decoded(model))


def test_bare_state_dicts(tmp_path: Path) -> None:
    tensors = {"model.0.conv.weight": torch.ones(1, 1, 1, 1)}
    for number, content in enumerate((tensors, {"model": tensors}, {f"module.{key}": tensors[key] for key in tensors})):
        torch.save(content, tmp_path / f"{number}.pt")
        source = load_source(tmp_path / f"{number}.pt")
        assert list(source.state) == list(tensors)
        assert (source.yaml, source.classes) == (None, None)
    torch.save({"model": {"layer1.weight": torch.ones(1)}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt: holds no weights of a detector"):
        load_source(tmp_path / "other.pt")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="shared/weights/yolov5n.pt is not here")
def test_the_real_checkpoint() -> None:
    source = load_source(WEIGHTS)
    assert source.classes is not None
    assert source.yaml is not None
    assert (len(source.classes), source.classes.names[0], source.classes.names[79]) == (80, "person", "toothbrush")
    assert (source.yaml["nc"], source.yaml["width_multiple"]) == (80, 0.25)
    assert len(source.state) == 349
    anchors_px = source.state["model.24.anchors"] * torch.tensor([8, 16, 32]).view(3, 1, 1)
    written = torch.tensor(source.yaml["anchors"], dtype=torch.float32).view(3, 3, 2)
    torch.testing.assert_close(anchors_px, written, rtol=1e-3, atol=0)  # stored in half precision
