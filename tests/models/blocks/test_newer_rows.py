"""Rows that name the blocks of YOLOv8, 10, 11, 12 and 26: sizes of a family, swapped convolutions, and mistakes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models import Detector, SAConv2d, SPConv, build_model
from models.blocks.area_attention import A2C2f
from models.blocks.c2f import C3k2
from models.blocks.conv import Conv
from models.blocks.csp import C3k
from models.errors import BudgetError, ConfigError
from models.registry import RowContext, lookup
from models.weights.report import Outcome
from models.weights.source import SourceWeights
from models.weights.transfer import transfer_weights
from tests.models.blocks.test_newer_blocks import kinds


def config(block: str, args: list[Any], kwargs: dict[str, Any] | None = None, repeats: int = 1) -> dict[str, Any]:
    """A detector with one row of the block, on 32 channels and an eighth of the image."""
    return {
        "nc": 2,
        "anchors": [[4, 5]],
        "backbone": [
            [-1, 1, "Conv", [32, 3, 2]],
            [-1, 1, "Conv", [32, 3, 2]],
            [-1, 1, "Conv", [32, 3, 2]],
            [-1, repeats, block, args, kwargs or {}],
        ],
        "head": [[[-1], 1, "Detect", ["nc", "anchors"]]],
    }


def row(block: str, args: list[Any], kwargs: dict[str, Any] | None = None, repeats: int = 1) -> nn.Module:
    return build_model(config(block, args, kwargs, repeats)).model[3]


# Sizes


def planned(name: str, scale: str | None, args: list[Any], kwargs: dict[str, Any] | None = None) -> nn.Module:
    """The block of a row at one size of its family, as the parser makes it."""
    return build_model(config(name, args, kwargs) | at_size(scale)).model[3]


def at_size(scale: str | None) -> dict[str, Any]:
    """The keys with which a configuration's internal form names the size of its family."""
    return {} if scale is None else {"scale": scale, "max_channels": 1024}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([64, False, 0.25], None),
        ([64], None),
        ([64], {"c3k": False, "e": 0.25}),
        ([64, True], None),
    ],
)
def test_c3k2_has_c3k_at_the_large_sizes(args: list[Any], kwargs: dict[str, Any] | None) -> None:
    asked = args[1:2] == [True]
    for scale in (None, "n", "s", "m", "l", "x", "t"):
        block = planned("C3k2", scale, args, kwargs)
        assert isinstance(block, C3k2)
        assert (kinds(block) == [C3k]) == (asked or scale in {"m", "l", "x"}), scale


@pytest.mark.parametrize(
    ("args", "kwargs"), [([64, True, 4], None), ([64], {"area": 4, "mlp": 3.0}), ([64, True, 4, False, 2.0], None)]
)
def test_a2c2f_adds_its_input_at_the_largest_sizes(args: list[Any], kwargs: dict[str, Any] | None) -> None:
    for scale in (None, "n", "m", "l", "x"):
        given = config("A2C2f", args, kwargs)
        given["backbone"][2][3][0] = 64
        block = build_model(given | at_size(scale)).model[3]
        assert isinstance(block, A2C2f)
        large = scale in {"l", "x"}
        assert (block.gamma is not None) == large
        width = block.m[0][0].mlp[0].conv.out_channels
        assert width == (int(1.2 * 32) if large else 96 if kwargs else 64)
        assert block.m[0][0].attn.area == 4


def test_what_a_size_decides_is_shown() -> None:
    model = build_model(config("C3k2", [64]) | at_size("m"))
    assert model.rows[3].arguments == "32, 64, 1, c3k=True"


@pytest.mark.parametrize("name", ["C2", "C2f", "C3k", "C3k2", "C2PSA", "C2fCIB", "A2C2f"])
def test_repeats_are_the_blocks_own(name: str) -> None:
    plan = lookup(name).rule(RowContext((64,), repeats=3), [64])
    assert (plan.args, plan.out_channels, plan.repeats) == ((64, 64, 3), 64, 1)


@pytest.mark.parametrize("name", ["PSA", "SCDown", "CIB", "SPPF"])
def test_repeats_stand_in_sequence(name: str) -> None:
    plan = lookup(name).rule(RowContext((64,), repeats=3, width_multiple=0.5), [128, 5])
    assert (plan.args, plan.out_channels, plan.repeats) == ((64, 64, 5), 64, 3)


@pytest.mark.parametrize("name", ["Attention", "PSABlock", "ABlock", "RepVGGDW"])
def test_some_blocks_keep_their_channels(name: str) -> None:
    plan = lookup(name).rule(RowContext((64,), repeats=2, width_multiple=0.5), [128, 4])
    assert (plan.args, plan.out_channels, plan.repeats) == ((64, 4), 64, 2)
    with pytest.raises(ConfigError, match="keeps the channels of its input, 64, but the row comes to 128"):
        lookup(name).rule(RowContext((64,)), [128])


# Another convolution inside

SLOTS: dict[str, tuple[list[Any], int]] = {
    # arguments, and how many 3x3 convolutions there are
    "C2": ([32], 4),
    "C2f": ([32], 4),
    "C3k": ([32], 4),
    "C3k2": ([32], 4),
    "C3k2 of C3k": ([32, True], 8),
    "C3k2 of attention": ([32, False, 0.5, True], 4),
    "C2fCIB": ([32], 6),
    "C2fCIB with large kernels": ([32, True, True], 4),
    "CIB": ([32], 3),
    "A2C2f": ([32, False, -1], 8),
    "Bottleneck": ([32], 2),
}


def slot(name: str, conv: str | None, **kwargs: Any) -> dict[str, Any]:
    args, _ = SLOTS[name]
    chosen = {} if conv is None else {"conv": conv, **kwargs}
    if name == "Bottleneck":
        chosen["k"] = [3, 3]
    return config(name.split()[0], args, chosen, repeats=1 if name in {"CIB", "Bottleneck"} else 2)


@pytest.mark.parametrize("deform", [False, True])
@pytest.mark.parametrize("name", SLOTS)
def test_every_3x3_convolution_is_of_the_class_that_a_row_names(name: str, deform: bool) -> None:
    model = build_model(slot(name, "SAConv2d", use_deform=deform))
    block = model.model[3]
    made = [module for module in block.modules() if isinstance(module, SAConv2d)]
    assert len(made) == SLOTS[name][1]
    assert all(module.use_deform is deform and module.geometry.kernel == (3, 3) for module in made)
    depthwise = "CIB" in name
    assert all((module.geometry.groups == module.weight.shape[0]) is depthwise for module in made)
    assert all(module.weight.shape[1] == 1 for module in made) is depthwise
    left = [module for module in block.modules() if isinstance(module, Conv) and module.conv.kernel_size == (3, 3)]
    expected = {"C3k2 of attention": 2, "C2fCIB with large kernels": 2}  # positions, and parts of a 7x7
    assert len(left) == expected.get(name, 0)
    model(torch.rand(1, 3, 32, 32).expand(2, -1, -1, -1))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


@pytest.mark.parametrize("name", [name for name in SLOTS if "CIB" not in name])
def test_any_convolution_may_stand_there(name: str) -> None:
    block = build_model(slot(name, "SPConv", ratio=0.25)).model[3]
    made = [module for module in block.modules() if isinstance(module, SPConv)]
    assert len(made) == SLOTS[name][1]


@pytest.mark.parametrize("name", SLOTS)
def test_a_swap_of_convolutions_keeps_the_function(name: str, randomise: Any, close: Any) -> None:
    plain = randomise(build_model(slot(name, None)))
    swapped = build_model(slot(name, "SAConv2d", use_deform=True))
    report = transfer_weights(swapped, SourceWeights(plain.state_dict(), "test", plain.yaml, plain.classes))
    assert report.keys(Outcome.LEFT) == []
    assert "Conv to SAConv2d: the same function" in report.table()
    x = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = row_output(plain, x)
        close(row_output(swapped, x), expected)
        close(row_output(swapped.fuse(), x), expected)


def row_output(model: Detector, x: torch.Tensor) -> torch.Tensor:
    return model.model[:4].eval()(x)


# Mistakes


@pytest.mark.parametrize(
    ("block", "args", "kwargs", "words"),
    [
        ("C2fCIB", [32], {"conv": "SPConv"}, "depth-wise, but SPConv takes no groups"),
        ("A2C2f", [32], {}, "hidden channels that divide by 32, not 16"),
        ("A2C2f", [64, True, 0], {}, "areas must be at least 1, not 0"),
        ("A2C2f", [64, True, -1], {}, "areas must be at least 1, not -1"),
        ("A2C2f", [64, True, 5], {}, "32 x 32 cells do not divide into 5 equal areas"),
        ("A2C2f", [64, True, 1, True], {}, "cannot add its input of 32 channels to 64"),
        ("A2C2f", [64], {"conv": "SAConv2d"}, "no 3x3 convolution; leave conv out"),
        ("A2C2f", [64, True, 4, False, 0.001], {}, "some of its channels are 0"),
        ("A2C2f", [64, True, 4, False, "wide"], {}, "mlp must be a number, not 'wide'"),
        ("A2C2f", [64, "yes"], {}, "a2 must be true or false, not 'yes'"),
        ("A2C2f", [64, True, 4, False, -1.0], {}, "mlp must be above 0, not -1.0"),
        ("C2f", [64, False, 1, 0.0], {}, "e must be above 0, not 0.0"),
        ("Attention", [32, 5], {}, "32 channels cannot have 5 heads"),
        ("PSABlock", [32, 0.5, 0], {}, "heads must be at least 1, not 0"),
        ("PSABlock", [32, 0.01], {}, "leaves heads of 8 channels no key; raise it"),
        ("PSA", [64], {}, "keeps the channels of its input, 32, but the row comes to 64"),
        ("C2PSA", [64], {}, "keeps the channels of its input, 32, but the row comes to 64"),
        ("C3k2", [64, 0.25], {}, "c3k must be true or false, not 0.25"),
        ("C3k2", [64, False, 0.001], {}, "some of its channels are 0"),
        ("C2f", [64], {"conv": "SAConv2d", "dilate": 2}, "dilate"),
        ("SCDown", [64], {}, "missing a required argument: 'k'"),
    ],
)
def test_a_mistake_is_one_line_with_its_row(block: str, args: list, kwargs: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_model(config(block, args, kwargs))
    message = str(caught.value)
    assert words in message
    assert f"row 3 ({block})" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("block", "args", "words"),
    [
        ("SPPF", [8, 5, 10**9], "1,000,000,000 repeats"),
        ("C3k2", [64, False, 1e6], "or more"),
        ("A2C2f", [64, True, 1, False, 1e6], "or more"),
        ("A2C2f", [64, True, 1, False, 1e300], "mlp of 1e\\+300"),
        ("C2f", [64, False, 1, 1e300], "e of 1e\\+300"),
        ("PSABlock", [32, 1e300, 1], "ratio of 1e\\+300"),
        ("C2PSA", [32, 1e6], "or more"),
        ("CIB", [64, True, 1e6], "or more"),
    ],
)
def test_too_much_is_refused(block: str, args: list, words: str) -> None:
    with pytest.raises(BudgetError, match=words):
        build_model(config(block, args))


def test_areas_make_the_size_of_images_a_larger_multiple() -> None:
    given = config("A2C2f", [64, True, 4])
    assert [build_model(each).size_divisor for each in (config("A2C2f", [64]), given)] == [8, 16]


def test_a_config_with_a_size_is_read_again() -> None:
    model = build_model(config("C3k2", [64]) | at_size("m"))
    assert isinstance(build_model(model.yaml).model[3].m[0], C3k)
