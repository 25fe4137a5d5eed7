"""Every registered block through every mode; and YOLOv5's blocks against their formulas in plain torch."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import models.blocks  # noqa: F401  (registers the blocks)
from models.blocks.conv import Conv, DWConv, DWConvTranspose2d, Focus, autopad
from models.blocks.csp import C3, C3SPP, C3TR, BottleneckCSP, C3Ghost, C3x, CrossConv
from models.blocks.ghost import GhostBottleneck, GhostConv
from models.blocks.mixconv import MixConv2d
from models.blocks.reshape import Concat, Contract, Expand
from models.blocks.spp import SPP, SPPF
from models.blocks.transformer import TransformerBlock, TransformerLayer
from models.errors import ConfigError
from models.registry import Entry, RowContext, lookup, names

CHANNELS = 16
# YAML arguments for the sweep; a block that is not here is built with `[16]`.
ARGUMENTS: dict[str, list] = {
    "Conv": [24, 3, 2],
    "DWConv": [16, 3],
    "SAConv2d": [24, 3, 2],
    "SPConv": [24, 3, 2],
    "CrossConv": [16, 3, 2],
    "GhostBottleneck": [24, 3, 2],
    "TransformerBlock": [24, 4, 2],
    "SCDown": [24, 3, 2],
    "Attention": [16, 2],
    "PSABlock": [16, 0.5, 2],
    "ABlock": [16, 2],
    "A2C2f": [64],  # hidden channels divide by 32
    "Concat": [1],
    "Contract": [2],
    "Expand": [2],
    "nn.Upsample": [None, 2, "nearest"],
    "nn.MaxPool2d": [3, 1, 1],
    "nn.AvgPool2d": [3, 1, 1],
    "nn.ZeroPad2d": [[0, 1, 0, 1]],
    "nn.BatchNorm2d": [],
    "nn.Conv2d": [24, 1],
    "nn.ConvTranspose2d": [24, 2, 2],
}
EVEN_SIZES_ONLY = {"Focus", "Contract"}
SIZES = [(1, 1), (1, 7), (2, 2), (9, 11), (8, 12)]
BLOCKS = [
    name for name in names() if name.startswith("nn.") or lookup(name).block.__module__.startswith("models.blocks")
]


def build(name: str) -> tuple[nn.Module, int]:
    """The block as a YAML row would make it, and its output channels by the rule."""
    entry: Entry = lookup(name)
    plan = entry.rule(RowContext((CHANNELS,)), ARGUMENTS.get(name, [CHANNELS]))
    torch.manual_seed(0)
    return entry.block(*plan.args), plan.out_channels


def run(block: nn.Module, x: Tensor) -> Tensor:
    return block([x]) if isinstance(block, Concat) else block(x)


def inputs(name: str, batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = [size for size in SIZES if name not in EVEN_SIZES_ONLY or not (size[0] % 2 or size[1] % 2)]
    return [torch.randn(batch, CHANNELS, *size, generator=generator) for size in sizes]


def assert_near(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def randomise_statistics(block: nn.Module) -> None:
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)


def test_the_blocks_of_all_families_are_there() -> None:
    expected = {
        "Conv",
        "DWConv",
        "DWConvTranspose2d",
        "TransformerBlock",
        "C3TR",
        "Bottleneck",
        "BottleneckCSP",
        "CrossConv",
        "C3x",
        "C3",
        "C3SPP",
        "C3Ghost",
        "SPP",
        "SPPF",
        "Focus",
        "GhostConv",
        "GhostBottleneck",
        "Contract",
        "Expand",
        "Concat",
        "MixConv2d",
        "SAConv2d",
        "SPConv",
        "C2",
        "C2f",
        "C3k",
        "C3k2",
        "Attention",
        "PSABlock",
        "PSA",
        "C2PSA",
        "SCDown",
        "RepVGGDW",
        "CIB",
        "C2fCIB",
        "ABlock",
        "A2C2f",
        "nn.Conv2d",
        "nn.ConvTranspose2d",
        "nn.BatchNorm2d",
        "nn.Upsample",
        "nn.MaxPool2d",
        "nn.AvgPool2d",
        "nn.ZeroPad2d",
    }
    assert expected <= set(BLOCKS)


@pytest.mark.parametrize("name", BLOCKS)
def test_forward_and_backward_on_every_size(name: str) -> None:
    block, out_channels = build(name)
    for x in inputs(name):
        x.requires_grad_()
        y = run(block.train(), x)
        assert y.shape[:2] == (2, out_channels)
        y.square().sum().backward()
        assert x.grad is not None
        assert bool(x.grad.isfinite().all())
        assert run(block.eval(), x).shape == y.shape
    missing = [key for key, parameter in block.named_parameters() if parameter.grad is None]
    assert missing == []


@pytest.mark.parametrize("name", BLOCKS)
def test_channels_last_and_stride_of_one_view(name: str) -> None:
    block = build(name)[0].eval()
    randomise_statistics(block)
    for x in inputs(name):
        expected = run(block, x)
        assert_near(run(block, x.to(memory_format=torch.channels_last)), expected)
        wide = torch.cat((x, x), 3)
        assert_near(run(block, wide[..., : x.shape[3]]), expected)


@pytest.mark.parametrize("name", BLOCKS)
def test_autocast_bfloat16(name: str) -> None:
    block = build(name)[0].eval()
    randomise_statistics(block)
    x = inputs(name)[-1].requires_grad_()
    expected = run(block, x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        y = run(block, x)
    scale = float(expected.abs().max())
    assert float((y.detach().float() - expected).abs().max()) < 0.03 * scale
    y.float().sum().backward()
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize("name", BLOCKS)
def test_copies_and_pickles(name: str) -> None:
    block = build(name)[0].eval()
    x = inputs(name)[-1]
    expected = run(block, x)
    assert torch.equal(run(copy.deepcopy(block), x), expected)
    assert torch.equal(run(pickle.loads(pickle.dumps(block)), x), expected)  # noqa: S301
    twin = build(name)[0].eval()
    twin.load_state_dict(block.state_dict())
    assert torch.equal(run(twin, x), expected)


@pytest.mark.parametrize("name", BLOCKS)
def test_fusing_every_part_changes_nothing(name: str) -> None:
    block = build(name)[0].eval()
    randomise_statistics(block)
    x = inputs(name)[-1]
    with torch.no_grad():
        expected = run(block, x)
        for module in list(block.modules()):
            if hasattr(module, "fuse"):
                module.fuse()
        assert_near(run(block, x), expected, 1e-4)


# Rules


@pytest.mark.parametrize(
    ("name", "inputs_", "arguments", "expected", "out", "repeats"),
    [
        ("Conv", (16,), [100, 3, 2], (16, 56, 3, 2), 56, 2),
        ("C3", (16,), [100, False], (16, 56, 2, False), 56, 1),
        ("BottleneckCSP", (16,), [64], (16, 32, 2), 32, 1),
        ("C3TR", (16,), [64], (16, 32, 2), 32, 1),
        ("C3Ghost", (16,), [64], (16, 32, 2), 32, 1),
        ("C3x", (16,), [64], (16, 32, 2), 32, 1),
        ("C3SPP", (16,), [64, [5, 9, 13]], (16, 32, [5, 9, 13]), 32, 2),
        ("Bottleneck", (16,), [64], (16, 32), 32, 2),
        ("Focus", (16,), [64, 3], (16, 32, 3), 32, 2),
        ("Concat", (16, 8, 3), [1], (1,), 27, 1),
        ("Contract", (16,), [2], (2,), 64, 2),
        ("Expand", (16,), [2], (2,), 4, 2),
        ("nn.BatchNorm2d", (16,), [999], (16,), 16, 2),
        ("nn.Upsample", (16,), [None, 2, "nearest"], (None, 2, "nearest"), 16, 2),
    ],
)
def test_channel_rules(name, inputs_, arguments, expected, out, repeats) -> None:
    plan = lookup(name).rule(RowContext(inputs_, repeats=2, width_multiple=0.5), arguments)
    assert (plan.args, plan.out_channels, plan.repeats) == (expected, out, repeats)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [("Concat", [2], "dimension 1"), ("Expand", [3], "do not divide by 9"), ("Contract", ["two"], "whole number")],
)
def test_rules_refuse(name: str, arguments: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        lookup(name).rule(RowContext((16,)), arguments)


# Formulas


def test_conv_is_convolution_batchnorm_silu() -> None:
    block = Conv(6, 9, 3, 2, g=3, d=2).eval()
    randomise_statistics(block)
    x = torch.randn(2, 6, 9, 12)
    bn = block.bn
    y = functional.conv2d(x, block.conv.weight, None, 2, 2, 2, 3)
    y = functional.batch_norm(y, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=1e-5)
    assert_near(block(x), y * torch.sigmoid(y))
    assert list(block.state_dict()) == ["conv.weight", *(f"bn.{key}" for key in bn.state_dict())]


def test_autopad() -> None:
    assert autopad(3) == (1, 1)
    assert autopad(6) == (3, 3)
    assert autopad((1, 5)) == (0, 2)
    assert autopad(3, d=2) == (2, 2)
    assert autopad(6, 2) == (2, 2)


def test_depthwise_groups() -> None:
    assert DWConv(8, 12, 3).conv.groups == 4
    assert DWConvTranspose2d(8, 12, 2, 2).groups == 4


def test_focus_sees_the_four_pixels_of_each_cell() -> None:
    block = Focus(1, 4, 1, act=False).eval()
    block.conv.conv.weight.data = torch.eye(4)[:, :, None, None]
    block.conv.bn = nn.Identity()
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert block(x)[0, :, 0, 0].tolist() == [0, 4, 1, 5]  # top left, bottom left, top right, bottom right


def test_sppf_is_spp_with_windows_5_9_13() -> None:
    fast, plain = SPPF(8, 6, 5).eval(), SPP(8, 6, (5, 9, 13)).eval()
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(2, 8, 15, 14)
    assert_near(fast(x), plain(x))


def test_c3_family() -> None:
    x = torch.randn(2, 16, 7, 6)
    for block in (C3(16, 24, 2), C3x(16, 24, 2), C3TR(16, 24, 2), C3SPP(16, 24), C3Ghost(16, 24, 2)):
        block.eval()
        inner = block.m(block.cv1(x))
        assert_near(block(x), block.cv3(torch.cat([inner, block.cv2(x)], 1)))
        assert {key.split(".")[0] for key in block.state_dict()} == {"cv1", "cv2", "cv3", "m"}
    bottleneck = C3(16, 24, 1, e=1.0).m[0].eval()
    y = torch.randn(1, 24, 5, 5)
    assert_near(bottleneck(y), y + bottleneck.cv2(bottleneck.cv1(y)))
    assert bottleneck.cv1.conv.weight.shape == (24, 24, 1, 1)
    assert bottleneck.cv2.conv.weight.shape == (24, 24, 3, 3)
    plain = C3(16, 24, 1, False).m[0].eval()
    z = torch.randn(1, 12, 5, 5)
    assert_near(plain(z), plain.cv2(plain.cv1(z)))


def test_bottleneck_csp() -> None:
    block = BottleneckCSP(16, 24, 2).eval()
    randomise_statistics(block)
    x = torch.randn(2, 16, 7, 6)
    left, right = block.cv3(block.m(block.cv1(x))), block.cv2(x)
    assert left.shape == right.shape == (2, 12, 7, 6)
    assert_near(block(x), block.cv4(functional.silu(block.bn(torch.cat([left, right], 1)))))


def test_cross_conv() -> None:
    block = CrossConv(8, 8, 3, 2, 2, shortcut=True).eval()
    assert block.cv1.conv.kernel_size == (1, 3)
    assert block.cv1.conv.stride == (1, 2)
    assert block.cv2.conv.kernel_size == (3, 1)
    assert block.cv2.conv.stride == (2, 1)
    assert (block.cv1.conv.groups, block.cv2.conv.groups) == (1, 2)


def test_ghost() -> None:
    conv = GhostConv(8, 12, 3, 2).eval()
    x = torch.randn(1, 8, 9, 9)
    y = conv.cv1(x)
    assert_near(conv(x), torch.cat([y, conv.cv2(y)], 1))
    assert (conv.cv2.conv.groups, conv.cv2.conv.kernel_size) == (6, (5, 5))
    still, moving = GhostBottleneck(8, 8).eval(), GhostBottleneck(8, 12, 3, 2).eval()
    assert_near(still(x), still.conv(x) + x)
    assert moving(x).shape == (1, 12, 5, 5)
    assert isinstance(moving.conv[2].cv1.act, nn.Identity)
    assert isinstance(moving.shortcut[0].act, nn.Identity)


def test_transformer_is_attention_with_shortcuts() -> None:
    layer = TransformerLayer(8, 2)
    x = torch.randn(5, 3, 8)  # pixels, images, channels
    q, k, v = functional.linear(
        torch.cat([layer.q(x), layer.k(x), layer.v(x)], -1),
        torch.block_diag(*layer.ma.in_proj_weight.chunk(3)),
        layer.ma.in_proj_bias,
    ).chunk(3, -1)
    heads = []
    for qh, kh, vh in zip(q.chunk(2, -1), k.chunk(2, -1), v.chunk(2, -1), strict=True):
        scores = torch.einsum("inc,jnc->nij", qh, kh) / 4**0.5
        heads.append(torch.einsum("nij,jnc->inc", scores.softmax(-1), vh))
    y = layer.ma.out_proj(torch.cat(heads, -1)) + x
    assert_near(layer(x), layer.fc2(layer.fc1(y)) + y)


def test_transformer_block_keeps_pixels_in_place() -> None:
    block = TransformerBlock(6, 8, 2, 1).eval()
    x = torch.randn(2, 6, 3, 5)
    y = block(x)
    maps = block.conv(x)
    pixels = maps.reshape(2, 8, 15).permute(2, 0, 1)
    expected = block.tr(pixels + block.linear(pixels))
    assert_near(y[1, :, 2, 3], expected[2 * 5 + 3, 1])


def test_mixconv_shares_channels_or_weights() -> None:
    assert [conv.out_channels for conv in MixConv2d(16, 24, (1, 3, 5)).m] == [8, 8, 8]
    by_weight = MixConv2d(16, 50, (1, 3), equal_ch=False)
    assert [conv.out_channels for conv in by_weight.m] == [45, 5]
    assert by_weight(torch.randn(2, 16, 6, 6)).shape == (2, 50, 6, 6)


@given(gain=st.integers(1, 3), c=st.integers(1, 3), h=st.integers(1, 3), w=st.integers(1, 3))
def test_expand_undoes_contract(gain: int, c: int, h: int, w: int) -> None:
    x = torch.arange(2.0 * c * h * w * gain**2).reshape(2, c, h * gain, w * gain)
    y = Contract(gain)(x)
    for i in range(gain):
        for j in range(gain):
            first = (i * gain + j) * c
            assert torch.equal(y[:, first : first + c], x[:, :, i::gain, j::gain])
    assert torch.equal(Expand(gain)(y), x)
