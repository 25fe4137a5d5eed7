"""Checkpoints as ultralytics writes them, without its code: pickles of stand-in classes under its module names.

The classes are importable while a file is written, and at no other time.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from files.strict_yaml import read_yaml
from models.blocks.activation import build_activation
from models.config.reader import find_config
from models.detector import Detector
from models.errors import ConfigError

BLOCKS = "ultralytics.nn.modules.block"
NEW_HOMES = {
    "Conv": "ultralytics.nn.modules.conv",
    "DWConv": "ultralytics.nn.modules.conv",
    "GhostConv": "ultralytics.nn.modules.conv",
    "Concat": "ultralytics.nn.modules.conv",
    "Detect": "ultralytics.nn.modules.head",
    "v10Detect": "ultralytics.nn.modules.head",
    "DetectionModel": "ultralytics.nn.tasks",
    "SegmentationModel": "ultralytics.nn.tasks",
    "IterableSimpleNamespace": "ultralytics.utils",
    "v8DetectionLoss": "ultralytics.utils.loss",
    "BboxLoss": "ultralytics.utils.loss",
    "TaskAlignedAssigner": "ultralytics.utils.tal",
}
OLD_HOMES = {
    **dict.fromkeys(NEW_HOMES, "ultralytics.nn.modules"),
    "DetectionModel": "ultralytics.nn.tasks",
    "IterableSimpleNamespace": "ultralytics.yolo.utils",
    "v8DetectionLoss": "ultralytics.yolo.v8.detect.train",
    "TaskAlignedAssigner": "ultralytics.yolo.utils.tal",
}
OUR_NAMES = {"AnchorFreeDetect": "Detect", "V10Detect": "v10Detect", "DistanceMean": "DFL"}

# A v8 and a 26 in small, as a checkpoint has them.
TINY: dict[str, Any] = {
    "nc": 2,
    "scales": {"n": [0.33, 0.25, 64], "s": [0.33, 0.5, 64]},
    "backbone": [
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 3, "C2f", [64, True]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "SPPF", [128, 5]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 2], 1, "Concat", [1]],
        [-1, 3, "C2f", [64]],
        [[7, 4], 1, "Detect", ["nc"]],
    ],
    "scale": "n",
    "yaml_file": "tinyn.yaml",
    "ch": 3,
    "channels": 3,
}
TINY_26: dict[str, Any] = {
    **TINY,
    "end2end": True,
    "reg_max": 1,
    "backbone": [*TINY["backbone"][:2], [-1, 2, "C3k2", [64, False, 0.25]], *TINY["backbone"][3:]],
}


class Classes:
    """Stand-in classes by name, each in the module that a release has it in.

    Args:
        old: as the first releases of 2023 had them.
    """

    def __init__(self, old: bool = False) -> None:
        self.homes, self.other = (OLD_HOMES, "ultralytics.nn.modules") if old else (NEW_HOMES, BLOCKS)
        self.made: dict[str, Any] = {}

    def __call__(self, name: str, base: type = nn.Module) -> Any:
        if name not in self.made:
            self.made[name] = type(name, (base,), {"__module__": self.homes.get(name, self.other)})
        return self.made[name]

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Inside the `with`, pickle finds the classes."""
        before = dict(sys.modules)
        for name, made in self.made.items():
            parts = made.__module__.split(".")
            for length in range(1, len(parts) + 1):
                path = ".".join(parts[:length])
                sys.modules.setdefault(path, types.ModuleType(path))
            setattr(sys.modules[made.__module__], name, made)
        try:
            yield
        finally:
            for path in set(sys.modules) - set(before):
                del sys.modules[path]

    def save(self, content: Any, path: Path) -> Path:
        """Writes a file."""
        with self.importable():
            torch.save(content, path)
        return path


def shipped(name: str) -> dict[str, Any]:
    """A shipped file of size n as a checkpoint has it."""
    content = read_yaml(find_config(name).path, ConfigError, "").content
    return {**content, "scale": "n", "yaml_file": f"{name}.yaml", "ch": 3, "channels": 3}


def grown(state: Mapping[str, Tensor], rows: list[str], classes: Classes) -> nn.Module:
    """The tree of modules that has this state dict, as a model of ultralytics, from nothing but the keys.

    Args:
        rows: name of the class of each row.
    """
    model = _grown(state, classes, "DetectionModel")
    for row, name in zip(list(model.model), rows, strict=False):
        if type(row).__name__ == "Block":
            row.__class__ = classes(name)
    return model


def _grown(state: Mapping[str, Tensor], classes: Classes, name: str = "Block") -> Any:
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        first, _, rest = key.partition(".")
        parts.setdefault(first, {})[rest] = tensor
    module = _leaf(parts, classes, name)
    for part, inside in parts.items():
        if "" not in inside:
            module.add_module(part, _grown(inside, classes))
        elif part.startswith(("running_", "num_batches")):
            module.register_buffer(part, inside[""])
        else:
            module.register_parameter(part, nn.Parameter(inside[""], requires_grad=False))
    if type(module).__name__ == "Conv":
        module.add_module("act", nn.SiLU())
    return module


def _leaf(parts: Mapping[str, Mapping[str, Tensor]], classes: Classes, name: str) -> nn.Module:
    """An empty module of the class that these parts tell."""
    if "running_mean" in parts:
        return nn.BatchNorm2d(len(parts["running_mean"][""]), eps=1e-3, momentum=0.03)
    if "conv" in parts and "bn" in parts:
        return classes("Conv")()
    if "weight" in parts and parts["weight"][""].dim() == 4:
        return nn.Conv2d(1, 1, 1, bias=False)
    if all(part.isdecimal() for part in parts):
        return nn.Sequential(*(nn.Identity() for _ in range(1 + max(map(int, parts)))))
    return classes(name)()


def mirrored(model: nn.Module, classes: Classes, name: str = "") -> Any:
    """The same tree of modules as objects of ultralytics' classes, activations included."""
    if type(model).__module__.startswith("torch."):
        for child_name, child in model.named_children():
            setattr(model, child_name, mirrored(child, classes))
        return model
    name = name or OUR_NAMES.get(type(model).__name__, type(model).__name__)
    twin = classes(name)()
    for key in ("_parameters", "_buffers", "_non_persistent_buffers_set"):
        setattr(twin, key, getattr(model, key))
    for child_name, child in model.named_children():
        setattr(twin, child_name, mirrored(child, classes))
    return twin


def described(model: Any, yaml: Mapping[str, Any], names: list[str]) -> Any:
    """Gives a model of stand-ins what a `DetectionModel` has beside its modules."""
    options = {"imgsz": 64, "data": "my.yaml", "save_dir": Path("runs"), "task": "detect", "model": "yolo.yaml"}
    model.yaml, model.names, model.stride = dict(yaml), dict(enumerate(names)), torch.tensor([8.0, 16.0, 32.0])
    model.args, model.task, model.inplace, model.end2end = options, "detect", True, False
    model.pt_path, model.nc, model.save, model.dtype = "yolo.pt", len(names), [2, 3], torch.float16
    return model


def stripped(model: Any) -> dict[str, Any]:
    """The content of a file when its training is over."""
    return {
        "epoch": -1,
        "best_fitness": None,
        "model": model,
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": {"imgsz": 64, "task": "detect"},
        "train_metrics": {"fitness": np.float64(0.5)},
        "train_results": {"epoch": [1, 2]},
        "date": "2025-01-01T00:00:00",
        "version": "8.3.0",
        "license": "AGPL-3.0",
        "docs": "https://docs.ultralytics.com",
    }


def unfinished(ema: Any, classes: Classes) -> dict[str, Any]:
    """The content of a file in the middle of a training: the network is its average, with the loss left in it."""
    loss, assigner, namespace = (
        classes("v8DetectionLoss", object)(),
        classes("TaskAlignedAssigner")(),
        classes("IterableSimpleNamespace", types.SimpleNamespace),
    )
    assigner.register_buffer("scale", torch.ones(1))
    ema.args = namespace(imgsz=64, save_dir=Path("runs"), device=torch.device("cpu"))
    loss.hyp, loss.device, loss.assigner, loss.stride = ema.args, torch.device("cpu"), assigner, torch.ones(3)
    loss.bce, loss.proj, loss.size = nn.BCEWithLogitsLoss(reduction="none"), torch.arange(16.0), torch.Size([1, 2])
    ema.criterion, ema.another_loss = loss, assigner
    optimizer = torch.optim.SGD(ema.parameters(), 0.1, momentum=0.9).state_dict()
    return {
        **stripped(None),
        "epoch": 3,
        "best_fitness": np.float64(0.5),
        "ema": ema,
        "updates": 77,
        "optimizer": optimizer,
        "scaler": {"scale": 65536.0},
        "figures": np.ones(3),
    }


def fused(model: Any) -> Any:
    """The same model when its BatchNorms are folded: its objects keep a method as an attribute, and the branches that
    only train are gone."""
    for module in model.modules():
        if type(module).__name__ in ("Conv", "DWConv"):
            norm = module.bn
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # (C2,)
            module.conv.weight = nn.Parameter(module.conv.weight.detach() * scale[:, None, None, None].detach())
            module.conv.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach())
            del module.bn
            type(module).forward_fuse = lambda self, x: x
            module.forward = module.forward_fuse
    if hasattr(model.model[-1], "one2one_cv2"):
        model.model[-1].cv2 = model.model[-1].cv3 = None
    return model


def detector_of(yaml: Mapping[str, Any], names: list[str], build: Callable[..., Detector]) -> Detector:
    """A detector whose weights fit into half precision, with statistics of its own, in evaluation mode."""
    torch.manual_seed(0)
    model = build(yaml, num_classes=len(names))
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = None
    model.train()(torch.rand(4, model.in_channels, 64, 64))
    return model.eval().half().float()


def set_activations(model: nn.Module, text: str) -> None:
    """Another activation in every block that has one."""
    for module in model.modules():
        if isinstance(getattr(module, "act", None), nn.SiLU):
            module.act = build_activation(text)
