"""The blocks of YOLOv8, 10, 11, 12 and 26 against numbers that independent implementations computed."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import models.blocks  # noqa: F401  (registers the blocks)
from models.registry import lookup
from tests.places import GOLDEN

NAMES = [
    "A2C2f_area4",
    "A2C2f_c3k",
    "A2C2f_residual",
    "Attention",
    "C2",
    "C2PSA",
    "C2f",
    "C2fCIB",
    "C2fCIB_lk",
    "C3k2",
    "C3k2_attn",
    "C3k2_c3k",
    "PSA",
    "PSABlock",
    "SCDown",
    "SPPF_26",
]
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared/golden")


def filled(name: str, shape: tuple[int, ...]) -> Tensor:
    """The value of a tensor by the golden files' rule, from its own name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith(("running_var", "bn.weight")):
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        values = rng.standard_normal(shape) * 0.1
    else:
        values = rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
    return torch.from_numpy(values).float()


def golden_block(name: str) -> tuple[nn.Module, Any, dict[str, list[int]]]:
    """The block of a golden file with the file's weights, the file, and the shapes of its state dict."""
    data = np.load(GOLDEN / f"block_{name}.npz")
    block = lookup(name.split("_")[0]).block(**json.loads(str(data["meta"])))
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    return block.eval(), data, json.loads(str(data["keys"]))


@pytest.mark.parametrize("name", NAMES)
def test_block_equals_its_golden_file(name: str, close: Any) -> None:
    block, data, shapes = golden_block(name)
    assert {key: list(tensor.shape) for key, tensor in block.state_dict().items()} == shapes
    block.load_state_dict({key: filled(key, tuple(shape)) for key, shape in shapes.items()})
    channels = block.cv1.conv.in_channels if hasattr(block, "cv1") else 128
    x = torch.from_numpy(np.random.default_rng(7).standard_normal((2, channels, 8, 12)).astype(np.float32))
    with torch.no_grad():
        close(block(x), torch.from_numpy(data["out"]))
        close(block.to(memory_format=torch.channels_last)(x), torch.from_numpy(data["out"]))
        for part in list(block.modules()):
            if hasattr(part, "fuse"):
                part.fuse()
        close(block(x), torch.from_numpy(data["out"]))


def test_every_golden_block_is_compared() -> None:
    assert {file.stem.removeprefix("block_") for file in GOLDEN.glob("block_*.npz")} == set(NAMES)
