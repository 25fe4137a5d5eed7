"""What tests of foreign checkpoints share."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from torch import nn


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The module `models.yolo` of another program, gone when the checkpoint is read."""
    module: Any = types.ModuleType("models.yolo")
    for name in ("DetectionModel", "Detect", "Conv"):
        made = type(name, (nn.Module,), {"__module__": "models.yolo"})
        setattr(module, name, made)
    monkeypatch.setitem(sys.modules, "models.yolo", module)
    return module
