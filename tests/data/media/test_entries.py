"""What a source names, what is skipped in folders, and what is no file at all."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.errors import DataError
from data.media.entries import Found
from data.media.image import image_suffixes
from data.media.sources import open_source

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")


def picture(path: Path) -> Path:
    cv2.imwrite(str(path), np.full((24, 32, 3), 100, np.uint8))
    return path


def names(source: str | Path) -> list[str]:
    return [Path(entry.address).name for entry in open_source(source).entries]


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [
        ([], ""),
        (["JXL"], "1 file skipped: JXL"),
        (["HEIC", "DNG", "JXL", "HEIC", "AVIF"], "5 files skipped: 2 HEIC, AVIF, DNG, JXL"),
    ],
)
def test_the_summary(skipped: list[str], expected: str) -> None:
    assert Found([], skipped).summary() == expected


@needs_pipes
def test_what_a_folder_holds_besides_is_counted_by_kind(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for name in ("b.dng", "c.DNG", "d.jxl", "notes", ".hidden.dng"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "also.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.jpg")
    expected = "8 files skipped: 2 DNG, 2 dangling link, 2 pipe or device, JXL, without an ending"
    for source in (tmp_path, f"{tmp_path}/*"):
        assert names(source) == ["a.png"]
        assert open_source(source).skipped == expected
    (tmp_path / "list.txt").write_text(f"{tmp_path}\na.png\n")
    assert open_source(tmp_path / "list.txt").skipped.startswith("9 files skipped: ")
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"no picture or video in this folder \(9 files skipped: "):
        open_source(tmp_path)


def test_nothing_skipped_is_nothing_said(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    assert open_source(tmp_path).skipped == ""
    assert open_source(tmp_path / "a.png").skipped == ""


@needs_pipes
def test_pipes_devices_and_links_to_them_are_no_files(tmp_path: Path) -> None:
    for suffix in (".jpg", ".mp4", ".gif", ".txt"):
        pipe, link = tmp_path / f"pipe{suffix}", tmp_path / f"link{suffix}"
        os.mkfifo(pipe)
        link.symlink_to("/dev/zero")
        for path in (pipe, link):
            with pytest.raises(DataError, match="not a file but a pipe, a device or a socket") as error:
                open_source(path)
            assert str(path) in str(error.value)


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    for suffix in (".jpg", ".txt"):
        link = tmp_path / f"link{suffix}"
        link.symlink_to(tmp_path / "gone")
        with pytest.raises(DataError, match="a link to a file that is not there"):
            open_source(link)


def test_a_line_with_a_hash_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for path in (tmp_path / "#1.png", tmp_path / "a#2.png", tmp_path / "here" / "#3.png"):
        picture(path)
    (tmp_path / "list.txt").write_text("# a comment\n#1.png\na#2.png\n#3.png\n#4.png\n#\n")
    assert names(tmp_path / "list.txt") == ["#1.png", "a#2.png", "#3.png"]


@pytest.mark.skipif(".avif" not in image_suffixes(), reason="this Pillow reads no AVIF")
def test_avif_is_found_and_read(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 24), (200, 0, 0)).save(tmp_path / "a.avif")
    (frame,) = open_source(tmp_path)
    assert frame.error is None
    assert abs(int(frame.image[12, 16, 2]) - 200) < 8


def test_heic_is_read_where_pillow_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.heic").write_bytes(b"x")
    can = ".heic" in image_suffixes()
    assert Counter(names(tmp_path)) == Counter(["a.png", *["b.heic"] * can])
    if not can:
        assert open_source(tmp_path).skipped == "1 file skipped: HEIC"
        with pytest.raises(DataError, match="pillow-heif"):
            open_source(tmp_path / "b.heic")
    monkeypatch.setattr("data.media.entries.image_suffixes", lambda: frozenset({".png", ".heic"}))
    assert names(tmp_path) == ["a.png", "b.heic"]


def test_names_that_no_system_takes(tmp_path: Path) -> None:
    for text in ("x" * 5000 + ".jpg", "a\0b.jpg"):
        with pytest.raises(DataError):
            open_source(text)
