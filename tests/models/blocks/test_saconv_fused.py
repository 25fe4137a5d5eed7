"""SAConv2d in inference: which operations run, and the fused form computes the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.models.blocks.saconv_variants import VARIANTS


class Recorder(TorchDispatchMode):
    """The name of each operation that runs, with the shape of its first argument."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        shape = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else ()
        self.calls.append((func.__name__.split(".")[0], shape))
        return func(*args, **(kwargs or {}))


def test_switch_pools_one_channel_and_only_where_the_stride_looks(make: Any) -> None:
    with Recorder() as record, torch.no_grad():
        make("stride")(torch.randn(2, 8, 16, 16))
    pooled = [shape for name, shape in record.calls if name == "avg_pool2d"]
    assert pooled == [(2, 1, 20, 20)]


def test_fused_form_standardises_nothing_and_has_no_batchnorm(make: Any) -> None:
    block = make("plain")
    x = torch.randn(1, 8, 9, 9)
    with Recorder() as record, torch.no_grad():
        block(x)
    unfused = {name for name, _ in record.calls}
    block.fuse()
    with Recorder() as record, torch.no_grad():
        block(x)
    fused = {name for name, _ in record.calls}
    assert any("var_mean" in name for name in unfused)
    assert any("batch_norm" in name for name in unfused)
    assert not any("var" in name or "batch_norm" in name for name in fused)


@pytest.mark.parametrize("bn_scale", ["as_is", "zero", "tiny", "negative"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_fuse_equals_unfused(variant: str, bn_scale: str, make: Any, fuse_and_compare: Any) -> None:
    block = make(variant)
    block.bn.eps = 1e-3
    with torch.no_grad():
        if bn_scale != "as_is":
            block.bn.weight[::2] = {"zero": 0.0, "tiny": 1e-9, "negative": -0.7}[bn_scale]
    x = torch.randn(2, 8, 9, 11)
    fused = fuse_and_compare(block, x)
    with torch.no_grad():
        half = copy.deepcopy(fused).bfloat16()(x.bfloat16())
        assert bool(half.isfinite().all())
    assert not any(parameter.requires_grad for parameter in fused.parameters())
