"""The blocks of YOLOv8, 10, 11, 12 and 26 against their formulas in plain torch and in loops over cells."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.area_attention import A2C2f, ABlock, AreaAttention
from models.blocks.attention import C2PSA, PSA, Attention, PSABlock
from models.blocks.c2f import C2, C2f, C3k2
from models.blocks.cib import CIB, C2fCIB, RepVGGDW
from models.blocks.csp import Bottleneck, C3k
from models.blocks.downsample import SCDown
from models.blocks.spp import SPPF

X = torch.randn(2, 16, 7, 6, generator=torch.Generator().manual_seed(0))


def wide(channels: int, height: int = 7, width: int = 6) -> Tensor:
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(1))


def kinds(block: nn.Module) -> list[type[nn.Module]]:
    return [type(inner) for inner in block.m]


# Attention, cell by cell


def attended(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One head, cell by cell: `(cells, kd)` twice and `(cells, hd)` to `(cells, hd)`."""
    rows = []
    for query in queries:
        weights = [math.exp(float(query @ key) / math.sqrt(len(key))) for key in keys]
        rows.append(sum(w / sum(weights) * value for w, value in zip(weights, values, strict=True)))
    return torch.stack(rows)


def split(numbers: Tensor, widths: tuple[int, ...]) -> list[Tensor]:
    """A table `(cells, sum of widths)` in parts side by side."""
    return list(numbers.split(widths, 1))


@pytest.mark.parametrize(("heads", "ratio"), [(1, 0.5), (2, 0.5), (4, 0.26), (2, 1.0)])
def test_attention_in_loops(heads: int, ratio: float, randomise: Any, close: Any) -> None:
    block = randomise(Attention(16, heads, ratio)).eval()
    x = wide(16, 3, 4)
    hd, kd = 16 // heads, int(16 // heads * ratio)
    with torch.no_grad():
        qkv, y = block.qkv(x), block(x)
        for image in range(2):
            parts, cells = [], []
            for head in range(heads):
                first = head * (2 * kd + hd)
                table = qkv[image, first : first + 2 * kd + hd].flatten(1).T  # (cells, 2 kd + hd)
                q, k, v = split(table, (kd, kd, hd))
                parts.append(attended(q, k, v))
                cells.append(v)
            value_map = torch.cat(cells, 1).T.reshape(1, 16, 3, 4)
            seen = torch.cat(parts, 1).T.reshape(1, 16, 3, 4)
            close(y[image : image + 1], block.proj(seen + block.pe(value_map)), 1e-5)


@pytest.mark.parametrize(
    ("height", "width", "area"), [(4, 3, 1), (4, 3, 2), (4, 3, 4), (3, 4, 2), (2, 6, 3), (1, 5, 5)]
)
def test_area_attention_in_loops(height: int, width: int, area: int, randomise: Any, close: Any) -> None:
    block = randomise(AreaAttention(8, 2, area)).eval()
    x = wide(8, height, width)
    run = height * width // area
    with torch.no_grad():
        qkv, y = block.qkv(x).flatten(2), block(x)  # (2, 24, cells)
        for image in range(2):
            seen, values = torch.zeros(8, height * width), torch.zeros(8, height * width)
            for head in range(2):
                q, k, v = split(qkv[image, head * 12 : head * 12 + 12].T, (4, 4, 4))
                values[head * 4 : head * 4 + 4] = v.T
                for first in range(0, height * width, run):
                    own = slice(first, first + run)
                    seen[head * 4 : head * 4 + 4, own] = attended(q[own], k[own], v[own]).T
            together = seen.reshape(1, 8, height, width) + block.pe(values.reshape(1, 8, height, width))
            close(y[image : image + 1], block.proj(together), 1e-5)


def test_an_area_that_does_not_divide_is_named() -> None:
    with pytest.raises(ValueError, match="3 x 3 cells do not divide into 4 equal areas"):
        AreaAttention(8, 2, 4)(wide(8, 3, 3))


@pytest.mark.parametrize("gain", [1, 30])
def test_attention_in_float16_is_near(gain: float, randomise: Any) -> None:
    """Also where products of queries and keys are beyond the largest number of float16 before they are scaled."""
    torch.manual_seed(0)
    for block, key in ((Attention(64, 1), 32), (AreaAttention(64, 1), 64)):
        randomise(block).eval()
        x = 4 * wide(64)
        with torch.no_grad():
            block.qkv.bn.weight[: 2 * key] *= gain
            expected = block(x)
            q, k = block.qkv(x).flatten(2)[:, : 2 * key].chunk(2, 1)
            assert gain == 1 or float((q.transpose(1, 2) @ k).abs().max()) > torch.finfo(torch.float16).max
            y = block.half()(x.half()).float()
        assert bool(y.isfinite().all())
        assert float((y - expected).abs().mean()) < 0.02 * float(expected.abs().mean())


# Formulas


def test_bottleneck_of_two_3x3(close: Any) -> None:
    block = Bottleneck(16, 16, g=2, e=1.0, k=(3, 3)).eval()
    assert [block.cv1.conv.kernel_size, block.cv2.conv.kernel_size] == [(3, 3), (3, 3)]
    assert [block.cv1.conv.groups, block.cv2.conv.groups] == [1, 2]
    close(block(X), X + block.cv2(block.cv1(X)))


def test_c2(close: Any) -> None:
    block = C2(16, 24, 2, True, 2).eval()
    first, second = block.cv1(X)[:, :12], block.cv1(X)[:, 12:]
    for inner in block.m:
        assert inner.cv2.conv.groups == 2
        first = first + inner.cv2(inner.cv1(first))
    close(block(X), block.cv2(torch.cat((first, second), 1)))


@pytest.mark.parametrize("block", [C2f(16, 24, 2, True), C2fCIB(16, 24, 2, True), C3k2(16, 24, 2, True)])
def test_c2f_keeps_every_result(block: nn.Module, close: Any) -> None:
    block.eval()
    halves = block.cv1(X)
    first, second = halves[:, :12], halves[:, 12:]
    third = block.m[0](second)
    close(block(X), block.cv2(torch.cat((first, second, third, block.m[1](third)), 1)))


def test_c2f_adds_where_it_is_told_to() -> None:
    assert [C2f(16, 16, shortcut=shortcut).m[0].add for shortcut in (True, False)] == [True, False]
    assert not C2f(16, 16).m[0].add
    assert C2f(16, 16).m[0].cv1.conv.out_channels == 8


def test_what_stands_inside_of_c3k2() -> None:
    assert kinds(C3k2(16, 32, 2)) == [Bottleneck] * 2
    assert C3k2(16, 32).m[0].cv1.conv.weight.shape == (8, 16, 3, 3)
    assert kinds(C3k2(16, 32, 2, True)) == [C3k] * 2
    c3k = C3k2(16, 32, 1, True, g=2, shortcut=False).m[0]
    assert [(inner.cv1.conv.weight.shape, inner.cv2.conv.groups, inner.add) for inner in c3k.m] == [
        ((8, 8, 3, 3), 2, False)
    ] * 2
    for given in (False, True):
        attentive = C3k2(16, 256, 1, given, 0.5, True).m[0]
        assert [type(part) for part in attentive] == [Bottleneck, PSABlock]
        assert attentive[0].cv1.conv.weight.shape == (64, 128, 3, 3)
        assert attentive[1].attn.heads == 2


@pytest.mark.parametrize(("hidden", "heads"), [(32, 1), (64, 1), (128, 2), (384, 6)])
def test_one_head_for_each_64_channels(hidden: int, heads: int) -> None:
    with torch.device("meta"):
        blocks = [PSA(2 * hidden, 2 * hidden).attn, C2PSA(2 * hidden, 2 * hidden).m[0].attn]
    assert [(block.heads, block.key_width) for block in blocks] == [(heads, hidden // heads // 2)] * 2


def test_psa_block_has_two_shortcuts(close: Any) -> None:
    block = PSABlock(16, heads=2).eval()
    y = X + block.attn(X)
    close(block(X), y + block.ffn[1](block.ffn[0](y)))
    assert isinstance(block.ffn[1].act, nn.Identity)
    assert block.ffn[0].conv.out_channels == 32


def test_psa_works_on_the_second_half(close: Any) -> None:
    one, several = PSA(16, 16).eval(), C2PSA(16, 16, 2).eval()
    first, second = one.cv1(X).chunk(2, 1)
    second = second + one.attn(second)
    close(one(X), one.cv2(torch.cat((first, second + one.ffn(second)), 1)))
    first, second = several.cv1(X).chunk(2, 1)
    close(several(X), several.cv2(torch.cat((first, several.m[1](several.m[0](second))), 1)))


def test_scdown(close: Any) -> None:
    block = SCDown(16, 24, 3, 2).eval()
    assert (block.cv1.conv.kernel_size, block.cv2.conv.groups, block(X).shape) == ((1, 1), 24, (2, 24, 4, 3))
    assert isinstance(block.cv2.act, nn.Identity)
    close(block(X), block.cv2(block.cv1(X)))


def test_rep_vgg_dw_becomes_one_convolution(randomise: Any, close: Any) -> None:
    block = randomise(RepVGGDW(16)).eval()
    with torch.no_grad():
        expected = functional.silu(block.conv(X) + block.conv1(X))
        close(block(X), expected, 1e-6)
        assert block.fuse() is block
        close(block(X), expected)
        close(block.fuse()(X), expected)
    assert {name: tuple(tensor.shape) for name, tensor in block.state_dict().items()} == {
        "conv.conv.weight": (16, 1, 7, 7),
        "conv.conv.bias": (16,),
    }


def test_cib_and_its_large_kernel(close: Any) -> None:
    for lk, middle in ((False, 3), (True, 7)):
        block = CIB(16, 16, True, 0.75, lk).eval()
        close(block(X), X + block.cv1(X))
        sizes = [part.conv.conv if isinstance(part, RepVGGDW) else part.conv for part in block.cv1]
        assert [conv.kernel_size[0] for conv in sizes] == [3, 1, middle, 1, 3]
        assert [conv.groups for conv in sizes] == [16, 1, 24, 1, 16]
    assert not CIB(16, 24).eval().add
    assert not CIB(16, 16, False).add


def test_sppf_of_yolo26(close: Any) -> None:
    block = SPPF(16, 16, 5, 2, True).eval()
    once = block.cv1(X)
    twice = functional.max_pool2d(once, 5, 1, 2)
    close(block(X), X + block.cv2(torch.cat((once, twice, functional.max_pool2d(twice, 5, 1, 2)), 1)))
    assert not SPPF(16, 24, 5, 3, True).add
    acts = [SPPF(16, 16, 5, *given).cv1.act for given in ((), (3,), (3, False), (None, False))]
    assert [isinstance(act, nn.Identity) for act in acts] == [False, True, True, True]


def test_a2c2f(close: Any) -> None:
    x = wide(64)
    block = A2C2f(64, 64, 2, residual=True, mlp=1.2).eval()
    assert block.gamma.tolist() == pytest.approx([0.01] * 64)
    first = block.cv1(x)
    second = block.m[0](first)
    close(block(x), x + 0.01 * block.cv2(torch.cat((first, second, block.m[1](second)), 1)))
    assert [type(part) for part in block.m[0]] == [ABlock, ABlock]
    assert block.m[0][0].attn.heads == 1
    assert block.m[0][0].mlp[0].conv.out_channels == int(1.2 * 32)
    assert A2C2f(64, 128).gamma is None
    assert A2C2f(64, 128).m[0][0].mlp[0].conv.out_channels == 128
    assert A2C2f(64, 128, area=4).m[0][1].attn.area == 4
    plain = A2C2f(64, 24, 2, False, -1, True, g=2)
    assert plain.gamma is None
    assert kinds(plain) == [C3k] * 2
    assert plain.m[0].m[1].cv2.conv.groups == 2


def test_a_residual_a2c2f_stays_in_half_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert A2C2f(64, 64, residual=True)(wide(64).bfloat16()).dtype is torch.bfloat16


def test_area_attention_starts_small() -> None:
    torch.manual_seed(0)
    block = ABlock(64, 2)
    spreads = [float(module.weight.detach().std()) for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert len(spreads) == 5
    assert spreads == pytest.approx([0.02] * 5, rel=0.1)
