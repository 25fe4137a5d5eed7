"""Files in the dialect of YOLOv8, 10, 11, 12 and 26, and heads without anchors in YOLOv5's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from files.problems import short
from models import build_model
from models.config.heads import KEYS
from models.config.reader import find_config, load_config
from models.config.schema import ModelConfig
from models.config.tasks import OTHER_HEADS
from models.config.yolov8 import recognises
from models.errors import ConfigError
from tests.models.config.test_schema import ROWS, VALUES, attempt
from tests.models.config.test_schema import SMALL as ANCHORED

FAMILY = """\
nc: 3 # classes
scales: # model compound scaling constants
  # [depth, width, max_channels]
  n: [0.50, 0.25, 1024] # summary: 355 layers
  m: [0.50, 1.00, 48]
backbone:
  # [from, repeats, module, args]
  - [-1, 1, Conv, [16, 3, 2]] # 0-P1/2
  - [-1, 4, C2f, [64, True]]
head:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, nn.Upsample, [None, 2, "nearest"]]
  - [[-1, 1], 1, Concat, [1]]
  - [[2, 4], 1, Detect, [nc]] # Detect(P3, P4, P5)
"""
OF_HEAD = {"reg_max": 16, "end2end": False, "legacy_class_branch": True}


def write(folder: Path, name: str, *changes: tuple[str, str], text: str = FAMILY) -> Path:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file = folder / name
    file.write_text(text)
    return file


def problem(folder: Path, *changes: tuple[str, str], name: str = "my-yolo11n.yaml", text: str = FAMILY) -> str:
    """The one line for a file with these changes, from the file's name on."""
    file = write(folder, name, *changes, text=text)
    with pytest.raises(ConfigError) as caught:
        build_model(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(file))
    return message.removeprefix(str(file))


def head_of(config: ModelConfig) -> tuple[str, list[Any], dict[str, Any]]:
    row = config.rows[-1]
    return row.module, row.args, row.kwargs


@pytest.mark.parametrize(("size", "numbers"), [("n", (0.5, 0.25, 1024)), ("m", (0.5, 1.0, 48))])
@pytest.mark.parametrize("form", ["yolo11{}.yaml", "yolov8{}-ghost.yaml", "my26{}_p2.yaml"])
def test_a_file_is_expanded_at_the_size_of_its_name(
    tmp_path: Path, size: str, numbers: tuple[float, float, int], form: str
) -> None:
    config = load_config(write(tmp_path, form.format(size)))
    assert (config.depth_multiple, config.width_multiple, config.max_channels) == numbers
    assert config.scale == size
    assert config.remarks == ()
    assert head_of(config) == ("AnchorFreeDetect", ["nc"], OF_HEAD)
    assert config.locate(5).endswith(f"{form.format(size)}, line 14, row 5 (AnchorFreeDetect)")


def test_a_size_of_the_name_that_the_file_lacks_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "yolov8x-mine.yaml"
    file.write_text(FAMILY)
    with pytest.raises(
        ConfigError, match=r"line 2: has no size 'x', which the name 'yolov8x-mine' says; there are n, m;"
    ):
        load_config(file)
    file.write_text(f"scale: m\n{FAMILY}")
    assert load_config(file).scale == "m"
    (tmp_path / "yolov8xyz.yaml").write_text(FAMILY)
    assert load_config(tmp_path / "yolov8xyz.yaml").scale == "n"


def test_a_family_is_found_by_the_name_of_a_size(tmp_path: Path) -> None:
    family = write(tmp_path, "their-yolo26-p2.yaml")
    assert find_config(tmp_path / "their-yolo26m-p2.yaml") == (family, "their-yolo26m-p2")
    assert load_config(tmp_path / "their-yolo26m-p2.yaml").max_channels == 48


def test_channels_and_repeats_follow_the_size(tmp_path: Path) -> None:
    small, cut = (build_model(write(tmp_path, f"yolo{size}.yaml", text=FAMILY)) for size in ("11n", "11m"))
    assert [row.out_channels for row in small.rows[:3]] == [8, 16, 16]
    assert [row.out_channels for row in cut.rows[:3]] == [16, 48, 48]
    assert len(small.model[1].m) == 2
    assert small.model[1].m[0].add


@pytest.mark.parametrize("name", ["their-yolo11.yaml", "people.yaml", "yolo11-3q.yaml"])
def test_without_a_size_the_first_one_is_taken_which_one_line_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    file = write(tmp_path, name)
    caplog.set_level(logging.INFO)
    assert load_config(file).scale == "n"
    assert caplog.messages == []
    build_model(file)
    (line,) = caplog.messages
    assert line.startswith(
        f"{file}, line 2: no size is named, so it is n, the first of n, m; ask for one by name, such as"
    )
    assert line.endswith(".yaml, or write 'scale: m'")


@pytest.mark.parametrize(("scale", "taken"), [("m", "m"), ("n", "n"), ("''", "n")])
def test_the_key_scale(tmp_path: Path, scale: str, taken: str) -> None:
    config = load_config(write(tmp_path, "people.yaml", ("nc: 3", f"scale: {scale}\nnc: 3")))
    assert config.scale == taken
    assert bool(config.remarks) == (scale == "''")


def test_a_checkpoints_configuration_is_a_mapping_with_the_same_keys() -> None:
    content = {**yaml.safe_load(FAMILY), "scale": "m", "yaml_file": "yolo11m.yaml", "ch": 3, "channels": 3}
    config = load_config(content)
    assert (config.scale, config.max_channels, config.ch) == ("m", 48, 3)
    assert load_config(content | {"channels": 1, "ch": 1}).ch == 1
    early = {key: value for key, value in content.items() if key not in ("scales", "scale")}
    config = load_config(early | {"depth_multiple": 0.33, "width_multiple": 0.25})
    assert (config.depth_multiple, config.max_channels, config.scale) == (0.33, None, None)


@pytest.mark.parametrize("size", ["n", "m"])
@pytest.mark.parametrize("keys", ["", "end2end: true\nreg_max: 1\n", "activation: nn.ReLU()\nchannels: 4\n"])
def test_plain_content_depends_on_no_default_and_reads_back_as_the_same_network(
    tmp_path: Path, size: str, keys: str
) -> None:
    config = load_config(write(tmp_path, f"yolo11{size}.yaml", ("nc: 3", f"{keys}nc: 3"))).with_classes(7)
    again = load_config(config.plain())
    assert again.model_dump() == config.model_dump()
    assert again.plain() == config.plain()
    assert not set(config.plain()) & {"scales", "channels", *KEYS}
    assert build_model(config.plain()).yaml == config.plain()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", {}),
        ("reg_max: 8", {"reg_max": 8}),
        ("end2end: True", {"end2end": True}),
        ("end2end: true\nreg_max: 1\nlegacy_class_branch: false", dict(zip(OF_HEAD, (1, True, False), strict=True))),
    ],
)
def test_keys_of_the_head(tmp_path: Path, keys: str, expected: dict[str, Any]) -> None:
    file = write(tmp_path, "yolo11n.yaml", ("nc: 3", f"{keys}\nnc: 3"))
    assert head_of(load_config(file)) == ("AnchorFreeDetect", ["nc"], OF_HEAD | expected)
    head = build_model(file).head
    assert head.reg_max == (OF_HEAD | expected)["reg_max"]
    assert hasattr(head, "one2one_cv2") == (OF_HEAD | expected)["end2end"]


@pytest.mark.parametrize("block", ["C3k2", "C2fCIB", "A2C2f"])
def test_newer_blocks_mean_the_newer_class_branch_unless_the_file_says_so(tmp_path: Path, block: str) -> None:
    change = ("C2f, [64, True]", f"{block}, [256, False]")
    newer = load_config(write(tmp_path, "yolo11n.yaml", change))
    assert head_of(newer)[2] == OF_HEAD | {"legacy_class_branch": False}
    said = load_config(write(tmp_path, "yolo12n.yaml", change, ("nc: 3", "legacy_class_branch: true\nnc: 3")))
    assert head_of(said)[2] == OF_HEAD


def test_a_keyword_in_the_row_says_the_same(tmp_path: Path) -> None:
    change = ("Detect, [nc]]", "Detect, [nc], {reg_max: 4, end2end: true}]")
    assert head_of(load_config(write(tmp_path, "yolo11n.yaml", change)))[2] == OF_HEAD | {"reg_max": 4, "end2end": True}


def test_yolov10s_head_has_a_name_of_its_own(tmp_path: Path) -> None:
    for keys in ("", "end2end: true\n", "legacy_class_branch: false\n"):
        config = load_config(
            write(tmp_path, "yolo10n.yaml", ("Detect, [nc]", "v10Detect, [nc]"), ("nc: 3", f"{keys}nc: 3"))
        )
        assert head_of(config) == ("v10Detect", ["nc"], {})
    expected = "line 1: 'end2end' is true for every v10Detect; delete this line, or write Detect in the last row"
    changes = (("Detect, [nc]", "v10Detect, [nc]"), ("nc: 3", "end2end: false\nnc: 3"))
    assert expected in problem(tmp_path, *changes)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("nc: 3", "nc: three", "line 1: 'nc' must be a whole number of classes from 1, not 'three'"),
        ("[0.50, 1.00, 48]", "[0.50, 1.00]", "line 5: size 'm' must be [depth, width, max_channels], such as [0.33, "),
        ("[0.50, 1.00, 48]", "[0.50, 1.00, 48, 1]", "line 5: size 'm' must be [depth, width, max_channels]"),
        ("[0.50, 1.00, 48]", "{depth: 1}", "line 5: size 'm' must be [depth, width, max_channels]"),
        ("[0.50, 1.00, 48]", "[-1, 1.00, 48]", "line 5: size 'm': the first number, depth, must be a positive number"),
        ("[0.50, 1.00, 48]", "[1, .inf, 48]", "line 5: size 'm': the second number, width, must be a positive number"),
        (
            "[0.50, 1.00, 48]",
            "[1, 1, 48.5]",
            "line 5: size 'm': the third number, max_channels, must be a whole number",
        ),
        ("[0.50, 1.00, 48]", "[1, 1, true]", "must be a whole number from 1, not True"),
        ("[0.50, 1.00, 48]", "[1, 1, 0]", "must be a whole number from 1, not 0"),
        ("  m:", "  5:", "line 5: a size must be named by letters, such as n, not 5"),
        ("nc: 3", "scale: x\nnc: 3", "line 1: 'scale' must be one of 'scales', not 'x'; there are n, m"),
        ("nc: 3", "scale: [n]\nnc: 3", "line 1: 'scale' must be one of 'scales', not ['n']"),
        ("nc: 3", "scale: m\nnc: 3", "line 1: 'scale' says 'm', but the name 'my-yolo11n' says 'n'; delete the line"),
        (
            "nc: 3",
            "width_multiple: 1.0\nnc: 3",
            "line 1: 'width_multiple' stands in each of 'scales'; delete this line",
        ),
        ("nc: 3", "max_channels: 99\nnc: 3", "line 1: 'max_channels' stands in each of 'scales'; delete this line"),
        ("nc: 3", "regmax: 1\nnc: 3", "line 1: unknown key 'regmax'; did you mean 'reg_max'?"),
        ("nc: 3", "zzz: 1\nnc: 3", "line 1: unknown key 'zzz'; known keys: nc, scales, scale, reg_max, end2end"),
        ("nc: 3", "7: 1\nnc: 3", "line 1: unknown key 7; known keys: nc"),
        ("nc: 3", "reg_max: 0\nnc: 3", "line 1: 'reg_max' must be a whole number from 1, not 0"),
        ("nc: 3", "reg_max: true\nnc: 3", "line 1: 'reg_max' must be a whole number from 1, not True"),
        ("nc: 3", "reg_max: 16.0\nnc: 3", "line 1: 'reg_max' must be a whole number from 1, not 16.0"),
        ("nc: 3", "reg_max: 1000000000\nnc: 3", "asks for 4,000,000,003 logits in each cell, but a model may have"),
        ("nc: 3", "reg_max: 20000\nnc: 3", "row 5 (AnchorFreeDetect): asks for 57,611,685,640 parameters or more, but"),
        ("nc: 3", "channels: 90000\nnc: 3", ": asks for 5,898,240,000 numbers in a map of one image, but a model may"),
        ("nc: 3", "channels: 900000\nnc: 3", ": asks for 900,000 channels of the image, but a model may have 100,000"),
        ("[0.50, 0.25, 1024]", "[10000.0, 0.25, 1024]", "row 1 (C2f): asks for 4e+04 repeats, but a model may have"),
        (
            "[0.50, 0.25, 1024]",
            "[1, 1.0e+6, 1024]",
            "row 0 (Conv): asks for 1.6e+07 channels after the width multiple",
        ),
        ("nc: 3", "end2end: 1\nnc: 3", "line 1: 'end2end' must be true or false, not 1"),
        ("nc: 3", "legacy_class_branch: v8\nnc: 3", "line 1: 'legacy_class_branch' must be true or false, not 'v8'"),
        ("nc: 3", "channels: 0\nnc: 3", "line 1: 'channels' must be a whole number of image channels from 1, not 0"),
        ("nc: 3", "ch: '3'\nnc: 3", "line 1: 'ch' must be a whole number of image channels from 1, not '3'"),
        ("nc: 3", "ch: 1\nchannels: 3\nnc: 3", "line 2: 'channels' and 'ch' differ; delete one of them"),
        ("nc: 3", "activation: nn.SiLu()\nnc: 3", "line 1: unknown activation 'nn.SiLu()'; did you mean 'nn.SiLU()'?"),
        ("nc: 3", "task: segment\nnc: 3", "line 1: 'task' says 'segment'; here are detectors of boxes: take a"),
        ("Detect, [nc]]", "Detect, [nc], 3]", "line 14, row 5: the fifth element must be a map"),
        ("Detect, [nc]]", "Detect]", "line 14, row 5: a row must be a list"),
        ("Detect, [nc]", "Detect, [no]", "row 5 (AnchorFreeDetect): the number of classes must be a whole number"),
        ("Detect, [nc]", "Detect, [80]", "row 5 (AnchorFreeDetect): is for 80 classes where 3 are asked for; write nc"),
        (
            "Detect, [nc]",
            "Detect, []",
            "row 5 (Detect): takes the arguments [nc, anchors], or [nc] for the head without",
        ),
        ("Detect, [nc]", "Detect, [nc, anchors]", "row 5 (Detect): needs anchors, but the file has no key 'anchors'"),
        ("Detect, [nc]]", "Detect, [nc], {reg_max: 0}]", "row 5 (AnchorFreeDetect): "),
        ("Detect, [nc]]", "Detect, [nc], {regmax: 1}]", "did you mean 'reg_max'?"),
        ("C2f, [64, True]", "C2f, [64, Maybe]", "line 9, row 1 (C2f): "),
        ("C2f, [64, True]", "C2g, [64, True]", "line 9, row 1 (C2g): unknown block 'C2g'; did you mean 'C2'?"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_line_and_remedy(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected in problem(tmp_path, (old, new))


@pytest.mark.parametrize("scales", ["", "[n]", "{}", "3"])
def test_scales_that_are_none(tmp_path: Path, scales: str) -> None:
    start, rest = FAMILY.index("scales:"), FAMILY.index("backbone")
    text = f"{FAMILY[:start]}scales: {scales}\n{FAMILY[rest:]}"
    expected = "line 2: 'scales' must be a map of sizes, such as n: [depth, width, max_channels], such as [0.33, 0.25"
    assert expected in problem(tmp_path, text=text)


def test_a_scale_without_scales(tmp_path: Path) -> None:
    text = FAMILY[: FAMILY.index("scales:")] + "scale: m\n" + FAMILY[FAMILY.index("backbone") :]
    assert "line 2: 'scale' chooses one of 'scales', which are missing; delete it" in problem(tmp_path, text=text)


@pytest.mark.parametrize("key", ["reg_max: 1", "end2end: true", "legacy_class_branch: false"])
def test_keys_of_the_head_beside_another_head(tmp_path: Path, key: str) -> None:
    name = key.partition(":")[0]
    expected = (
        f"line 1: {name!r} is for a head without anchors, as in [[15, 18, 21], 1, Detect, [nc]], and the last row is"
    )
    assert expected in problem(tmp_path, ("nc: 3", f"{key}\nnc: 3"), text=ANCHORED, name="a.yaml")
    in_row = ("Detect, [nc]]", f"Detect, [nc], {{{key}}}]")
    expected = f"line 1: {name!r} stands in the head's row too; delete one of them"
    assert expected in problem(tmp_path, ("nc: 3", f"{key}\nnc: 3"), in_row)


@pytest.mark.parametrize("head", sorted(OTHER_HEADS))
def test_heads_of_other_tasks_are_refused_before_anything_else(tmp_path: Path, head: str) -> None:
    """Their files have other blocks and keys as well, about which nobody wants to hear."""
    changes = (
        ("Detect, [nc]", f"{head}, [nc, 32, 256]"),
        ("nc: 3", "kpt_shape: [17, 3]"),
        ("C2f, [64", "HGBlock, [64"),
    )
    message = problem(tmp_path, *changes)
    assert f"line 14, row 5 ({head}): is the head of a model for {OTHER_HEADS[head]}; here are detectors" in message
    assert message.endswith("take a detection model, such as yolo11n.yaml")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("Segment", "segmentation"),
        ("Pose", "pose"),
        ("OBB", "OBB"),
        ("Classify", "classification"),
        ("RTDETRDecoder", "RT-DETR"),
    ],
)
def test_a_task_is_called_by_its_name(tmp_path: Path, head: str, words: str) -> None:
    assert words in problem(tmp_path, ("Detect, [nc]", f"{head}, [nc]"))


def test_yolov5s_dialect_takes_a_head_without_anchors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    anchors = ("anchors:\n  - [10,13, 16,30]\n", "depth_multiple: 0.33\nwidth_multiple: 0.5\n")
    plain = load_config(write(tmp_path, "a.yaml", anchors, ("[nc, anchors]", "[nc]"), text=ANCHORED))
    assert head_of(plain) == ("AnchorFreeDetect", ["nc"], OF_HEAD)
    assert (plain.depth_multiple, plain.max_channels, plain.remarks) == (0.33, None, ())
    left = write(tmp_path, "b.yaml", ("[nc, anchors]", "[nc]"), text=ANCHORED)
    assert "anchors" not in load_config(left).plain()
    build_model(left)
    (line,) = caplog.messages
    assert line.startswith(f"{left}, line 2: the head Detect [nc] has no anchors, so these have no effect; ")
    assert line.endswith("YOLOv5's is Detect [nc, anchors]")


def test_a_family_of_yolov5s_dialect_takes_it_too(tmp_path: Path) -> None:
    sizes = "scales:\n  s: {depth_multiple: 0.33, width_multiple: 0.5}\n"
    text = ANCHORED.replace("anchors:\n  - [10,13, 16,30]\n", f"{sizes}reg_max: 8\n").replace("[nc, anchors]", "[nc]")
    config = load_config(write(tmp_path, "yolov5s.yaml", text=text))
    assert (config.depth_multiple, config.scale) == (0.33, None)
    assert head_of(config)[2] == OF_HEAD | {"reg_max": 8}
    with pytest.raises(ConfigError, match="describes the sizes s; ask for one by name"):
        load_config(write(tmp_path, "yolov5.yaml", text=text))


def test_sizes_as_lists_and_anchors_may_stand_together(tmp_path: Path) -> None:
    sizes = "scales:\n  s: [0.33, 0.5, 1024]\n"
    config = load_config(write(tmp_path, "yolov5s.yaml", ("nc: 3\n", f"nc: 3\n{sizes}"), text=ANCHORED))
    assert (config.width_multiple, config.scale, config.anchors) == (0.5, "s", [[10, 13, 16, 30]])
    assert head_of(config) == ("Detect", ["nc", "anchors"], {})


@settings(max_examples=80, deadline=None)
@given(
    content=st.dictionaries(
        st.sampled_from([*ModelConfig.model_fields, *KEYS, "scales", "scale", "channels", "task", "x"]), VALUES | ROWS
    ),
    keep=st.sets(st.sampled_from(["nc", "scales", "backbone", "head"])),
)
def test_any_mapping_is_a_configuration_or_one_sentence(content: dict[str, Any], keep: set[str]) -> None:
    content |= {key: value for key, value in yaml.safe_load(FAMILY).items() if key in keep}
    recognises(content)
    config, message = attempt(content)
    if config is None:
        assert message
        assert "\n" not in message
    else:
        assert load_config(config.plain()).model_dump() == config.model_dump()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(FAMILY)), st.integers(0, 6), st.text("[]{}:,-&*!#'\" \n\tab1.?|>%@", max_size=5))
def test_a_damaged_file_is_a_configuration_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, start: int, removed: int, inserted: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "yolo11n-damaged.yaml"
    file.write_text(FAMILY[:start] + inserted + FAMILY[start + removed :])
    config, message = attempt(file)
    if config is None:
        assert "yolo11n-damaged.yaml" in message
        assert "\n" not in message
    else:
        assert len(config.rows) >= 2, short(config)
