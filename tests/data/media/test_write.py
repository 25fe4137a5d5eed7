"""Pictures to files: what their formats hold, and what not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from data.errors import DataError
from data.media.write import WRITABLE_SUFFIXES, write_picture
from files.faults import OutputError
from tests.places import SMALL_DISK


def picture(height: int, width: int) -> np.ndarray:
    """Columns of different colours."""
    return np.broadcast_to(
        np.arange(width * 3, dtype=np.uint32).astype(np.uint8).reshape(1, width, 3), (height, width, 3)
    )


@pytest.mark.parametrize("suffix", sorted(WRITABLE_SUFFIXES | {".JPG", ".Png"}))
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"größe{suffix}"
    assert write_picture(path, np.full((8, 9, 3), 77, np.uint8)) == (path, "")
    assert np.abs(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR).astype(int) - 77).max() <= 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("suffix", "hw", "written"),
    [
        (".jpg", (2, 65_500), ".jpg"),
        (".jpg", (2, 65_501), ".png"),
        (".jpeg", (70_000, 3), ".png"),
        (".webp", (2, 16_384), ".png"),
        (".png", (2, 1_000_001), ".tif"),
        (".jpg", (2, 1_000_001), ".tif"),
    ],
)
def test_a_picture_that_its_format_cannot_hold(
    tmp_path: Path, suffix: str, hw: tuple[int, int], written: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path, image = tmp_path / f"a{suffix}", picture(*hw)
    found = write_picture(path, image)
    assert found.path == tmp_path / f"a{written}"
    assert [entry.name for entry in tmp_path.iterdir()] == [found.path.name]
    if suffix == written:
        assert found.note == ""
        return
    kind = suffix[1:].upper()
    assert found.note == f"{path}: {hw[1]}x{hw[0]} px are more than a {kind} file holds; written as a{written}"
    assert np.array_equal(cv2.imdecode(np.fromfile(found.path, np.uint8), cv2.IMREAD_COLOR), image)
    assert capfd.readouterr() == ("", ""), "OpenCV and libpng say nothing beside"


def test_quality_is_that_of_jpegs(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    sizes = [write_picture(tmp_path / "a.jpg", noise, quality=quality).path.stat().st_size for quality in (20, 92, 95)]
    assert sizes[0] < sizes[1] < sizes[2]
    write_picture(tmp_path / "b.jpg", noise)
    assert (tmp_path / "b.jpg").stat().st_size == sizes[2]
    write_picture(tmp_path / "a.png", noise, quality=20)


def test_a_picture_that_no_format_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> tuple[bool, None]:
        raise cv2.error("no memory")

    monkeypatch.setattr(cv2, "imencode", fail)
    with pytest.raises(DataError, match=r"a\.jpg: no format holds a picture of 9x8 px; scale it down"):
        write_picture(tmp_path / "a.jpg", np.zeros((8, 9, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(small_disk: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SMALL_DISK // 1000, 1000, 3), np.uint8)
    with pytest.raises(OutputError, match=r"a\.png: cannot be written: the disk is full"):
        write_picture(small_disk / "a.png", noise)
    assert list(small_disk.iterdir()) == []
