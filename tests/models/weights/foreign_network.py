"""A small network as another program pickles it, with classes of a package `models.yolo`; see the fixture `foreign`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

YAML = {
    "nc": 2,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "anchors": [[10, 13, 16, 30]],
    "backbone": [[-1, 1, "Conv", [8, 3, 2]]],
    "head": [[[0], 1, "Detect", ["nc", "anchors"]]],
    "ch": 3,
    "yaml_key_of_a_fork": 1,
}


def make_network(module: Any, **attributes: Any) -> nn.Module:
    conv, head, model = module.Conv(), module.Detect(), module.DetectionModel()
    conv.conv, conv.bn, conv.act = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU()
    head.register_buffer("anchors", torch.tensor([[[5.0, 6.5], [8.0, 15.0]]]))
    head.register_buffer("anchor_grid", torch.ones(1, 1, 2, 1, 1, 2))  # saved up to v5.0
    head.m = nn.ModuleList([nn.Conv2d(8, 14, 1)])
    model.model = nn.Sequential(conv, head)
    model.yaml, model.names = YAML, ["cat", "dog"]
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def save_foreign(content: Any, path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    monkeypatch.delitem(sys.modules, "models.yolo", raising=False)
    return path
