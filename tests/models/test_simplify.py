"""Blocks that compute what a simpler one computes: found by running them, and replaced."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import build_model
from models.blocks.conv import Conv
from models.blocks.saconv import SAConv2d
from models.blocks.saconv.conversion import NEUTRAL
from models.detector import Detector
from models.simplify import Simplified, simplify
from tests.models.blocks.saconv_variants import VARIANTS

TOLERANCE = 1e-3


@torch.no_grad()
def neutral(block: SAConv2d) -> SAConv2d:
    """The block with everything that a plain convolution lacks at its neutral value."""
    for name, parameter in block.named_parameters():
        if name in NEUTRAL:
            parameter.fill_(NEUTRAL[name])
    return block


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_a_neutral_block_is_its_plain_convolution(variant: str, make: Any, close: Any) -> None:
    block = neutral(make(variant))
    block.post_context.bias.normal_()  # the same for every picture: a plain convolution has it in its bias
    x = torch.randn(2, 8, 12, 14)
    expected = block(x)
    plain = block.simpler()
    assert type(plain) is Conv
    assert not plain.training
    close(plain(x), expected, 1e-5)
    close(plain.fuse()(x), expected, 1e-5)
    close(block(x), expected, 0)  # it has not become another one
    assert block.departures(x)["switch"] == 0


@torch.no_grad()
def test_the_switch_departs_at_its_worst_pixel(make: Any) -> None:
    block = neutral(make("plain"))
    block.switch.weight[0, 0] = 0.1
    x = torch.zeros(2, 8, 20, 20)
    assert block.departures(x)["switch"] == 0
    x[1, 0, 10, 10] = -5.0  # a 5x5 average of -0.2
    assert block.departures(x)["switch"] == pytest.approx(0.02, rel=1e-3)


@torch.no_grad()
def test_the_switch_sees_the_pre_context(make: Any) -> None:
    block = neutral(make("plain"))
    block.switch.weight.fill_(0.1)
    block.pre_context.bias.fill_(0.25)
    assert block.departures(torch.zeros(1, 8, 20, 20))["switch"] == pytest.approx(8 * 0.25 * 0.1)


def test_a_fused_block_has_nothing_simpler(make: Any) -> None:
    assert make("plain").fuse().simpler() is None


def detector_of(*blocks: nn.Module) -> Detector:
    """A detector with the blocks, 8 to 8 channels each, in rows 1, 2, ..."""
    rows = [[-1, 1, "Conv", [8, 3, 2]], *([-1, 1, "SAConv2d", [8, 3]] for _ in blocks)]
    config = {
        "nc": 2,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "anchors": [[10, 13, 16, 30, 33, 23]],
        "backbone": rows,
        "head": [[[len(blocks)], 1, "Detect", ["nc", "anchors"]]],
    }
    detector = build_model(config).eval()
    for row, block in enumerate(blocks, 1):
        detector.model[row] = block.eval()
    return detector


def saconv(**changes: float) -> SAConv2d:
    """A new block, which is a plain convolution, with some of its parameters filled with a value."""
    block = SAConv2d(8, 8, 3)
    with torch.no_grad():
        for name, value in changes.items():
            block.get_parameter(name.replace("__", ".")).fill_(value)
    return block


def pictures(number: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, 32, 32, generator=generator) for _ in range(number)]


@torch.no_grad()
def test_blocks_are_replaced_one_by_one(close: Any) -> None:
    detector = detector_of(saconv(), saconv(switch__bias=0.9), saconv(post_context__bias=0.3))
    full = copy.deepcopy(detector).fuse()
    found = simplify(detector, pictures(), TOLERANCE)
    assert [(block.row, block.place, block.replaced) for block in found] == [
        (1, "model.1", True),
        (2, "model.2", False),
        (3, "model.3", True),
    ]
    assert [type(module).__name__ for module in detector.model[1:4]] == ["Conv", "SAConv2d", "Conv"]
    assert {(block.block, block.simpler) for block in found} == {("SAConv2d", "Conv")}
    detector.fuse()
    for images in pictures(4):
        for actual, expected in zip(detector.predict(images), full.predict(images), strict=True):
            close(actual, expected, 1e-4)


@pytest.mark.parametrize(
    ("changes", "replaced"),
    [
        ({"weight_diff": 1.0}, True),  # of the branch that a switch of 1 never looks at
        ({"weight_diff": 1.0, "switch__bias": 1 - 1e-4}, False),  # large enough to be seen through a switch of almost 1
        ({"switch__bias": 1 - 1e-4}, True),
        ({"switch__bias": 1 - 1e-2}, False),
        ({"pre_context__bias": 0.5}, False),
        ({"post_context__weight": 0.5}, False),
        ({"post_context__weight": float("nan")}, False),
    ],
)
def test_what_keeps_a_block(changes: dict[str, float], replaced: bool) -> None:
    (found,) = simplify(detector_of(saconv(**changes)), pictures(), TOLERANCE)
    assert found.replaced == replaced


def test_a_switch_counts_even_where_both_branches_agree() -> None:
    block = SAConv2d(8, 8, 1)  # 1x1, so that dilation changes nothing, and a kernel without a difference
    with torch.no_grad():
        block.switch.bias.fill_(0.5)
    (found,) = simplify(detector_of(block), pictures(), TOLERANCE)
    assert found.departures["output"] < TOLERANCE
    assert not found.replaced


def test_the_worst_picture_decides_in_any_order() -> None:
    block = saconv()
    with torch.no_grad():
        block.switch.weight.fill_(0.1)
    dark, bright = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    worst = []
    for images in ([dark, bright], [bright, dark], [bright]):
        torch.manual_seed(0)
        worst += simplify(detector_of(copy.deepcopy(block)), images, TOLERANCE)
    assert worst[0].departures == worst[1].departures
    assert worst[0].departures["switch"] >= worst[2].departures["switch"] > TOLERANCE


def test_without_pictures_nothing_is_known() -> None:
    (found,) = simplify(detector_of(saconv()), [], 1.0)
    assert not found.replaced


def test_not_a_number_stays() -> None:
    block = Simplified(0, "model.0", "A", "B")
    for value in (0.0, float("nan"), 0.0):
        block.observe({"output": value})
    assert not block.is_within(1e9)


def test_hooks_are_gone_afterwards() -> None:
    detector = detector_of(saconv(switch__bias=0.5))
    simplify(detector, pictures(), TOLERANCE)
    assert not any(module._forward_hooks for module in detector.modules())


def test_any_block_may_have_a_simpler_one() -> None:
    class ScaledConv(nn.Module):
        def __init__(self, c1: int, c2: int, factor: float = 1.0) -> None:
            super().__init__()
            self.conv = nn.Conv2d(c1, c2, 1, bias=False)
            self.factor = factor

        def forward(self, x: Tensor) -> Tensor:
            return self.factor * self.conv(x)

        def simpler(self) -> nn.Module:
            return self.conv

    loud = ScaledConv(8, 8, 1.25)
    with torch.no_grad():
        loud.conv.weight.mul_(1e4)
    detector = detector_of(ScaledConv(8, 8), loud)
    same, other = simplify(detector, pictures(), TOLERANCE)
    assert (same.departures, same.replaced, same.simpler) == ({"output": 0.0}, True, "Conv2d")
    assert not other.replaced
    assert 0.2 < other.departures["output"] < 2.0  # in units of the output's root mean square, however large that is


def test_a_swapped_convolution_inside_a_block_is_found() -> None:
    detector = build_model("yolov5n-saconv").eval()
    found = simplify(detector, [torch.rand(1, 3, 64, 64)], TOLERANCE)
    assert {block.row for block in found} == {3, 4, 5, 6, 7, 8}
    assert all(block.replaced for block in found)
    assert not any(isinstance(module, SAConv2d) for module in detector.modules())
