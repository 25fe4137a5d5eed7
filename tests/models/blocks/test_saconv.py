"""SAConv2d against the golden files, the formulas in their published order, and the list of known defects."""

from __future__ import annotations

import copy
import json
import math
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
from torchvision.ops import deform_conv2d

from models.blocks.conv import Conv
from models.blocks.csp import C3
from models.blocks.saconv import SAConv2d
from models.blocks.saconv.local_average import reflect_pad
from models.errors import ConfigError
from tests.models.blocks.golden import assert_golden, golden_state
from tests.models.blocks.saconv_variants import VARIANTS
from tests.places import BLOCKS

GOLDEN_FILES = [BLOCKS / f"saconv2d_{name}.npz" for name in ("k1s1", "k3s1", "k3s2", "k5s1g2", "deform_k3s2")]


@pytest.fixture(scope="session")
def conv_with_statistics(randomise: Any) -> Callable[..., Conv]:
    return lambda *args, **kwargs: randomise(Conv(*args, **kwargs))


def published(block: SAConv2d, x: Tensor) -> Tensor:
    """The formulas of specs/blocks.md in their order, for the default padding; before BatchNorm and activation."""
    w = block.weight
    mu = w.mean((1, 2, 3), keepdim=True)
    sd = (((w - mu) ** 2).sum((1, 2, 3), keepdim=True) / (w[0].numel() - 1) + 1e-5).sqrt()
    kernel = block.weight_gamma * (w - mu) / sd + block.weight_beta
    x = x + block.pre_context(functional.adaptive_avg_pool2d(x, 1))
    padded = torch.stack([torch.stack([numpy_reflect(channel, 2) for channel in sample]) for sample in x])
    average = functional.avg_pool2d(padded, 5, stride=1)
    switch = block.switch(average)
    g = block.geometry
    p, d = g.padding[0], g.dilation[0]
    if block.use_deform:
        small = deform_conv2d(x, block.offset_s(average), kernel, None, g.stride, p, d)
        large = deform_conv2d(x, block.offset_l(average), kernel + block.weight_diff, None, g.stride, 3 * p, 3 * d)
    else:
        small = functional.conv2d(x, kernel, None, g.stride, p, d, g.groups)
        large = functional.conv2d(x, kernel + block.weight_diff, None, g.stride, 3 * p, 3 * d, g.groups)
    y = switch * small + (1 - switch) * large
    return y + block.post_context(functional.adaptive_avg_pool2d(y, 1))


def numpy_reflect(plane: Tensor, pad: int) -> Tensor:
    """numpy's reflection of one `(H, W)` plane, differentiable: it is applied to the pixels' numbers."""
    numbers = np.arange(plane.numel()).reshape(plane.shape)
    return plane.flatten()[torch.from_numpy(np.pad(numbers, pad, mode="reflect"))]


@pytest.mark.parametrize("path", GOLDEN_FILES, ids=lambda path: path.stem)
def test_golden(path: Path, close: Any) -> None:
    data = np.load(path)
    meta = json.loads(str(data["meta"]))
    block = SAConv2d(
        meta["in_channels"],
        meta["out_channels"],
        meta["kernel_size"],
        meta["s"],
        g=meta["g"],
        use_deform=meta.get("use_deform", False),
    )
    block.load_state_dict(golden_state(data))
    assert_golden(block, data, close)


@settings(max_examples=40, deadline=None)
@given(
    k=st.sampled_from([1, 3, 5]),
    s=st.integers(1, 3),
    d=st.integers(1, 2),
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 3)).filter(lambda c: c[0] > 1),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    use_deform=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equals_published_order(
    k, s, d, groups, per_group, size, use_deform, channels_last, seed, randomise: Any, close: Any
) -> None:
    block = SAConv2d(groups * per_group[0], groups * per_group[1], k, s, g=groups, d=d, use_deform=use_deform).double()
    randomise(block, seed)
    x = torch.randn(2, groups * per_group[0], *size, dtype=torch.float64)
    reference_x = x.clone().requires_grad_()
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    block.bn = nn.Identity()
    block.act = nn.Identity()

    expected = published(block, reference_x)
    weights = torch.randn_like(expected)
    inputs = list(block.parameters())
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [reference_x, *inputs])
    actual = block(x)
    close(actual, expected, 1e-8)
    for gradient, reference in zip(
        torch.autograd.grad((actual * weights).sum(), [x, *inputs]), expected_gradients, strict=True
    ):
        close(gradient, reference, 1e-7)
    with torch.no_grad():
        close(block(x), expected, 1e-8)


@settings(max_examples=60, deadline=None)
@given(
    k=st.integers(1, 7), s=st.integers(1, 3), p=st.none() | st.integers(0, 4), d=st.integers(1, 3), h=st.integers(1, 20)
)
def test_output_size_is_that_of_conv(k, s, p, d, h) -> None:
    """Whatever the padding, also for even kernels: a word in a YAML swaps the block."""
    x = torch.zeros(1, 2, h, 20)
    conv = Conv(2, 3, k, s, p, d=d).eval()
    try:
        expected = conv(x).shape
    except RuntimeError:  # the map is smaller than the kernel
        return
    assert SAConv2d(2, 3, k, s, p, d=d).eval()(x).shape == expected


def test_rectangular_kernel_and_its_branches(randomise: Any) -> None:
    block = SAConv2d(4, 6, (1, 3), (2, 1))
    randomise(block)
    assert block.eval()(torch.randn(1, 4, 9, 8)).shape == (1, 6, 5, 8)
    assert block.geometry.branch(3) == ((0, 3), (3, 3))


def test_fresh_block_is_a_plain_convolution(close: Any) -> None:
    block = SAConv2d(16, 8, 3, 2).eval()
    x = torch.randn(2, 16, 11, 12)
    plain = functional.conv2d(x, block.weight, None, 2, 1)
    close(block(x), block.act(block.bn(plain)), 1e-5)
    bound = 1 / math.sqrt(16 * 9)
    assert 0.9 * bound < float(block.weight.detach().abs().max()) <= bound


def test_fresh_activations_do_not_grow_with_the_fan_in() -> None:
    x = torch.randn(1, 256, 12, 12)
    block = SAConv2d(256, 64, 3)
    block.bn = block.act = nn.Identity()
    assert float(block(x).detach().std()) < 1.0


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("use_deform", [False, True])
@pytest.mark.parametrize("key", ["conv.weight", "weight"])
def test_takes_over_a_plain_convolution(
    key: str, use_deform: bool, training: bool, conv_with_statistics: Any, randomise: Any, close: Any
) -> None:
    conv = conv_with_statistics(8, 12, 3, 2, g=2).train(training)
    state = {("weight" if name == "conv.weight" else name): value for name, value in conv.state_dict().items()}
    if key == "conv.weight":
        state = dict(conv.state_dict())
    before = set(state)
    block = SAConv2d(8, 12, 3, 2, g=2, use_deform=use_deform)
    randomise(block, 1)  # what was there before must not matter

    block.load_state_dict(state)

    assert set(state) == before
    torch.testing.assert_close(block.weight_beta.flatten(), conv.conv.weight.mean((1, 2, 3)))
    torch.testing.assert_close(
        block.weight_gamma.flatten(), (conv.conv.weight.var((1, 2, 3), unbiased=True) + 1e-5).sqrt()
    )
    x = torch.randn(2, 8, 10, 9)
    close(block.train(training)(x), conv(x), 1e-5)


def test_takes_over_half_precision_and_1x1_depthwise_kernels(conv_with_statistics: Any, close: Any) -> None:
    conv = conv_with_statistics(8, 8, 1, g=8).eval()
    block = SAConv2d(8, 8, 1, g=8).eval()
    block.load_state_dict(copy.deepcopy(conv).half().state_dict())
    x = torch.randn(2, 8, 5, 5)
    close(block(x), conv(x), 1e-2)
    conv = conv.half().float()
    close(block(x), conv(x), 1e-5)


def test_takes_over_inside_a_c3(randomise: Any, close: Any) -> None:
    plain = randomise(C3(16, 16, 2)).eval()
    switchable = C3(16, 16, 2, conv=SAConv2d).eval()
    switchable.load_state_dict(plain.state_dict())
    x = torch.randn(1, 16, 8, 8)
    close(switchable(x), plain(x), 1e-5)


def test_takes_over_onto_the_meta_device(conv_with_statistics: Any, close: Any) -> None:
    conv = conv_with_statistics(4, 6, 3).eval()
    with torch.device("meta"):
        block = SAConv2d(4, 6, 3).eval()
    block.load_state_dict(conv.state_dict(), assign=True)
    x = torch.randn(1, 4, 6, 6)
    close(block(x), conv(x), 1e-5)


def test_own_state_dict_is_strict(make: Any) -> None:
    block = make("plain")
    state = block.state_dict()
    assert "bias" not in state
    fresh = SAConv2d(8, 12, 3).eval()
    fresh.load_state_dict(state | {"bias": torch.zeros(12)})
    x = torch.randn(1, 8, 7, 7)
    assert torch.equal(fresh(x), block(x))
    del state["switch.weight"]
    with pytest.raises(RuntimeError, match=r"switch\.weight"):
        fresh.load_state_dict(state)
    with pytest.raises(RuntimeError, match="size mismatch"):
        SAConv2d(8, 10, 3).load_state_dict(block.state_dict())


def test_channels_that_do_not_divide_by_the_groups() -> None:
    with pytest.raises(ConfigError, match="3 groups"):
        SAConv2d(8, 12, 3, g=3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_has_a_gradient_and_matters(variant: str, make: Any) -> None:
    block = make(variant)
    assert "bias" not in dict(block.named_parameters())
    (block(torch.randn(2, 8, 9, 9)) ** 2).sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name
    fresh = SAConv2d(8, 12, **VARIANTS[variant])
    fresh(torch.randn(2, 8, 9, 9)).sum().backward()
    assert all(parameter.grad is not None for parameter in fresh.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_sets_nothing_on_any_module(variant: str, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    block = make(variant)

    def refuse(self: nn.Module, name: str, value: object) -> None:
        raise AssertionError(f"forward sets {name}")

    monkeypatch.setattr(nn.Module, "__setattr__", refuse)
    block(torch.randn(1, 8, 9, 9))


def test_channels_last_kernels_are_not_copied_to_another_format(make: Any) -> None:
    block = make("plain").to(memory_format=torch.channels_last)
    operands = block._operands()
    assert operands.small.is_contiguous(memory_format=torch.channels_last)
    assert operands.large.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 7), (7, 2), (3, 2)])
@pytest.mark.parametrize("variant", ["plain", "stride", "dilated", "deform"])
def test_tiny_maps(variant: str, size: tuple[int, int], make: Any, close: Any) -> None:
    block = make(variant)
    x = torch.randn(2, 8, *size)
    close(block(x), block.act(block.bn(published(block, x))))
    block.train()(x.requires_grad_()).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("where", ["map", "offset"])
def test_nan_does_not_end_the_process(where: str, make: Any) -> None:
    block, x = make("deform"), torch.randn(2, 8, 9, 7)
    if where == "map":
        x[0, 0, 0, 0] = torch.nan
    else:
        torch.nn.init.constant_(block.offset_l.bias, torch.nan)
    y = block(x)
    assert y[0].isnan().all() == (where == "map")  # only of the image that brought it
    assert y[1].isfinite().all()


@settings(max_examples=60, deadline=None)
@given(size=st.tuples(st.integers(1, 6), st.integers(1, 6)), pads=st.tuples(*[st.integers(-1, 4)] * 4))
def test_reflect_pad_is_numpys(size: tuple[int, int], pads: tuple[int, int, int, int]) -> None:
    left, right, top, bottom = pads
    if min(size[0] + top + bottom, size[1] + left + right) < 1 or (min(size) == 1 and min(pads) < 0):
        return
    x = torch.randn(2, 3, *size)
    positive = [(0, 0), (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    expected = np.pad(x.numpy(), positive, mode="reflect")
    rows, columns = (
        slice(max(-top, 0), None if bottom >= 0 else bottom),
        slice(max(-left, 0), None if right >= 0 else right),
    )
    np.testing.assert_array_equal(reflect_pad(x, pads).numpy(), expected[:, :, rows, columns])


@pytest.mark.filterwarnings("ignore")
def test_a_trace_reflects_at_every_size() -> None:
    traced = torch.jit.trace(lambda x: reflect_pad(x, (2, 2, 2, 2)), torch.rand(1, 2, 7, 7), check_trace=False)
    for size in ((1, 2, 7, 9), (3, 2, 1, 1), (1, 2, 2, 5), (1, 2, 1, 4)):
        x = torch.rand(size)
        torch.testing.assert_close(traced(x), reflect_pad(x, (2, 2, 2, 2)), rtol=0, atol=0)


def test_autograd_keeps_three_kernels_and_one_map_beyond_plain() -> None:
    """Kept for the backward pass: kernel, standardised kernel, large kernel; and the difference of the branches."""

    def kept(block: nn.Module, x: Tensor) -> dict[tuple[int, ...], int]:
        storages: dict[int, tuple[int, ...]] = {}

        def pack(tensor: Tensor) -> Tensor:
            storages.setdefault(tensor.untyped_storage().data_ptr(), tuple(tensor.shape))
            alive.append(tensor)
            return tensor

        alive: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = block(x)
        counts: dict[tuple[int, ...], int] = {}
        for shape in storages.values():
            counts[shape] = counts.get(shape, 0) + 1
        del output
        return counts

    x = torch.randn(2, 8, 16, 16, requires_grad=True)
    ours, plain = kept(SAConv2d(8, 12, 3), x), kept(Conv(8, 12, 3), x)
    assert ours[12, 8, 3, 3] <= 3
    assert ours[2, 12, 16, 16] <= plain[2, 12, 16, 16] + 1
    assert ours[2, 8, 16, 16] <= plain[2, 8, 16, 16]
