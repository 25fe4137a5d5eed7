"""The strict YAML reader: what it gives, what it refuses, and the line that it names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from files.errors import InputError
from files.strict_yaml import Document, read_yaml


class OwnError(InputError):
    """The class that a caller asks for."""


def read(tmp_path: Path, text: str | bytes) -> Document:
    file = tmp_path / "x.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(file, OwnError, "it has keys")


def test_content_and_the_line_of_every_entry(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 1\nb:\n  c: [x,\n    y]\n  1: {d: 2}\n")
    assert document.content == {"a": 1, "b": {"c": ["x", "y"], 1: {"d": 2}}}
    lines = {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", 1): 4,
        ("b", 1, "d"): 5,
        ("b", "nothing", "there"): 2,
        ("b", "c", 7): 3,
        ("a", "scalar"): 1,
        (): None,
        ("nothing",): None,
    }
    assert {location: document.line(*location) for location in lines} == lines
    assert document.where("b", "c") == f"{tmp_path / 'x.yaml'}, line 3"
    assert document.where("nothing") == str(tmp_path / "x.yaml")


def test_a_mapping_has_no_lines_and_is_copied() -> None:
    given = {"a": [{"b": 1}, (2, 3)]}
    document = Document.from_mapping(given, "a checkpoint")
    given["a"][0]["b"] = 7  # type: ignore[index]
    assert document.content == {"a": [{"b": 1}, [2, 3]]}
    assert document.where("a", 0, "b") == "a checkpoint"


def test_aliases_and_merges_are_written_out(tmp_path: Path) -> None:
    document = read(tmp_path, "base: &b {x: 1, y: [2]}\nother:\n  <<: *b\n  x: 3\nsame: *b\n")
    assert document.content == {"base": {"x": 1, "y": [2]}, "other": {"x": 3, "y": [2]}, "same": {"x": 1, "y": [2]}}
    assert document.content["base"]["y"] is not document.content["same"]["y"]
    assert document.line("other", "x") == 4, "the map's own entry, not the merged one"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' occurs twice; remove one"),
        ("a:\n  - {x: 1}\n  - y:\n      z: 1\n      z: 1", "line 5: the key 'z' occurs twice"),
        ("a: {1: x, 0x1: y}", "line 1: the key '0x1' occurs twice"),
        ("'a': 1\na: 2", "line 2: the key 'a' occurs twice"),
        ("a: &x\n  b: *x", "line 1: an alias refers to itself; write the value out"),
        ("a: &x\n  - [1, *x]", "line 1: an alias refers to itself"),
        ("a: &x {<<: *x}", "line 1: an alias refers to itself"),
        ("", "the file is empty, not a map of keys; it has keys"),
        ("- 1", "the file is not a map of keys; it has keys"),
        ("a: 1\nb: [", "line 2: not valid YAML"),
        ("a: 1\n\tb: 2", "line 2: not valid YAML"),
        ("a: 1\nb: \x07", "line 2: not valid YAML syntax (special characters are not allowed: '\\x07')"),
        ("a: 1\nb: 2001-13-45", "line 2: not valid YAML"),
        ("a: !!bool x", "line 1: not valid YAML"),
        ("a: !!timestamp x", "line 1: not valid YAML"),
        ("a: !!python/name:os.system", "line 1: not valid YAML"),
        ("? [1, 2]\n: 3", "line 1: not valid YAML"),
        (b"a: 1\nb: \xff", "line 2: cannot be read as UTF-8 text; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "cannot be read as UTF-8 text; save the file as UTF-8"),
        ("a: 1".encode("utf-16-le"), "holds zero bytes, as UTF-16 does; save the file as UTF-8"),
        ("a: 中文".encode("gbk"), "line 1: cannot be read as UTF-8 text; save the file as UTF-8"),
        ("a: " + "[" * 5000, "is nested too deeply"),
    ],
)
def test_what_is_refused_is_one_line_of_the_callers_class(tmp_path: Path, text: str | bytes, expected: str) -> None:
    with pytest.raises(OwnError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'x.yaml'}")
    assert expected in message
    assert "\n" not in message


def test_aliases_that_unfold_to_billions_are_refused_at_once(tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(OwnError, match=r"line \d+: its aliases unfold to more than 100,000 values"):
        read(tmp_path, "\n".join(["l0: &l0 [1, 2]", *levels]))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OwnError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml", OwnError, "")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").content == {"a": 1, "b": 2}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_what_pyyaml_writes_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]
) -> None:
    file = tmp_path_factory.getbasetemp() / "strict.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=False), encoding="utf-8")
    assert read_yaml(file, OwnError, "").content == content
