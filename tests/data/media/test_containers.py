"""Videos that broke off: the frames that are there, then one line."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.media.containers import missing_bytes
from data.media.sources import open_source

FRAMES = 40
KINDS = [(".avi", "MJPG"), (".avi", "XVID"), (".mkv", "mp4v"), (".webm", "VP80"), (".wmv", "WMV2"), (".mp4", "mp4v")]


def video(path: Path, codec: str) -> bytes:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 20, (96, 64))
    if not writer.isOpened():
        pytest.skip(f"OpenCV cannot write {codec} here")
    rng = np.random.default_rng(0)
    for _ in range(FRAMES):
        writer.write(rng.integers(0, 256, (64, 96, 3), np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize(("suffix", "codec"), KINDS)
def test_a_whole_file_lacks_nothing(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"a{suffix}"
    content = video(path, codec)
    assert missing_bytes(path) == 0
    frames = list(open_source(path))
    assert [frame.error for frame in frames] == [None] * FRAMES
    path.write_bytes(content + b"behind the end")
    assert missing_bytes(path) == 0


@pytest.mark.parametrize(("suffix", "codec"), KINDS[:-1])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_file_that_broke_off_is_an_error_after_its_frames(
    tmp_path: Path, suffix: str, codec: str, share: float
) -> None:
    path = tmp_path / f"a{suffix}"
    content = video(path, codec)
    path.write_bytes(content[: int(share * len(content))])
    assert missing_bytes(path) == len(content) - int(share * len(content))
    *good, last = open_source(path)
    assert 0 < len(good) < FRAMES
    assert {frame.error for frame in good} == {None}
    assert last.error is not None
    assert last.error.startswith(f"{path}: the video ends after {len(good)} ")
    assert "bytes are missing" in last.error


def test_an_avi_that_lost_its_index_only_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    content = video(path, "MJPG")
    path.write_bytes(content[: content.rindex(b"idx1")])
    assert missing_bytes(path) > 0
    assert [frame.error for frame in open_source(path)] == [None] * FRAMES


def box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", 0),
        (b"RIFF" + (4).to_bytes(4, "little") + b"AVI ", 0),
        (b"RIFF" + (104).to_bytes(4, "little") + b"AVI ", 100),
        (b"RIFF\xff\xff\xff\xffAVI ", 0),
        (b"RIFF\0\0\0\0AVI ", 0),
        (box(b"ftyp", b"isom") + box(b"mdat", bytes(50)), 0),
        (box(b"ftyp", b"isom") + box(b"mdat", bytes(50))[:-7], 7),
        (box(b"ftyp", b"isom") + (1).to_bytes(4, "big") + b"mdat" + (66).to_bytes(8, "big") + bytes(30), 20),
        (box(b"ftyp", b"isom") + bytes(4) + b"mdat" + bytes(30), 0),  # up to the end
        (box(b"ftyp", b"isom") + (3).to_bytes(4, "big") + b"mdat", 0),  # nonsense
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x8a" + bytes(10), 0),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x8a" + bytes(4), 6),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x40\x0a" + bytes(4), 6),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\xff" + bytes(4), 0),  # unknown
        (b"\x1a\x45\xdf\xa3\xff", 0),
        (b"\x1a\x45\xdf\xa3\0", 0),
        (b"FLV\x01\x05" + bytes(20) + b"filesize\0" + struct.pack(">d", 100.0), 58),
        (b"FLV\x01\x05" + bytes(20) + b"filesize\0" + struct.pack(">d", float("nan")), 0),
        (b"FLV\x01\x05" + bytes(20) + b"filesize\0abc", 0),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(40), 0),
    ],
)
def test_structures_worked_by_hand(tmp_path: Path, content: bytes, expected: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert missing_bytes(path) == expected


def test_too_many_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    video(path, "MJPG")
    (frame,) = open_source(path, max_pixels=96 * 64 - 1)
    assert "96x64" in str(frame.error)
    assert "--max-pixels" in str(frame.error)
