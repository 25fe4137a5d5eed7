"""Image files whose headers or ends are broken: named, left out, counted, and an error where they are many."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.coco.records import CocoSplit, load_coco
from data.errors import DataError

BROKEN = {
    "empty": lambda content: b"",
    "no picture": lambda content: b"text",
    "truncated": lambda content: content[:-40],
    "half": lambda content: content[: len(content) // 2],
}


def load(folder: Any, **options: Any) -> CocoSplit:
    return load_coco(*folder.write(), **options)


def spoil(file: Path, kind: str) -> None:
    file.write_bytes(BROKEN[kind](file.read_bytes()))


@pytest.mark.parametrize("kind", BROKEN)
def test_one_is_named_left_out_and_counted(folder: Any, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    spoil(folder.images / "005.png", kind)
    for _ in range(2):  # from the files, then from the cache
        caplog.clear()
        split = load(folder)
        assert [record.image_id for record in split.records] == [3, 12]
        assert len(split.records[0].labels) == 1
        assert split.report.summary() == "2 images, 1 box (1 without boxes); 1 broken image left out"
        (line,) = caplog.messages
        assert line.startswith(f"{folder.images / '005.png'}: ")
        assert line.endswith("It is left out")


def test_strict_makes_it_an_error(folder: Any) -> None:
    spoil(folder.images / "005.png", "truncated")
    spoil(folder.images / "003.png", "empty")
    for _ in range(2):
        with pytest.raises(DataError, match=r"005\.png: the image is truncated.*1 more of the 3 images") as error:
            load(folder, strict=True)
        assert "--strict" in str(error.value)
        assert "\n" not in str(error.value)
        load(folder)  # fills the cache, which must not hide them


def test_a_repaired_one_is_used_again(folder: Any) -> None:
    file = folder.images / "005.png"
    content = file.read_bytes()
    spoil(file, "truncated")
    assert len(load(folder).records) == 2
    file.write_bytes(content)
    assert len(load(folder).records) == 3


def many(folder: Any, images: int, broken: int) -> Any:
    """A data set of one picture under many names, the first of which are broken."""
    picture = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for number in range(100, 100 + images):
        name = f"{number}.png"
        folder.document["images"].append({"id": number, "file_name": name, "width": 8, "height": 8})
        (folder.images / name).write_bytes(b"x" if number < 100 + broken else picture)
    return folder


@pytest.mark.parametrize(
    ("images", "broken", "passes"), [(10, 3, True), (10, 4, False), (397, 4, True), (397, 5, False)]
)
def test_more_than_one_percent_and_three_are_an_error(folder: Any, images: int, broken: int, passes: bool) -> None:
    many(folder, images, broken)  # besides the folder's own three
    if passes:
        assert len(load(folder).records) == images + 3 - broken
    else:
        with pytest.raises(DataError, match=rf"100\.png.*{broken - 1} more of the {images + 3} images"):
            load(folder)


def test_no_image_at_all_is_an_error(folder: Any) -> None:
    for name in ("003", "005", "012"):
        spoil(folder.images / f"{name}.png", "empty")
    with pytest.raises(DataError, match=r"005\.png.*no image of train\.json can be used"):
        load(folder)


def test_a_picture_of_too_many_pixels_is_broken(folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    split = load(folder, max_pixels=2100)  # 40x60, 64x32 and 20x20
    assert [record.image_id for record in split.records] == [3, 12]
    assert "60x40" in caplog.text
    assert "--max-pixels" in caplog.text
    assert len(load(folder).records) == 3, "another limit is another scan"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_no_image(folder: Any) -> None:
    (folder.images / "005.png").unlink()
    os.mkfifo(folder.images / "005.png")
    with pytest.raises(DataError, match="is not in"):
        load(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("target", ["pipe", "/dev/zero"])
def test_a_pipe_or_a_device_is_no_annotation_file(folder: Any, target: str) -> None:
    os.mkfifo(folder.root / "pipe")
    (folder.root / "link.json").symlink_to(folder.root / target)
    with pytest.raises(DataError, match="not a file but a pipe"):
        load_coco(folder.root / "link.json", folder.images)


def test_whole_images_say_nothing(folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert "broken" not in load(folder, strict=True).report.summary()
    assert not caplog.messages
