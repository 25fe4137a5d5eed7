"""Names of files that a disk takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from files import names
from files.names import fitting_name, safe_name

FOLDER = Path("/")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a b-ö.汉", "a b-ö.汉"),
        ('a/b\\c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j"),
        ("a\x1b[2J\nb\x9bc", "a_[2J_b_c"),
        (" .. ", "_"),
        ("", "_"),
        ("half \ud83d", "half _ud83d"),
        ("bytes \udcff", "bytes \udcff"),
    ],
)
def test_a_text_as_a_name(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(st.text(st.characters(codec=None)))
def test_any_text_makes_a_file(text: str) -> None:
    name = fitting_name(FOLDER, safe_name(text), ".txt")
    assert "/" not in name
    assert len(os.fsencode(name)) <= 255


@pytest.mark.parametrize("letter", ["a", "ö", "汉", "🚗", "\udcff"])
@pytest.mark.parametrize("tail", ["", ".txt", "_12345.txt"])
def test_a_long_name_is_shortened_with_a_hash(tmp_path: Path, letter: str, tail: str) -> None:
    long = letter * 300
    found = {stem: fitting_name(tmp_path, stem, tail) for stem in (long, long[:-1], f"{long}-2")}
    assert len({*found.values()}) == 3
    for stem, name in found.items():
        (tmp_path / name).touch()
        assert name.endswith(tail)
        assert name.startswith(letter * 50)
        assert 255 - 4 <= len(os.fsencode(name)) <= 255
        assert fitting_name(tmp_path, stem, tail) == name


def test_letters_that_names_here_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "latin-1")
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("latin-1", "surrogateescape"))
    assert [safe_name(text) for text in ("größe", "汉", "字")] == ["größe", "_u6c49", "_u5b57"]


def test_what_fits_stays() -> None:
    assert fitting_name(FOLDER, "a" * 251, ".txt") == "a" * 251 + ".txt"


def test_a_disk_with_shorter_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pathconf", lambda folder, name: 143, raising=False)
    assert len(fitting_name(FOLDER, "a" * 200, ".txt")) == 143
    monkeypatch.delattr(os, "pathconf")
    assert len(fitting_name(FOLDER, "a" * 300, ".txt")) == names._LONGEST
