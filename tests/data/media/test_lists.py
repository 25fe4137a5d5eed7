"""Lists of sources: in which encodings, with which names, and what is no list."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import DataError
from data.media.sources import open_source


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.full((24, 32, 3), 100, np.uint8))[1].tobytes())
    return path


def listing(folder: Path, content: str | bytes) -> Path:
    file = folder / "list.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def names(file: Path) -> list[str]:
    entries = open_source(file).entries
    assert not [entry.error for entry in entries if entry.error]
    return [Path(entry.address).name for entry in entries]


def test_lines_end_as_on_any_system_and_quotes_are_no_part_of_names(tmp_path: Path) -> None:
    for name in ("a.png", "b c.png", "d.png", "e\u2028f.png", " g.png"):
        picture(tmp_path / name)
    content = "\ufeffa.png\r\n\"b c.png\"\rd.png\n  \t\ne\u2028f.png\n g.png\n 'a.png' \n"
    assert names(listing(tmp_path, content)) == ["a.png", "b c.png", "d.png", "e\u2028f.png", " g.png", "a.png"]


def test_windows_paths(tmp_path: Path) -> None:
    for name in ("images/deep/a.png", "images/deep/b.png", "odd\\name.png"):
        picture(tmp_path / name)
    file = listing(tmp_path, "images\\deep\\a.png\r\n.\\images\\deep\r\nimages\\**\\b*.png\r\nodd\\name.png\r\n")
    assert names(file) == ["a.png", "a.png", "b.png", "b.png", "odd\\name.png"]
    frames = list(open_source(listing(tmp_path, "images\\missing.png\nC:\\pictures\\a.png\n")))
    assert "line 1: images\\missing.png: no such file or folder, nor with / for its backslashes" in str(frames[0].error)
    assert "line 2: C:\\pictures\\a.png: no such file or folder; it is a path of Windows" in str(frames[1].error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("中文.png\n".encode("gbk"), "line 1: not a text file in UTF-8; save it as UTF-8"),
        (b"a.png\ncaf\xe9.png\n", "line 2: not a text file in UTF-8; save it as UTF-8"),
        ("a.png\n".encode("utf-16"), "but in UTF-16; save it as UTF-8"),
        (b"\x7fELF\0\0\0", "holds zero bytes"),
        (b"\0" * 100, "holds zero bytes"),
    ],
)
def test_other_encodings_and_what_is_no_text(tmp_path: Path, content: bytes, message: str) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(DataError) as caught:
        open_source(listing(tmp_path, content))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_encodings_that_happen_to_be_utf8(tmp_path: Path) -> None:
    picture(tmp_path / "图片.png")
    (frame,) = open_source(listing(tmp_path, "图片.png".encode("gbk")))
    assert "no such file or folder; check --source, and that the list is saved as UTF-8" in str(frame.error)


def test_names_as_they_are_on_the_disk(tmp_path: Path) -> None:
    raw = picture(tmp_path / "caf\udce9.png")
    (frame,) = open_source(listing(tmp_path, b"caf\xe9.png\n"))
    assert frame.error is None
    assert frame.path == str(raw)


def test_a_list_may_be_of_some_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.media.lists.LIST_BYTES", 100)
    picture(tmp_path / "a.png")
    assert len(open_source(listing(tmp_path, "a.png\n" * 16))) == 16
    with pytest.raises(DataError, match="more than a list may have"):
        open_source(listing(tmp_path, "a.png\n" * 17))


def test_a_line_that_cannot_be_used_is_shown_in_short_and_takes_nothing_along(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "other.txt").write_text("a.png")
    lines = ["x" * 70000, "~nobody-of-that-name/a.png", "http://me:secret@[::1/a.png", "9" * 30, "other.txt", "a.png"]
    *broken, good = open_source(listing(tmp_path, "\n".join(lines)))
    assert good.error is None
    expected = ["longer than this system takes", "no such user", "cannot be read", "no webcam has such a number"]
    expected += ["a list within a list"]
    for number, (frame, message) in enumerate(zip(broken, expected, strict=True), 1):
        assert frame.error is not None
        assert f"list.txt, line {number}: " in frame.error
        assert message in frame.error
        assert "secret" not in frame.error + frame.path
        assert len(frame.error) < 1000


ODD = (*"*?[]#~\\/ '\":@%a1", "//", "http", ".png", ".txt", *"\0\n\r\t\ufeff\udcff\u202eé汽\x1b")


def odd_texts(most: int) -> st.SearchStrategy[str]:
    """Texts of odd pieces, but for patterns that would go through the whole disk."""
    texts = st.lists(st.sampled_from(ODD), max_size=most).map("".join)
    return texts.filter(lambda text: not re.search(r"(^|[\s'\"])[/\\]", text))


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    for name in ("a.png", "[1]/a.png", "1/1.png", "~/a.png", "#1.png", "a.txt/a.png", "http:/a.png"):
        picture(folder / name)
    (folder / "1" / "up").symlink_to(folder)
    return folder


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd_texts(8))
def test_any_text_is_a_source_or_refused(odd_folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(odd_folder)
    monkeypatch.setenv("HOME", str(odd_folder))
    with contextlib.suppress(DataError):
        assert open_source(text).entries


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd_texts(30), st.sampled_from(["utf-8", "gbk", "utf-16"]))
def test_any_file_is_a_list_or_refused(
    odd_folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, encoding: str
) -> None:
    monkeypatch.chdir(odd_folder)
    monkeypatch.setenv("HOME", str(odd_folder))
    file = listing(odd_folder / "1", text.encode(encoding, "surrogateescape" if encoding == "utf-8" else "replace"))
    with contextlib.suppress(DataError):
        assert open_source(file).entries
