"""Names in `configs/`, and hints for those that are nearly right."""

from __future__ import annotations

from pathlib import Path

import pytest

from files.errors import InputError
from files.hints import did_you_mean, near_names
from files.lookup import Shelf, shown


class OwnError(InputError):
    """The class that a shelf raises."""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Holds first.yaml and second.yaml; the working folder is another one."""
    folder, elsewhere = tmp_path / "configs" / "things", tmp_path / "elsewhere"
    folder.mkdir(parents=True)
    elsewhere.mkdir()
    for name in ("first.yaml", "second.yaml", "notes.txt"):
        (folder / name).write_text("")
    monkeypatch.chdir(elsewhere)
    return Shelf(folder, "thing", OwnError, earlier=(tmp_path / "configs",))


@pytest.mark.parametrize(
    "name",
    [
        "first",
        "first.yaml",
        "first.yml",
        "../configs/first.yaml",
        "../configs/first",
        "../configs/things/first",
        "../elsewhere/../configs/first.yaml",
    ],
)
def test_names_and_paths_where_the_file_lies_or_lay(shelf: Shelf, name: str) -> None:
    assert shelf.find(name).resolve() == shelf.folder / "first.yaml"


def test_an_absolute_path_to_where_it_lay(shelf: Shelf) -> None:
    assert shelf.find(shelf.folder.parent / "first.yaml") == shelf.folder / "first.yaml"


def test_a_file_of_that_name_in_the_working_folder_goes_first(shelf: Shelf) -> None:
    Path("first.yaml").write_text("")
    assert shelf.find("first.yaml") == Path("first.yaml")
    assert shelf.find("first") == shelf.folder / "first.yaml"


def test_a_folder_of_that_name_is_no_file(shelf: Shelf) -> None:
    Path("first").mkdir()
    assert shelf.find("first") == shelf.folder / "first.yaml"
    with pytest.raises(OwnError, match=r"things: is a folder; give a file: a thing$"):
        shelf.find(shelf.folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("frist", "frist: no such thing; did you mean 'first.yaml'?"),
        ("other/FIRST.yaml", "other/FIRST.yaml: no such thing; did you mean 'first.yaml'?"),
        ("nobody-here/first", "nobody-here/first: no such thing; did you mean 'first.yaml'?"),
        ("zzz", "zzz: no such thing; give a path, or one of first.yaml, second.yaml"),
        ("notes.txt", "notes.txt: no such thing; give a path, or one of first.yaml, second.yaml"),
    ],
)
def test_what_is_missing(shelf: Shelf, name: str, message: str) -> None:
    with pytest.raises(OwnError) as caught:
        shelf.find(name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 5000, "longer than this system takes"),
        ("~nobody-of-that-name/x.yaml", "no such thing, and no such user"),
        ("loop/first.yaml", "a link that leads to itself"),
        ("C:\\x.yaml", "no such thing; it is a path of Windows"),
        ("a\\x.yaml", "no such thing, nor with / for its backslashes"),
        ("a\0b", "zero character"),
        ("/dev/null", "not a file but a pipe, a device or a socket"),
    ],
)
def test_what_can_be_no_file(shelf: Shelf, name: str, message: str) -> None:
    Path("loop").symlink_to("loop")
    with pytest.raises(OwnError) as caught:
        shelf.find(name)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_backslashes_of_windows_are_slashes_where_that_is_a_file(shelf: Shelf) -> None:
    Path("deep").mkdir()
    Path("deep/x.yaml").write_text("")
    assert shelf.find("deep\\x.yaml") == Path("deep/x.yaml")


def test_paths_are_shown_from_the_working_folder(shelf: Shelf) -> None:
    Path("a").mkdir()
    assert shown(Path("a/b.yaml").absolute()) == "a/b.yaml"
    assert shown(shelf.folder / "first.yaml") == str(shelf.folder / "first.yaml")


def test_hints_ignore_case_and_keep_order() -> None:
    assert near_names("relu", ["SiLU", "ReLU", "PReLU"], most=2) == ["ReLU", "PReLU"]
    assert did_you_mean("conv", ["Conv", "C3"]) == "did you mean 'Conv'?"
    assert did_you_mean("xyz", ["Conv", "C3"], "known: Conv, C3") == "known: Conv, C3"
    assert did_you_mean("xyz", []) == ""
