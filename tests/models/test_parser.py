"""From rows to modules: multiples, keyword arguments, names that stand for values, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import Conv, Detector, SAConv2d, SPConv, build_model
from models.blocks.csp import C3
from models.errors import ConfigError
from models.registry import RowPlan, conv_rule, register, single_input

BASE = """\
nc: 3
depth_multiple: 0.5
width_multiple: 0.5
anchors:
  - [10,13, 16,30]
  - [30,61, 62,45]
backbone:
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 4, C3, [64]]
  - [-1, 1, Conv, [128, 3, 2]]
head:
  - [-1, 1, nn.Upsample, [None, 2, 'nearest']]
  - [[-1, 2], 1, Concat, [1]]
  - [[5, 3], 1, Detect, [nc, anchors]]
"""


def build(tmp_path: Path, *replacements: tuple[str, str]) -> Detector:
    text = BASE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "m.yaml"
    file.write_text(text)
    return build_model(file)


def problem(tmp_path: Path, *replacements: tuple[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        build(tmp_path, *replacements)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_multiples_scale_channels_and_repeats(tmp_path: Path) -> None:
    model = build(tmp_path)
    assert [row.out_channels for row in model.rows[:4]] == [16, 32, 32, 64]
    assert len(model.model[2].m) == 2
    assert isinstance(model.model[4], nn.Upsample)
    assert model.stride.tolist() == [4, 8]


@pytest.mark.parametrize(
    ("number", "depth", "inner"), [(1, 0.1, 1), (2, 0.1, 1), (3, 0.5, 2), (5, 0.5, 2), (1, 3.0, 1)]
)
def test_only_repeats_above_one_are_scaled(tmp_path: Path, number: int, depth: float, inner: int) -> None:
    model = build(tmp_path, ("[-1, 4, C3", f"[-1, {number}, C3"), ("depth_multiple: 0.5", f"depth_multiple: {depth}"))
    assert len(model.model[2].m) == inner


@pytest.mark.parametrize(("multiple", "channels"), [("", 24), ("channel_multiple: 1\n", 17)])
def test_channels_are_rounded_up_to_a_multiple(tmp_path: Path, multiple: str, channels: int) -> None:
    model = build(tmp_path, ("nc: 3\n", f"nc: 3\n{multiple}"), ("Conv, [32, 3, 2]", "Conv, [34, 3, 2]"))
    assert model.model[0].conv.out_channels == channels


@pytest.mark.parametrize(("limit", "channels"), [(100, 50), (64, 32), (63, 32), (33, 17)])
def test_channels_are_cut_before_the_multiple(tmp_path: Path, limit: int, channels: int) -> None:
    keys = f"nc: 3\nchannel_multiple: 1\nmax_channels: {limit}\n"
    model = build(tmp_path, ("nc: 3\n", keys), ("Conv, [64, 3, 2]", "Conv, [100, 3, 2]"))
    assert model.model[1].conv.out_channels == channels


def test_a_rule_knows_the_size_of_the_model() -> None:
    seen = []

    @register("ParserTestSize", rule=lambda context, args: seen.append(context.scale) or conv_rule(context, args))
    class Sized(Conv):
        pass

    build_model(_mapping([[-1, 1, "ParserTestSize", [8]]], max_channels=512, scale="m"))
    build_model(_mapping([[-1, 1, "ParserTestSize", [8]]]))
    assert set(seen[: len(seen) // 2]) == {"m"}
    assert set(seen[len(seen) // 2 :]) == {None}


def test_blocks_that_do_not_repeat_inside_stand_in_sequence(tmp_path: Path) -> None:
    model = build(tmp_path, ("[-1, 4, C3, [64]]", "[-1, 4, Bottleneck, [64]]"))
    assert isinstance(model.model[2], nn.Sequential)
    assert len(model.model[2]) == 2
    assert "model.2.1.cv1.conv.weight" in model.state_dict()


@pytest.mark.parametrize(("name", "block"), [("SAConv2d", SAConv2d), ("SPConv", SPConv)])
def test_swapping_a_convolution_is_editing_a_word(tmp_path: Path, name: str, block: type[nn.Module]) -> None:
    model = build(
        tmp_path, ("Conv, [128, 3, 2]", f"{name}, [128, 3, 2]"), ("C3, [64]]", f"C3, [64], {{conv: {name}}}]")
    )
    assert isinstance(model.model[3], block)
    assert isinstance(model.model[2], C3)
    assert [type(inner.cv2) for inner in model.model[2].m] == [block, block]
    assert all(type(inner.cv1) is Conv for inner in model.model[2].m)


def test_further_keywords_reach_the_convolutions(tmp_path: Path) -> None:
    model = build(tmp_path, ("C3, [64]]", "C3, [64], {conv: SAConv2d, use_deform: true, shortcut: false}]"))
    assert any("offset" in name for name, _ in model.model[2].named_parameters())
    assert not model.model[2].m[0].add


def test_yaml_and_python_spellings_of_constants_are_the_same(tmp_path: Path) -> None:
    python = build(tmp_path, ("C3, [64]]", "C3, [64, False]]"), ("[128, 3, 2]", "[128, 3, 2, None, 1, 1, True]"))
    plain = build(tmp_path, ("C3, [64]]", "C3, [64, false]]"), ("[128, 3, 2]", "[128, 3, 2, null, 1, 1, true]"))
    assert str(python.model) == str(plain.model)
    assert not python.model[2].m[0].add


def test_the_activation_holds_for_every_convolution_of_this_model_only(tmp_path: Path) -> None:
    leaky = build(tmp_path, ("nc: 3", "activation: nn.LeakyReLU(0.2)\nnc: 3"))
    acts = [module.act for module in leaky.modules() if isinstance(module, Conv)]
    assert acts
    assert all(isinstance(act, nn.LeakyReLU) and act.negative_slope == 0.2 for act in acts)
    assert isinstance(build(tmp_path).model[0].act, nn.SiLU)


def test_an_activation_in_a_row(tmp_path: Path) -> None:
    model = build(tmp_path, ("[32, 3, 2]", "[32, 3, 2, null, 1, 1, nn.Hardswish()]"))
    assert isinstance(model.model[0].act, nn.Hardswish)
    assert isinstance(model.model[1].act, nn.SiLU)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Conv, [64, 3, 2]", "Covn, [64, 3, 2]", "line 9, row 1 (Covn): unknown block 'Covn'; did you mean 'Conv'?"),
        ("Conv, [64, 3, 2]", "Zzzzz, [64]", "line 9, row 1 (Zzzzz): unknown block 'Zzzzz'; known blocks: "),
        ("Conv, [64, 3, 2]", "os.system, ['true']", "row 1 (os.system): unknown block 'os.system'"),
        ("Conv, [64, 3, 2]", "Conv, []", "row 1 (Conv): needs its output channels"),
        ("Conv, [64, 3, 2]", "Conv, [abc]", "row 1 (Conv): output channels must be a whole number from 1, not 'abc'"),
        ("Conv, [64, 3, 2]", "Conv, [-64]", "row 1 (Conv): output channels must be a whole number from 1, not -64"),
        ("Conv, [64, 3, 2]", "Conv, [64, 3, 2, 1, 1, 1, 1, 1]", "row 1 (Conv): wrong arguments: too many positional"),
        ("Conv, [64, 3, 2]", "Conv, [64, 3, 2, null, 5]", "row 1 (Conv): cannot be built with (16, 32, 3, 2, None, 5)"),
        ("Conv, [64, 3, 2]", "Conv, [64, three]", "row 1 (Conv): k must be a whole number"),
        (
            "Conv, [64, 3, 2]",
            "Conv, [64, 3, 0]",
            "row 1 (Conv): s must be at least 1, not 0",
        ),
        ("Conv, [64, 3, 2]]", "Conv, [64], {padding: 1}]", "row 1 (Conv): wrong arguments: "),
        ("Conv, [64, 3, 2]]", "Conv, [64], {st: 1}]", "the constructor takes (c1, c2, k=1, s=1,"),
        ("C3, [64]]", "C3, [64], {shortcat: false}]", "did you mean 'shortcut'?"),
        ("C3, [64]]", "C3, [64], {conv: SAConv3d}]", "unknown block 'SAConv3d'; did you mean 'SAConv2d'?"),
        ("C3, [64]]", "C3, [64], {conv: Concat}]", "row 2 (C3): cannot be built with"),
        (
            "[-1, 1, Conv, [64",
            "[2, 1, Conv, [64",
            "row 1 (Conv): 'from' 2 is out of range; here it may be 0 to 0 or -1",
        ),
        ("[-1, 1, Conv, [64", "[1, 1, Conv, [64", "row 1 (Conv): 'from' 1 is out of range"),
        (
            "[-1, 1, Conv, [32",
            "[0, 1, Conv, [32",
            "row 0 (Conv): 'from' 0 is out of range; here it may be -1, the image",
        ),
        ("[-1, 2], 1, Concat", "[-1, -6], 1, Concat", "line 14, row 5 (Concat): 'from' -6 is out of range"),
        ("[-1, 2], 1, Concat", "[], 1, Concat", "'from' is an empty list"),
        ("[-1, 2], 1, Concat", "[-1, 0], 1, Concat", "row 5 (Concat): does not fit its input"),
        ("[[-1, 2], 1, Concat, [1]]", "[[-1, 2], 1, Conv, [64]]", "takes one input, but 'from' names 2; put a Concat"),
        ("[[-1, 2], 1, Concat, [1]]", "[[-1], 1, Conv, [64]]", "write 'from' as a number"),
        ("[-1, 4, C3, [64]]", "[-1, 4, Conv, [128, 1]]", "row 2 (Conv): does not fit its input"),
        ("[[5, 3], 1, Detect", "[5, 1, Detect", "'from' 5 is one row, but a head takes a list of them; write [5]"),
        ("Conv, [128, 3, 2]", "Conv, [128, 3, 3]", "line 14, row 5 (Concat): does not fit its input of channels"),
        ("[[5, 3], 1, Detect", "[[5], 1, Detect", "row 6 (Detect): has 1 inputs but anchors for 2 levels"),
        ("  - [30,61, 62,45]\n", "", "line 14, row 6 (Detect): has 2 inputs but anchors for 1 levels"),
        ("Detect, [nc, anchors]", "Detect, [nc, anchors, 1]", "row 6 (Detect): takes the arguments [nc, anchors]"),
        ("Detect, [nc, anchors]", "Detect, [nx, anchors]", "number of classes must be a whole number from 1, not 'nx'"),
        ("Detect, [nc, anchors]", "Detect, [nc, anchor]", "anchors must be a number per level or a list of sizes"),
        ("Detect, [nc, anchors]", "Detect, [nc, [[1, 2], [1, 2, 3, 4]]]", "as many pairs of width and height at every"),
        (
            "[[5, 3], 1, Detect, [nc, anchors]]",
            "[-1, 1, Conv, [8]]",
            "row 6 (Conv): the last row must be a detection head",
        ),
        (
            "[[-1, 2], 1, Concat, [1]]",
            "[[3, 2], 1, Detect, [nc, anchors]]",
            "row 5 (Detect): a detection head must be the last",
        ),
        ("nc: 3", "activation: nn.SiLu()\nnc: 3", "line 1: unknown activation 'nn.SiLu()'; did you mean 'nn.SiLU()'?"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_line_and_row(tmp_path: Path, old: str, new: str, expected: str) -> None:
    message = problem(tmp_path, (old, new))
    assert expected in message
    assert message.startswith(f"{tmp_path / 'm.yaml'}, line ")


def test_without_anchors_the_anchor_based_head_says_so(tmp_path: Path) -> None:
    message = problem(tmp_path, ("anchors:\n  - [10,13, 16,30]\n  - [30,61, 62,45]\n", ""))
    assert "row 6 (Detect)" in message
    assert "anchors" in message


@pytest.mark.parametrize(
    "text",
    ["__import__('os').mkdir('{marker}')", "nn.SiLU(__import__('os').mkdir('{marker}'))", "open('{marker}', 'w')"],
)
def test_nothing_in_a_file_is_evaluated(tmp_path: Path, text: str) -> None:
    marker = tmp_path / "ran"
    code = text.format(marker=marker)
    for old, new in [
        ("nc: 3", f'activation: "{code}"\nnc: 3'),
        ("[32, 3, 2]", f'["{code}", 3, 2]'),
        ("[32, 3, 2]", f'[32, 3, 2, null, 1, 1, "{code}"]'),
        ("Conv, [32, 3, 2]", f'"{code}", [32]'),
        ("C3, [64]]", f'C3, [64], {{conv: "{code}"}}]'),
        ("[nc, anchors]", f'["{code}", anchors]'),
    ]:
        problem(tmp_path, (old, new))
        assert not marker.exists()


def _mapping(rows: list[Any], **keys: Any) -> dict[str, Any]:
    return {"nc": 2, "anchors": [[8, 8]], "backbone": rows, "head": [[[-1], 1, "Detect", ["nc", "anchors"]]], **keys}


def test_a_block_whose_rule_is_wrong_is_named() -> None:
    @register("ParserTestWrongRule", rule=lambda context, args: RowPlan((single_input(context),), 99))
    class Same(nn.Module):
        def __init__(self, c1: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(c1, c1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    with pytest.raises(ConfigError, match=r"row 0 \(ParserTestWrongRule\): gives a tensor of .* promised 99 channels"):
        build_model(_mapping([[-1, 1, "ParserTestWrongRule", []]]))


def test_a_block_that_needs_real_numbers_can_still_be_built() -> None:
    @register("ParserTestRealNumbers", rule=conv_rule)
    class Real(nn.Module):
        def __init__(self, c1: int, c2: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(c1, c2, 2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x) * (1.0 if x.sum().item() < 1e9 else 2.0)

    assert build_model(_mapping([[-1, 1, "ParserTestRealNumbers", [8]]])).stride.tolist() == [2]


def test_a_map_that_is_no_whole_fraction_of_the_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="no whole stride"):
        build_model(_mapping([[-1, 1, "Conv", [8, 3, 3]]]))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_graph_of_plain_rows_is_built_or_explained(data: st.DataObject) -> None:
    rows: list[Any] = []
    for _ in range(data.draw(st.integers(1, 5))):
        source = data.draw(st.integers(-4, 4) | st.lists(st.integers(-4, 4), max_size=3))
        block, args = data.draw(
            st.sampled_from(
                [
                    ("Conv", [8, 3, 2]),
                    ("Conv", [16]),
                    ("Concat", [1]),
                    ("nn.Upsample", ["None", 2, "nearest"]),
                    ("SPP", [8]),
                ]
            )
        )
        rows.append([source, data.draw(st.integers(1, 2)), block, args])
    model, message = None, ""
    try:
        model = build_model(_mapping(rows))
    except ConfigError as error:
        message = str(error)
    if model is None:
        assert "row " in message
        assert "\n" not in message
    else:
        size = 2 * model.size_divisor
        decoded, logits = model.eval()(torch.zeros(1, 3, size, size))
        cells = size // int(model.stride[0])
        assert decoded.shape == (1, cells * cells, 7)
        assert logits[0].shape == (1, 1, cells, cells, 7)
