"""What tests of blocks share."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.blocks.saconv import SAConv2d
from tests.models.blocks.saconv_variants import VARIANTS


@pytest.fixture(scope="session")
def make(randomise: Any) -> Callable[[str], SAConv2d]:
    """Makes a variant's block, with random weights and statistics, in evaluation mode."""
    return lambda variant: randomise(SAConv2d(8, 12, **VARIANTS[variant])).eval()


@pytest.fixture(scope="session")
def fuse_and_compare(close: Any) -> Callable[[Any, Tensor], nn.Module]:
    """Fuses a block in place, checks that it computes the same on `x`, also fused again and pickled; returns it."""

    @torch.no_grad()
    def check(block: Any, x: Tensor) -> nn.Module:
        expected = block(x)
        fused = block.fuse()
        assert fused is block
        close(fused(x), expected, 1e-5)
        close(fused.fuse()(x), expected, 1e-5)
        close(pickle.loads(pickle.dumps(fused))(x), expected, 1e-5)  # noqa: S301
        return block

    return check
