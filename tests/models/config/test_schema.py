"""Reading model YAMLs: what is accepted, and the sentence that each mistake gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config.reader import SHELF, find_config, load_config
from models.config.schema import ModelConfig
from models.errors import ConfigError

SMALL = """\
nc: 3
anchors:
  - [10,13, 16,30]
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - [[1], 1, Detect, [nc, anchors]]
"""


def problem(tmp_path: Path, text: str) -> str:
    """The message for a file of this text, without the folder."""
    file = tmp_path / "m.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(file))
    return message.removeprefix(f"{tmp_path}{os.sep}")


def test_a_file_is_read_with_defaults_and_the_line_of_each_row(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(SMALL)
    config = load_config(file)
    assert (config.nc, config.depth_multiple, config.width_multiple, config.ch) == (3, 1.0, 1.0, 3)
    assert config.anchors == [[10, 13, 16, 30]]
    assert [row.module for row in config.rows] == ["Conv", "Conv", "Detect"]
    assert config.locate(1) == f"{file}, line 6, row 1 (Conv)"
    assert config.locate(2) == f"{file}, line 8, row 2 (Detect)"


def test_lines_are_right_where_rows_share_a_bracket_as_in_yolov5s_files(tmp_path: Path) -> None:
    text = (
        "nc: 1\nanchors: 2\n# comment\nbackbone:\n  [[-1, 1, Conv, [8]],\n   # comment\n   [-1, 1, Conv,\n    [8]]]\n"
    )
    file = tmp_path / "m.yaml"
    file.write_text(text + "head: [[-1, 1, Detect, [nc, anchors]]]\n")
    lines = [load_config(file).locate(index).split(", ")[1] for index in range(3)]
    assert lines == ["line 5", "line 7", "line 9"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("nc: 3", "nc: three", "m.yaml, line 1: 'nc' must be a whole number of classes from 1, not 'three'"),
        ("nc: 3", "nc: 0", "line 1: 'nc' must be"),
        ("nc: 3", "nc: true", "line 1: 'nc' must be"),
        ("nc: 3\n", "", "m.yaml: the key 'nc' is missing"),
        ("nc: 3", "nc: 3\nnc: 4", "line 2: the key 'nc' occurs twice"),
        ("nc: 3", "nc: 3\ndepth_multipel: 1.0", "line 2: unknown key 'depth_multipel'; did you mean 'depth_multiple'?"),
        ("nc: 3", "nc: 3\nxyz: 1.0", "line 2: unknown key 'xyz'; known keys: nc, "),
        ("nc: 3", "nc: 3\n7: 1.0", "unknown key 7; known keys: nc, "),
        ("nc: 3", "nc: 3\ndepth_multiple: -1", "line 2: 'depth_multiple' must be a positive number, not -1"),
        ("nc: 3", "nc: 3\nwidth_multiple: .nan", "line 2: 'width_multiple' must be a positive number, not nan"),
        ("nc: 3", "nc: 3\nactivation: 5", "line 2: 'activation' must be the name of an activation"),
        ("nc: 3", "nc: 3\nmax_channels: 0", "line 2: 'max_channels' must be a whole number from 1, not 0"),
        ("nc: 3", "nc: 3\nmax_channels: 1.5", "line 2: 'max_channels' must be a whole number from 1, not 1.5"),
        ("nc: 3", "nc: 3\nmax_channels: 512\nscale: 5", "line 3: 'scale' must be the name of a size, such as n, not 5"),
        ("  - [10,13, 16,30]", "  - [10,13, 16]", "line 2: 'anchors' must be"),
        ("  - [10,13, 16,30]", "  - [10,13]\n  - [10,13,16,30]", "line 2: 'anchors' must be"),
        ("  - [10,13, 16,30]", "  - [10,13, 16,a]", "'anchors' must be"),
        ("  - [10,13, 16,30]", "  0", "line 2: 'anchors' must be"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[-1, 1, Conv]", "line 6, row 1: a row must be a list [from, number, module"),
        ("[-1, 1, Conv, [32, 3, 2]]", "Conv", "line 6, row 1: a row must be"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[a, 1, Conv, [32]]", "line 6, row 1: 'from' must be a row number"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[[-1, a], 1, Conv, [32]]", "line 6, row 1: 'from' must be"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[-1, 0, Conv, [32]]", "row 1: 'number' must be a whole number of repeats"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[-1, 1.5, Conv, [32]]", "row 1: 'number' must be"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[-1, 1, 5, [32]]", "row 1: 'module' must be the name of a block, not 5"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[-1, 1, Conv, 32]", "row 1: 'args' must be a list of arguments, not 32"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[-1, 1, Conv, [32], [3]]", "row 1: the fifth element must be a map"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[-1, 1, Conv, [32], {3: 4}]", "row 1: the fifth element must be a map"),
        ("[[1], 1, Detect, [nc, anchors]]", "[[1], 1, Detect]", "line 8, row 2: a row must be"),
        ("head:\n  - [[1], 1, Detect, [nc, anchors]]", "head: []", "line 7: 'head' must be a list of rows"),
        ("head:\n  - [[1], 1, Detect, [nc, anchors]]", "", "the key 'head' is missing"),
        ("[-1, 1, Conv, [32, 3, 2]]", "[-1, 1, Conv, [32, 3, 2]", "line 7: not valid YAML"),
    ],
)
def test_a_mistake_is_one_sentence_with_line_row_and_remedy(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in SMALL
    assert expected in problem(tmp_path, SMALL.replace(old, new))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- 1", "is not a map of keys"),
        ("hello", "is not a map of keys"),
        ("a: b: c", "line 1: not valid YAML"),
        ("nc: \x07", "not valid YAML"),
        ("nc: &a [*a]", "an alias refers to itself"),
        ("? [1, 2]\n: 3", "not valid YAML"),
        (f"{SMALL}---\n{SMALL}", "line 9: not valid YAML"),
        ("nc: 2001-13-45", "not valid YAML"),
    ],
)
def test_files_that_are_no_model_yaml(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, text)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(b"\xff\xfe\x00nc: 3")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load_config(file)


def test_yaml_tags_run_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    assert "not valid YAML" in problem(tmp_path, f'nc: !!python/object/apply:os.mkdir ["{marker}"]\n')
    assert not marker.exists()


@pytest.mark.parametrize("name", ["yolov5s-saconv", "yolov5s-saconv.yaml"])
def test_a_bare_name_is_found_in_configs_from_any_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(name).path == SHELF.folder / "yolov5s-saconv.yaml"


def test_a_file_of_that_name_in_the_working_folder_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("yolov5s.yaml").write_text(SMALL)
    assert load_config("yolov5s.yaml").nc == 3


@pytest.mark.parametrize("name", ["yolov5s-saconf", "yolov5s-saconf.yaml", "models/yolov5s-saconf.yaml"])
def test_a_missing_file_suggests_near_names(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no such model configuration.*did you mean 'yolov5s-saconv\.yaml'"):
        load_config(name)


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)


def test_plain_content_reads_back_as_the_same_configuration(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(SMALL)
    config = load_config(file).with_classes(7)
    again = load_config(config.plain())
    assert again.model_dump() == config.model_dump()
    assert again.nc == 7
    assert yaml.safe_load(yaml.safe_dump(config.plain())) == config.plain()


def test_plain_content_is_a_copy(tmp_path: Path) -> None:
    content = yaml.safe_load(SMALL)
    config = load_config(content)
    content["backbone"][0][3][0] = 999
    config.plain()["backbone"][0][3][0] = 999
    assert config.plain()["backbone"][0][3][0] == 16
    assert config.backbone[0].args[0] == 16


def test_a_mapping_is_named_without_line() -> None:
    content = yaml.safe_load(SMALL)
    content["head"][0] = ["x"]
    with pytest.raises(ConfigError, match=r"^model configuration, row 2: a row must be"):
        load_config(content)


@pytest.mark.parametrize("classes", [0, -1, 2.0, True, "3"])
def test_class_counts_that_are_none(classes: object) -> None:
    with pytest.raises(ConfigError, match="number of classes must be a whole number from 1"):
        load_config(yaml.safe_load(SMALL)).with_classes(classes)  # type: ignore[arg-type]


def attempt(source: Any) -> tuple[ModelConfig | None, str]:
    """The configuration, or None and the message; any other exception passes."""
    try:
        return load_config(source), ""
    except ConfigError as error:
        return None, str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES).map(list) | VALUES, max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    content=st.dictionaries(st.sampled_from([*ModelConfig.model_fields, "x"]), VALUES | ROWS),
    keep=st.sets(st.sampled_from(["nc", "anchors", "backbone", "head"])),
)
def test_any_mapping_is_a_configuration_or_one_sentence(content: dict[str, object], keep: set[str]) -> None:
    content |= {key: value for key, value in yaml.safe_load(SMALL).items() if key in keep}
    config, message = attempt(content)
    if config is None:
        assert message
        assert "\n" not in message
    else:
        assert config.nc >= 1
        assert load_config(config.plain()) == config


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SMALL)), st.integers(0, 6), st.text("[]{}:,-&*!#'\" \n\tab1.?|>%@", max_size=5))
def test_a_damaged_file_is_a_configuration_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, start: int, removed: int, inserted: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.yaml"
    file.write_text(SMALL[:start] + inserted + SMALL[start + removed :])
    config, message = attempt(file)
    if config is None:
        assert "damaged.yaml" in message
        assert "\n" not in message
    else:
        assert len(config.rows) >= 2
