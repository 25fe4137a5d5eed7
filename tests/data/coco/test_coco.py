from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from data.coco.records import load_coco
from data.errors import DataError
from files.classes import Classes

NAN, INF = float("nan"), float("inf")


def load(folder: Any, **options: Any):
    return load_coco(*folder.write(), **options)


def failure(folder: Any, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        load(folder, **options)
    message = str(error.value)
    assert "\n" not in message
    assert str(folder.root) in message
    return message


def test_records(folder: Any) -> None:
    split = load(folder)
    assert split.classes.names == ("dog", "cat")  # by ascending id
    assert split.classes.ids == (7, 30)
    assert [record.image_id for record in split.records] == [5, 3, 12]
    first, second, third = split.records
    assert (first.width, first.height, first.path.name) == (60, 40, "005.png")
    np.testing.assert_array_equal(first.boxes_xyxy, [[0, 0, 60, 40], [10.5, 5.25, 30.5, 15.25]])
    np.testing.assert_array_equal(first.labels, [1, 0])
    np.testing.assert_array_equal(second.boxes_xyxy, [[2, 4, 12, 24]])
    assert third.boxes_xyxy.shape == (0, 4)
    for record in split.records:
        assert (record.boxes_xyxy.dtype, record.labels.dtype, record.crowd.dtype) == (np.float32, np.int64, bool)
    assert split.report.summary() == "3 images, 3 boxes (1 without boxes)"


def test_boxes_are_cleaned_and_counted(folder: Any) -> None:
    for xywh in [
        *([NAN, 1, 2, 2], [1, 1, INF, 2]),  # not finite
        *([9, 9, -4, 4], [9, 9, 4, -4], [9, 9, -4, 0]),  # inverted
        *([9, 9, 0, 4], [9, 9, 4, 0]),  # no area
        *([60, 0, 5, 5], [-5, 0, 5, 5], [0, 90, 5, 5], [1e30, 0, 5, 5]),  # outside
        *([-5, -5, 10, 10], [50, 30, 100, 100]),  # partly outside
        [0, 0, 60.0004, 40],  # rounding
        [3, 3, 1e-9, 5],  # nothing is left of it in float32
    ]:
        folder.box(5, 7, xywh)
    folder.box(12, 30, [1, 1, 5, 5], iscrowd=1)
    folder.box(12, 30, [1, 1, 10**400, 5])  # a whole number that no float holds
    split = load(folder)
    assert dict(split.report.dropped) == {"not finite": 3, "inverted": 3, "of no area": 2, "outside the image": 5}
    assert split.report.clipped == 2
    assert (split.report.boxes, split.report.crowd, split.report.images_without_boxes) == (7, 1, 0)
    np.testing.assert_array_equal(split.records[0].boxes_xyxy[2:4], [[0, 0, 5, 5], [50, 30, 60, 40]])
    np.testing.assert_array_equal(split.records[2].crowd, [True])
    assert split.report.summary() == (
        "3 images, 7 boxes (1 crowd); 2 boxes clipped to the image; "
        "13 boxes dropped: 3 not finite, 3 inverted, 2 of no area, 5 outside the image"
    )


numbers = st.floats(-200, 200, width=32) | st.sampled_from([NAN, INF, -INF, 0.0])


@settings(max_examples=30, deadline=None)
@given(boxes=st.lists(st.tuples(*[numbers] * 4), max_size=8))
def test_what_is_left_lies_inside(tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[float, ...]]) -> None:
    root = tmp_path_factory.mktemp("set")
    boxes = [*boxes, (5.0, 5.0, 30.0, 30.0)]  # a file whose boxes all lie between 0 and 1 is refused
    cv2.imwrite(str(root / "a.png"), np.zeros((50, 70, 3), np.uint8))
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 70, "height": 50}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "bbox": list(box)} for number, box in enumerate(boxes)
        ],
    }
    (root / "a.json").write_text(json.dumps(document))
    split = load_coco(root / "a.json", root, cache=False)
    kept = split.records[0].boxes_xyxy
    assert (kept >= 0).all()
    assert (kept <= [70, 50, 70, 50]).all()
    assert (kept[:, 2:] > kept[:, :2]).all()
    assert len(kept) + sum(split.report.dropped.values()) == len(boxes)
    sound = [b for b in boxes if all(map(math.isfinite, b)) and b[0] >= 0 and b[1] >= 0 and b[2] >= 1 and b[3] >= 1]
    sound = [b for b in sound if b[0] + b[2] <= 70 and b[1] + b[3] <= 50]
    assert len(kept) >= len(sound)


def spoil(section: str, index: int, **changes: Any) -> Callable[[Any], None]:
    def change(folder: Any) -> None:
        entry = folder.document[section][index]
        for key, value in changes.items():
            if value is ...:
                del entry[key]
            else:
                entry[key] = value

    return change


def replace(key: str, value: Any) -> Callable[[Any], None]:
    def change(folder: Any) -> None:
        if value is ...:
            del folder.document[key]
        else:
            folder.document[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace("images", ...), ["'images' is missing"]),
        (replace("annotations", ...), ["'annotations' is missing"]),
        (replace("categories", {}), ["'categories' is an object", "must be a list"]),
        (replace("images", []), ["'images' is empty"]),
        (replace("categories", []), ["'categories' is empty"]),
        (replace("annotations", [None]), ["annotations[0]", "null"]),
        (spoil("images", 1, id=5), ["images: the id 5 is given 2 times"]),
        (spoil("annotations", 2, id=1), ["annotations: the id 1 is given 2 times"]),
        (spoil("categories", 1, id=30), ["categories: the id 30 is given 2 times"]),
        (spoil("categories", 1, name="cat"), ["categories[1] (id 7)", "'cat'", "rename or merge"]),
        (spoil("categories", 1, name=""), ["categories[1] (id 7)", "empty 'name'"]),
        (spoil("annotations", 1, image_id=99), ["annotations[1] (id 2)", "image_id 99", "not in 'images'"]),
        (spoil("annotations", 1, category_id=8), ["annotations[1] (id 2)", "category_id 8", "not in 'categories'"]),
        (spoil("annotations", 0, bbox=...), ["annotations[0] (id 1)", "no 'bbox'"]),
        (spoil("annotations", 0, id=...), ["annotations[0]", "no 'id'"]),
        (spoil("annotations", 0, bbox=[1, 2, 3]), ["annotations[0] (id 1)", "3 numbers", "[x, y, width, height]"]),
        (spoil("annotations", 0, bbox=["1", 2, 3, 4]), ["annotations[0] (id 1)", "four numbers"]),
        (spoil("annotations", 0, bbox=[True, 2, 3, 4]), ["annotations[0] (id 1)", "four numbers"]),
        (spoil("annotations", 0, bbox=[[1], 2, 3, 4]), ["annotations[0] (id 1)", "four numbers"]),
        (spoil("annotations", 0, bbox="1 2 3 4"), ["annotations[0] (id 1)", "a text", "a list"]),
        (spoil("annotations", 0, bbox=None), ["annotations[0] (id 1)", "null"]),
        (spoil("annotations", 0, iscrowd="no"), ["annotations[0] (id 1)", "'no'", "0 or 1"]),
        (spoil("annotations", 0, category_id="7"), ["annotations[0] (id 1)", "'category_id' that is a text"]),
        (spoil("annotations", 0, image_id=3.5), ["annotations[0] (id 1)", "image_id 3.5", "whole number"]),
        (spoil("images", 0, id=2**70), ["images[0]", "64 bits"]),
        (spoil("images", 0, id=True), ["images[0]", "true or false"]),
        (spoil("images", 0, width=...), ["images[0] (id 5)", "no 'width'"]),
        (spoil("images", 0, width=0), ["images[0] (id 5)", "width 0"]),
        (spoil("images", 0, height=40.5), ["images[0] (id 5)", "height 40.5"]),
        (spoil("images", 0, height=NAN), ["images[0] (id 5)", "height nan"]),
        (spoil("images", 0, height=INF), ["images[0] (id 5)", "height inf"]),
        (spoil("images", 0, file_name=7), ["images[0] (id 5)", "'file_name' that is the number 7"]),
        (spoil("images", 0, file_name="x.png"), ["image 'x.png' (id 5)", "is not in", "images"]),
        (spoil("images", 0, file_name="a\0b"), ["id 5", "file_name"]),
        (spoil("images", 0, file_name="x" * 5000), ["id 5", "file_name"]),
        (spoil("images", 0, file_name="."), ["id 5", "is not in"]),
        (spoil("images", 0, width=61), ["'005.png' (id 5)", "61x40", "60x40", "correct width and height"]),
        (spoil("images", 0, width=40, height=60), ["'005.png' (id 5)", "40x60", "60x40"]),
    ],
)
def test_structural_mistakes(folder: Any, change: Callable[[Any], None], words: list[str]) -> None:
    change(folder)
    message = failure(folder)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["0 bytes"]),
        (b'{"images": [\n  {"id": 1,}\n]}', ["line 2, column 1", "broken JSON"]),
        (b'{"images": [', ["line 1", "broken JSON"]),
        (b"[]", ["a list instead of an object"]),
        (b"\xff\xfe\xfd", ["line 1: cannot be read as UTF-8 text; save the file as UTF-8"]),
        (b"[" * 200_000, ["broken JSON"]),
        (b'{"images": ' + b"1" * 5000 + b"}", ["broken JSON"]),
    ],
)
def test_broken_json(folder: Any, content: bytes, words: list[str]) -> None:
    folder.annotations.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_coco(folder.annotations, folder.images)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    assert message.startswith(str(folder.annotations))
    for word in words:
        assert word in message


def test_missing_files(folder: Any) -> None:
    with pytest.raises(DataError, match="no such annotation file"):
        load_coco(folder.root / "no.json", folder.images)
    with pytest.raises(DataError, match="cannot read the annotation file"):
        load_coco(folder.root, folder.images)
    folder.write()
    with pytest.raises(DataError, match="no such folder of images"):
        load_coco(folder.annotations, folder.root / "pictures")


def test_images_that_are_not_there(folder: Any) -> None:
    for name in ("005.png", "012.png"):
        (folder.images / name).unlink()
    message = failure(folder)
    assert "is not in" in message
    assert "005.png" in message
    assert "1 more image of train.json" in message


@pytest.mark.parametrize("upright", [True, False])
def test_exif_rotation(folder: Any, upright: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(folder.images / "turned.jpg", exif=exif)  # shown as 40 x 60
    width, height = (40, 60) if upright else (60, 40)
    folder.document["images"][0].update(file_name="turned.jpg", width=width, height=height)
    folder.document["annotations"] = folder.document["annotations"][:1]
    if upright:
        assert (load(folder).records[0].width, load(folder).records[0].height) == (40, 60)
    else:
        message = failure(folder)
        assert "annotated as 60x40, without the EXIF rotation" in message
        assert "shown as 40x60" in message


def test_names_choose_classes_and_their_order(folder: Any) -> None:
    folder.category(1, "bird")
    folder.box(5, 1, [1, 1, 5, 5])
    split = load(folder, names=["cat", "bird"])
    assert (split.classes.names, split.classes.ids, tuple(split.unused)) == (("cat", "bird"), (30, 1), ("dog",))
    np.testing.assert_array_equal(split.records[0].labels, [0, 1])
    assert dict(split.report.dropped) == {"of unused categories": 2}
    message = failure(folder, names=["cat", "drog"])
    assert "'drog'" in message
    assert "did you mean 'dog'?" in message
    assert "it has 'cat', 'dog', 'bird'" in failure(folder, names=["zzz"])


def test_a_second_split_keeps_the_classes_of_the_first(folder: Any) -> None:
    train = load(folder)
    for entry in folder.document["categories"]:
        entry["id"] = {30: 1, 7: 2}[entry["id"]]
    for entry in folder.document["annotations"]:
        entry["category_id"] = {30: 1, 7: 2}[entry["category_id"]]
    val = load(folder, like=train)
    assert val.classes == Classes(train.classes.names, (2, 1))
    assert [r.labels.tolist() for r in val.records] == [r.labels.tolist() for r in train.records]


def test_a_second_split_may_lack_categories_and_have_others_without_boxes(folder: Any) -> None:
    folder.category(9, "bird")
    folder.category(0, "animals")
    train = load(folder)
    assert train.classes == Classes(("animals", "dog", "bird", "cat"), (0, 7, 9, 30))
    # A root that is another one, the classes in another order, one that is not there, and one that nothing is of.
    folder.document["categories"] = [
        {"id": 0, "name": "things", "supercategory": "none"},
        {"id": 9, "name": "cat", "supercategory": "things"},
        {"id": 4, "name": "dog", "supercategory": "things"},
        {"id": 5, "name": "fish", "supercategory": "things"},
    ]
    for entry in folder.document["annotations"]:
        entry["category_id"] = {30: 9, 7: 4}[entry["category_id"]]
    val = load(folder, like=train)
    # Each id is one category's. That of "dog" is the file's, and where an id is taken a new one is found.
    assert val.classes == Classes(train.classes.names, (10, 4, 11, 9))
    assert val.absent == ("animals", "bird")
    assert dict(val.unused) == {"things": 0, "fish": 0}
    assert [r.labels.tolist() for r in val.records] == [r.labels.tolist() for r in train.records]
    assert not val.report.dropped

    folder.box(5, 5, [1, 1, 5, 5])
    message = failure(folder, like=train)
    assert "1 box is of the category 'fish', which" in message
    assert str(train.annotations) in message
    # With `names` in the data-set YAML, others are dropped and counted.
    assert dict(load(folder, names=train.classes.names, like=train).report.dropped) == {"of unused categories": 1}
    # A caller that gives classes sees for itself.
    assert dict(load(folder, like=train.classes).unused) == {"things": 0, "fish": 1}


def test_of_categories_with_one_name_the_used_one_counts(folder: Any) -> None:
    folder.document["categories"].insert(0, {"id": 0, "name": "cat", "supercategory": "none"})
    split = load(folder)
    assert split.classes == Classes(("dog", "cat"), (7, 30))
    assert [r.labels.tolist() for r in split.records] == [[1, 0], [0], []]


def test_a_category_left_out_on_purpose_is_no_disagreement(folder: Any) -> None:
    train = load(folder, names=["cat"])
    assert load(folder, like=train).classes.names == ("cat",)


def test_sizes_may_be_written_as_floats(folder: Any) -> None:
    folder.document["images"][0].update(width=60.0, height=40.0)
    assert load(folder).records[0].width == 60


def test_images_in_sub_folders_and_a_bom(folder: Any) -> None:
    (folder.images / "sub").mkdir()
    (folder.images / "005.png").rename(folder.images / "sub/005.png")
    folder.document["images"][0]["file_name"] = "sub/005.png"
    folder.annotations.write_bytes(b"\xef\xbb\xbf" + json.dumps(folder.document).encode())
    split = load_coco(folder.annotations, folder.images)
    assert split.records[0].path == folder.images / "sub/005.png"


@pytest.mark.parametrize("part", ["train", "val"])
def test_bccd_agrees_with_pycocotools(bccd: Path, cache_folder: Path, part: str) -> None:
    file = bccd / "annotations" / f"instances_{part}.json"
    split = load_coco(file, bccd / "images" / part)
    coco = COCO(str(file))
    assert len(split.records) == len(coco.imgs)
    assert split.classes.names == tuple(coco.cats[number]["name"] for number in sorted(coco.cats))
    dropped = 0
    for record in split.records:
        theirs = [a for a in coco.loadAnns(coco.getAnnIds(record.image_id)) if a["bbox"][2] > 0 and a["bbox"][3] > 0]
        dropped += len(coco.getAnnIds(record.image_id)) - len(theirs)
        assert [split.classes.ids[label] for label in record.labels] == [a["category_id"] for a in theirs]
        xywh = np.array([a["bbox"] for a in theirs], float).reshape(-1, 4)
        corners = np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), 1)
        np.testing.assert_allclose(record.boxes_xyxy, corners.clip(0, [record.width, record.height] * 2))
    assert dropped == sum(split.report.dropped.values()) == split.report.dropped["of no area"] > 0
