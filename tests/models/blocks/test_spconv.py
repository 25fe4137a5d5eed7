"""SPConv against the golden files and the formulas, on every size, fused and unfused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.csp import C3
from models.blocks.spconv import HalvingAverage, SPConv, SPConvCore, split_kernel
from models.errors import ConfigError
from tests.models.blocks.golden import assert_golden, golden_state
from tests.places import BLOCKS

GOLDEN_FILES = [BLOCKS / f"spconv_{name}.npz" for name in ("s1", "s2", "r25")]


@pytest.fixture(scope="session")
def make(randomise: Any) -> Callable[..., SPConv]:
    """Makes a block of that stride, with random weights and statistics, in evaluation mode."""
    return lambda s=1: randomise(SPConv(8, 12, 3, s)).eval()


def published(core: SPConvCore, x: Tensor, s: int, ratio: float) -> Tensor:
    """Steps 1 to 5 of specs/blocks.md; the average pooling pixel by pixel."""
    split = int(ratio * x.shape[1])
    xr, xu = x[:, :split], x[:, split:]

    def down(v: Tensor) -> Tensor:
        if s == 1:
            return v
        height, width = v.shape[2:]
        rows = [
            torch.stack([v[:, :, i : i + 2, j : j + 2].mean((2, 3)) for j in range(0, width, 2)], -1)
            for i in range(0, height, 2)
        ]
        return torch.stack(rows, 2)

    yr = core.bn1(functional.conv2d(xr, core.gwc.weight, None, s, 1, 1, 2) + core.pwc(down(xr)))
    yu = core.bn2(core.conv1x1(down(xu)))
    weights = torch.softmax(torch.stack([yr.mean((2, 3)), yu.mean((2, 3))]), 0)[..., None, None]
    return weights[0] * yr + weights[1] * yu


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_golden(path: Path, close: Any) -> None:
    data = np.load(path)
    meta = json.loads(str(data["meta"]))
    core = SPConv(meta["in_channels"], meta["out_channels"], 3, meta["stride"], meta["ratio"]).core
    core.load_state_dict(golden_state(data))
    with torch.no_grad():
        fused = copy.deepcopy(core).eval().fuse()
        close(fused(torch.from_numpy(data["x"])), torch.from_numpy(data["out_eval"]))
    assert_golden(core, data, close)


@settings(max_examples=40, deadline=None)
@given(
    s=st.integers(1, 2),
    channels=st.sampled_from([(4, 2, 0.5), (8, 6, 0.25), (10, 4, 0.45), (12, 8, 0.5)]),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equals_the_formulas_on_every_size(s, channels, size, channels_last, seed, randomise: Any, close: Any) -> None:
    c1, c2, ratio = channels
    block = SPConv(c1, c2, 3, s, ratio).double().eval()
    randomise(block, seed)
    x = torch.randn(2, c1, *size, dtype=torch.float64)
    reference_x = x.clone().requires_grad_()
    x = (x.to(memory_format=torch.channels_last) if channels_last else x).requires_grad_()
    expected = block.act(block.bn(published(block.core, reference_x, s, ratio)))
    actual = block(x)
    assert actual.shape == (2, c2, -(-size[0] // s), -(-size[1] // s))
    close(actual, expected, 1e-9)
    inputs = list(block.parameters())
    weights = torch.randn_like(expected)
    references = torch.autograd.grad((expected * weights).sum(), [reference_x, *inputs])
    for gradient, reference in zip(
        torch.autograd.grad((actual * weights).sum(), [x, *inputs]), references, strict=True
    ):
        close(gradient, reference, 1e-8)
    with torch.no_grad():
        close(block.fuse()(x), expected, 1e-6)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 8), width=st.integers(1, 8), channels_last=st.booleans())
def test_compiled_graphs_pool_the_same_averages(height: int, width: int, channels_last: bool) -> None:
    x = torch.randn(2, 3, height, width)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        compiled = HalvingAverage()(x)
    torch.testing.assert_close(compiled, functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False))


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-3, -0.7])
@pytest.mark.parametrize("s", [1, 2])
def test_fuse_with_any_scale_of_the_outer_batchnorm(s: int, scale: float, make: Any, fuse_and_compare: Any) -> None:
    block = make(s)
    x = torch.randn(2, 8, 9, 11)
    with torch.no_grad():
        block.bn.weight[::2] = scale
        fused = fuse_and_compare(block, x)
        assert bool(copy.deepcopy(fused).half()(x.half()).isfinite().all())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())


def test_fusing_the_core_first_is_the_same(make: Any, close: Any) -> None:
    block = make()
    x = torch.randn(1, 8, 6, 6)
    expected = block(x)
    for module in list(block.modules()):
        if module is block.core:
            module.fuse()
    close(block(x), expected, 1e-5)
    close(block.fuse()(x), expected, 1e-5)


@pytest.mark.parametrize("s", [1, 2])
def test_is_slim(s: int) -> None:
    """Fewer than half of the parameters of the 3x3 convolution that it replaces."""
    parameters = sum(p.numel() for p in SPConv(64, 64, 3, s).parameters())
    assert parameters < 0.5 * 64 * 64 * 9


def test_stands_in_for_the_3x3_convolutions_of_a_c3() -> None:
    block = C3(16, 16, 2, conv=SPConv, ratio=0.25)
    assert [module.core.split for module in block.modules() if isinstance(module, SPConv)] == [2, 2]
    assert block(torch.randn(1, 16, 5, 7)).shape == (1, 16, 5, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 8, 1), "3x3 kernel"),
        ((8, 8, 5), "3x3 kernel"),
        ((8, 8, 3, 3), "stride 1 or 2"),
        ((8, 8, 3, (1, 2)), "same stride"),
        ((6, 8, 3), "must be even"),
        ((8, 7, 3), "even number of output channels"),
        ((8, 8, 3, 1, 0.1), "choose another ratio"),
        ((8, 8, 3, 1, 1.0), "choose another ratio"),
    ],
)
def test_refuses_what_it_cannot_be(arguments: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SPConv(*arguments)


def test_split_kernel_on_constant_maps() -> None:
    """Where the input does not vary, SPConv's two results add up to twice the plain convolution."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(6, 8, 3, 3, generator=generator)
    values = torch.randn(1, 8, 1, 1, generator=generator)
    entries = split_kernel(kernel, 4)
    x = values.expand(1, 8, 5, 5)
    grouped = nn.functional.conv2d(x[:, :4], entries["core.gwc.weight"], groups=2)
    pointwise = nn.functional.conv2d(x[:, :4], entries["core.pwc.weight"])[..., :3, :3]
    uncertain = nn.functional.conv2d(x[:, 4:], entries["core.conv1x1.weight"])[..., :3, :3]
    plain = nn.functional.conv2d(x, kernel)
    torch.testing.assert_close(grouped + pointwise + uncertain, 2 * plain, rtol=1e-4, atol=1e-4)
