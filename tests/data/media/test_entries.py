"""What a source names, what is skipped in folders, and what is no file at all."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.errors import DataError
from data.media.entries import Found
from data.media.image import Picture, image_suffixes, read_picture
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


def frames(path: Path) -> Path:
    """A video of three frames."""
    codec, plain = cv2.VideoWriter.fourcc(*"mp4v"), path.with_name("plain.mp4")
    writer = cv2.VideoWriter(str(plain), codec, 10, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    return plain.rename(path)


def test_what_is_there_comes_before_every_other_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (
        "2024",
        "dir.txt",
        "more.streams",
        "~",
        "http:",
        "#1",
        " blank ",
        "[12]",
        "a*",
        "~nobody-of-that-name",
    ):
        (tmp_path / folder).mkdir()
        picture(tmp_path / folder / "x.png")
        assert names(folder) == ["x.png"], folder
        (tmp_path / "list.txt").write_text(f"{folder}\n")
        assert names("list.txt") == ["x.png"], folder
    assert open_source("http://x.png").entries[0].address == "http:/x.png"


def test_a_number_is_a_webcam_beside_a_file_that_is_nothing_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").write_text("what a shell left")
    assert [(entry.kind, entry.address) for entry in open_source("0").entries] == [("stream", "0")]


def test_names_with_the_characters_of_patterns(tmp_path: Path) -> None:
    for name in ("photo[1].png", "photo[2].png", "photo1.png", "what?.png", "star*.png", "#hash.png"):
        picture(tmp_path / name)
        assert names(tmp_path / name) == [name]
    (tmp_path / "run[1]").mkdir()
    (tmp_path / "run1").mkdir()
    picture(tmp_path / "run[1]" / "in.png")
    picture(tmp_path / "run1" / "other.png")
    assert names(f"{tmp_path}/run[1]") == ["in.png"]
    assert names(f"{tmp_path}/run[1]/*.png") == ["in.png"]
    assert names(f"{tmp_path}/**/run[1]/*.png") == ["in.png"]
    assert names(f"{tmp_path}/run[12]/*.png") == ["other.png"]
    assert names(f"{tmp_path}/photo[*.png") == ["photo[1].png", "photo[2].png"]
    assert names(f"{tmp_path}/photo[1]*") == ["photo1.png"], "a pattern that matches stays one"
    (tmp_path / "photo1.png").unlink()
    assert names(f"{tmp_path}/photo[1]*") == ["photo[1].png"]


@pytest.mark.parametrize("name", ["plain", "with blanks", "run[1]", "it's", "a*b", "~", "$HOME"])
def test_the_hint_works_when_it_is_followed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (folder / "deep" / "er").mkdir(parents=True)
    with pytest.raises(DataError, match="no picture or video in this folder; check --source"):
        open_source(folder)
    picture(folder / "deep" / "a.png")
    picture(folder / "deep" / "er" / "b.png")
    with pytest.raises(DataError, match="for those in folders within it use ") as error:
        open_source(folder)
    hint = str(error.value).split(" use ")[1]
    assert names(shlex.split(hint)[0]) == ["a.png", "b.png"]
    (tmp_path / "list.txt").write_text(hint)
    assert names(tmp_path / "list.txt") == ["a.png", "b.png"] or "'\"'" in hint


def test_loops_of_links_end(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        picture(tmp_path / name / f"{name}.png")
        for number in range(3):
            (tmp_path / name / f"up{number}").symlink_to(tmp_path)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    source = open_source(f"{tmp_path}/**/*.png")
    assert [Path(entry.address).name for entry in source.entries] == ["a.png", "b.png"]
    assert source.skipped == "1 file skipped: dangling link"
    with pytest.raises(DataError, match="a link that leads to itself"):
        open_source(tmp_path / "loop.png")


def test_patterns_that_cannot_match_say_why(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for pattern, why in {
        f"{tmp_path}/missing/*.png": f"({tmp_path}/missing: no such file or folder)",
        f"{tmp_path}/*.jpg": "matches; check --source and quote it in the shell",
        f"{tmp_path}/a.png/*": "cannot be listed, Not a directory",
    }.items():
        with pytest.raises(DataError, match="no picture or video matches") as error:
            open_source(pattern)
        assert why in str(error.value)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that everybody may enter, and a user without rights."""
    with tempfile.TemporaryDirectory() as folder:
        was_root = os.geteuid() == 0
        if was_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if was_root:
                os.seteuid(0)


@needs_pipes
def test_what_may_not_be_read_says_so(as_nobody: Path) -> None:
    for name, mode in {"closed": 0o000, "listable": 0o400}.items():
        (as_nobody / name).mkdir()
        picture(as_nobody / name / "a.png")
        (as_nobody / name).chmod(mode)
    for name in ("a.png", "b.mp4", "c.txt", "d.gif"):
        (as_nobody / name).write_bytes(b"x")
        (as_nobody / name).chmod(0)
    try:
        for source, why in {
            "closed": r"cannot be listed \(Permission denied\); check its permissions",
            "closed/a.png": r"may not be looked at \(Permission denied\); check the permissions of its folders",
            "closed/*.png": "closed: cannot be listed, Permission denied",
            "listable": "no picture or video in this folder",
            "c.txt": r"cannot be read \(Permission denied\); check its permissions",
        }.items():
            with pytest.raises(DataError, match=why):
                open_source(as_nobody / source)
        for name in ("a.png", "b.mp4", "d.gif"):
            (frame,) = open_source(as_nobody / name)
            assert "Permission denied" in str(frame.error)
            assert "permissions" in str(frame.error)
    finally:
        for name in ("closed", "listable"):
            (as_nobody / name).chmod(0o755)


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "http:.mp4", "concat:a.mp4", "a%03d.mp4", "b[1]?*#.mp4", "caf\udce9.mp4"]
)
def test_videos_of_any_name_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    frames(tmp_path / name)
    for source in (name, str(tmp_path / name)):
        found = list(open_source(source))
        assert [frame.error for frame in found] == [None] * 3
        assert found[0].path == source


def test_whatever_a_file_does_takes_no_other_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "d.png"):
        picture(tmp_path / name)
    frames(tmp_path / "c.mp4")

    def explode(path: str | Path, *_: object) -> Picture:
        if Path(path).name == "b.png":
            raise SystemError("codec\non fire")
        return read_picture(path)

    class Capture:
        def __getattr__(self, name: str) -> object:
            raise cv2.error("no driver")

        def release(self) -> None: ...

    monkeypatch.setattr("data.media.sources.read_picture", explode)
    monkeypatch.setattr("data.media.sources.open_capture", lambda _: Capture())
    errors = [frame.error for frame in open_source(tmp_path)]
    assert errors == [
        None,
        f"{tmp_path}/b.png: cannot be read (SystemError: codec on fire); convert it, or take it out",
        f"{tmp_path}/c.mp4: cannot be read (error: no driver); convert it, or take it out",
        None,
    ]
