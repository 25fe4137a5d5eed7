"""What used to be lost without a word: it is refused, or mended and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.coco.overlap import shared_pictures, shared_pictures_line
from data.coco.records import CocoSplit, load_coco
from data.errors import DataError


def load(folder: Any, **options: Any) -> CocoSplit:
    return load_coco(*folder.write(), **options)


def failure(folder: Any) -> str:
    with pytest.raises(DataError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["005.png", "./005.png", "sub/../005.png", ".//005.png"])
def test_two_ids_with_one_file_are_refused(folder: Any, name: str) -> None:
    (folder.images / "sub").mkdir()
    folder.document["images"][1].update(file_name=name, width=60, height=40)
    message = failure(folder)
    assert f"images[1] (id 3) has the file {name!r}, which id 5 has too" in message
    assert load(folder, legacy=True).report.images == 3


@pytest.mark.parametrize("value", [1, True])
def test_a_box_to_be_ignored_is_treated_as_a_crowd(folder: Any, value: Any) -> None:
    folder.box(12, 30, [1, 1, 5, 5], ignore=value)
    folder.box(12, 30, [1, 1, 6, 6], ignore=value, iscrowd=1)
    for other in (0, False, None):
        folder.box(12, 30, [1, 2, 6, 6 + len(folder.document["annotations"])], ignore=other)
    split = load(folder)
    assert split.records[2].crowd.tolist() == [True, True, False, False, False]
    assert (split.report.crowd, split.report.ignored, split.report.objects) == (1, 1, 6)
    assert split.report.summary() == "3 images, 8 boxes (1 crowd, 1 to be ignored)"
    assert load(folder, legacy=True).records[2].crowd.tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("value", ["yes", 2, [1]])
def test_an_ignore_that_is_neither_0_nor_1_is_refused(folder: Any, value: Any) -> None:
    folder.box(12, 30, [1, 1, 5, 5], ignore=value)
    assert f"annotations[3] (id 4) has the ignore {value!r}; it must be 0 or 1" in failure(folder)


def test_a_box_that_is_listed_twice_counts_once(folder: Any) -> None:
    first = load(folder)
    folder.box(5, 7, [10.5, 5.25, 20, 10])  # as it is there
    folder.box(5, 7, [10.5, 5.25, 20, 10], area=9.0)  # three times
    folder.box(5, 30, [10.5, 5.25, 20, 10])  # of another class
    folder.box(5, 7, [10.5, 5.25, 20, 10], iscrowd=1)  # a crowd
    folder.box(3, 7, [10.5, 5.25, 20, 10])  # in another image
    folder.box(5, 30, [-1, -2, 90, 90])  # clipped to what there is already
    split = load(folder)
    assert dict(split.report.dropped) == {"listed twice": 3}
    assert "3 boxes dropped: 3 listed twice" in split.report.summary()
    assert [len(record.labels) for record in split.records] == [4, 2, 0]
    np.testing.assert_array_equal(split.records[0].boxes_xyxy[:2], first.records[0].boxes_xyxy)
    assert load(folder, legacy=True).report.boxes == 9


@pytest.mark.parametrize(
    "boxes",
    [
        [[0.1, 0.2, 0.3, 0.4]],
        [[0, 0, 1, 1]],
        [[0.1, 0.2, 0.3, 0.4], [0.9, 0.9, 0.1, 0.1], [0.5, 0.5, 0, 0.2]],
        [[-0.01, 0.2, 1.02, 0.4]],
    ],
)
def test_boxes_in_fractions_of_the_image_are_refused(folder: Any, boxes: list[list[float]]) -> None:
    folder.document["annotations"] = []
    for box in boxes:
        folder.box(5, 7, box)
    message = failure(folder)
    assert f"all boxes lie between 0 and 1, such as {[float(value) for value in boxes[0]]} of annotation 1" in message
    assert "multiply them by its width and height" in message


def test_some_boxes_in_fractions_are_named(folder: Any) -> None:
    assert load(folder).report.notes == ()
    folder.box(5, 7, [0.1, 0.2, 0.3, 0.4])
    folder.box(5, 7, [0.1, 0.2, 0.3, 0.5])
    report = load(folder).report
    assert report.notes == (
        "2 boxes look like fractions of the image, not like pixels (annotation 4 first); check them",
    )
    assert report.lines() == (report.summary(), *report.notes)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"annotations": [', '"annotations": [], "annotations": [', "'annotations' occurs twice"),
        ('"images": [', '"images": [], "images": [', "'images' occurs twice"),
        ('"categories": [', '"info": {}, "info": {}, "categories": [', "'info' occurs twice"),
        ('"bbox": [2, 4', '"bbox": [0, 0, 1, 1], "bbox": [2, 4', "annotations[0] (id 1) has the key 'bbox' twice"),
        ('"file_name": "003', '"file_name": "a", "file_name": "003', "images[1] (id 3) has the key 'file_name' twice"),
        ('"name": "dog"', '"name": "dog", "name": "dog"', "categories[1] (id 7) has the key 'name' twice"),
    ],
)
def test_a_key_twice_is_refused(folder: Any, old: str, new: str, words: str) -> None:
    text = json.dumps(folder.document)
    assert text.count(old) == 1
    folder.annotations.write_text(text.replace(old, new))
    with pytest.raises(DataError) as error:
        load_coco(folder.annotations, folder.images)
    assert words in str(error.value)
    assert str(folder.annotations) in str(error.value)


def test_a_key_twice_in_what_nobody_reads_is_left_alone(folder: Any) -> None:
    folder.document["info"] = {"a": 1}
    folder.annotations.write_text(json.dumps(folder.document).replace('{"a": 1}', '{"a": 1, "a": 2}'))
    assert load_coco(folder.annotations, folder.images).report.images == 3


def test_pictures_of_both_splits_are_found_in_copies_too(folder: Any, tmp_path: Path) -> None:
    train = load(folder)
    assert [path.name for path in shared_pictures(train.records, train.records)] == ["005.png", "003.png", "012.png"]
    assert shared_pictures_line(train, train).startswith("all pictures are in the training as well, such as 005.png")

    other = type(folder)(tmp_path / "other")
    other.category(7, "dog")
    for number, height, width in ((77, 40, 60), (3, 64, 32), (12, 20, 20)):
        other.image(number, height, width)  # their pixels follow from their numbers
    assert shared_pictures_line(train, load(other)).startswith("2 of 3 are in the training as well, such as 003.png")
    # A copy is equal to its last byte.
    file = other.images / "003.png"
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    line = shared_pictures_line(train, load(other))
    assert line.startswith("1 picture is in the training as well, such as 012.png")
    (other.images / "012.png").write_bytes((other.images / "077.png").read_bytes())
    other.document["images"][2].update(width=60, height=40)
    assert shared_pictures_line(train, load(other)) == ""
