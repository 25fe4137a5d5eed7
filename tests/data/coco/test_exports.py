"""What other programs export as COCO, as it comes: CVAT, Label Studio, Roboflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as masks

from data.coco.outlines import surrounding_box
from data.coco.records import CocoSplit, load_coco, load_split
from data.coco.source import CocoFile, ScanSettings
from data.errors import DataError
from tests.data.conftest import Folder


def load(root: Path, document: dict[str, Any], *pictures: str) -> CocoSplit:
    """The split of a document, with pictures of 40x20 pixels in `root/images`."""
    for number, name in enumerate(pictures):
        file = root / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((20, 40, 3), number, np.uint8))
    (root / "all.json").write_text(json.dumps(document))
    return load_coco(root / "all.json", root / "images", cache=False)


def mask_of(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((20, 40), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def compressed(mask: np.ndarray) -> dict[str, Any]:
    encoded = masks.encode(np.asfortranarray(mask))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def runs(mask: np.ndarray) -> dict[str, Any]:
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if flat[0] else lengths}


def test_what_cvat_exports(tmp_path: Path) -> None:
    """Boxes, polygons and masks, each with all its fields; tracks and ellipses come as masks."""
    shape = {"image_id": 1, "iscrowd": 0, "attributes": {"occluded": False, "rotation": 0.0}}
    document = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "categories": [{"id": 1, "name": "cat", "supercategory": ""}, {"id": 2, "name": "dog", "supercategory": ""}],
        "images": [
            {
                "id": 1,
                "width": 40,
                "height": 20,
                "file_name": "frames/frame 0001.PNG",
                "license": 0,
                "flickr_url": "",
                "coco_url": "",
                "date_captured": 0,
            }
        ],
        "annotations": [
            {"id": 1, "category_id": 1, "segmentation": [], "area": 50.0, "bbox": [1.0, 2.0, 10.0, 5.0], **shape},
            {"id": 2, "category_id": 2, "segmentation": [[3.5, 4, 13, 4, 13, 9]], "area": 24, "bbox": [], **shape},
            {"id": 3, "category_id": 2, "segmentation": runs(mask_of(20, 3, 30, 8)), "area": 50, "bbox": None, **shape},
        ],
    }
    split = load(tmp_path, document, "frames/frame 0001.PNG")
    np.testing.assert_array_equal(
        split.records[0].boxes_xyxy, [[1, 2, 11, 7], [3.5, 4, 13, 9], [20, 3, 30, 8]], strict=False
    )
    assert split.report.derived == 2
    assert "; 2 boxes follow from their outlines" in split.report.summary()
    assert split.table is not None
    assert split.table.scanned().areas.tolist() == [50, 24, 50]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../label-studio/data/media/upload/1/1a2b3c4d-x y.png", "1a2b3c4d-x y.png"),
        ("../../label-studio/data/media/upload/1/1a2b3c4d-x y.png", "x y.png"),
        ("/data/upload/1/1a2b3c4d-x y.png", "1a2b3c4d-x y.png"),
        ("images\\7\\1a2b3c4d-x y.png", "1a2b3c4d-x y.png"),
        ("images/1a2b3c4d-x y.png", "images/1a2b3c4d-x y.png"),
        ("/data/local-files/?d=photos/deep/x%20y.png", "deep/x y.png"),
        ("http://host:8080/data/a/x%20y.png?token=1#2", "x y.png"),
        ("s3://bucket/photos/x y.png", "photos/x y.png"),
        ("http://[::1/photos/x y.png", "photos/x y.png"),
        ("C:\\photos\\x y.png", "x y.png"),
    ],
)
def test_what_label_studio_exports(tmp_path: Path, name: str, file: str) -> None:
    """Ids from 0, no supercategories, and names of files that are paths on its server."""
    document = {
        "images": [{"width": 40, "height": 20, "id": 0, "file_name": name}],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
        "annotations": [
            {
                "id": 0,
                "image_id": 0,
                "category_id": 1,
                "segmentation": [],
                "bbox": [1.5, 2.5, 10.0, 5.0],
                "ignore": 0,
                "iscrowd": 0,
                "area": 50.0,
                "score": 0.7,
            },
            {
                "id": 1,
                "image_id": 0,
                "category_id": 0,
                "segmentation": [[1, 2, 4, 2, 4, 6]],
                "ignore": 0,
                "iscrowd": 0,
                "area": 6,
            },
        ],
        "info": {"year": 2026, "version": "1.0", "description": "", "contributor": "Label Studio", "url": ""},
    }
    split = load(tmp_path, document, file)
    assert split.classes.names == ("cat", "dog")
    assert split.records[0].path == tmp_path / "images" / file
    assert split.records[0].boxes_xyxy.tolist() == [[1.5, 2.5, 11.5, 7.5], [1, 2, 4, 6]]
    notes = () if name == file else (f"1 image is found by the end of the name, such as {file!r} for {name!r}",)
    assert split.report.notes == notes


def test_a_size_that_is_null_is_that_of_the_file(folder: Folder) -> None:
    """Label Studio writes it where it never saw the picture."""
    folder.document["images"][0].update(width=None, height=None)
    record = load_coco(*folder.write()).records[0]
    assert (record.width, record.height) == (60, 40)
    folder.document["images"][0].update(width=60)  # one side alone is left out
    record = load_coco(*folder.write()).records[0]
    assert (record.width, record.height) == (60, 40)
    folder.document["images"][0].update(width=61)
    with pytest.raises(DataError, match=r"has 60x40 pixels"):
        load_coco(*folder.write())


def test_what_is_there_by_its_whole_name_comes_first(tmp_path: Path) -> None:
    document = {
        "images": [
            {"width": 40, "height": 20, "id": number, "file_name": name}
            for number, name in enumerate(("a/x.png", "b/x.png", "x.png", "away/y.png"))
        ],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [],
    }
    split = load(tmp_path, document, "a/x.png", "b/x.png", "x.png", "y.png")
    paths = [str(record.path.relative_to(tmp_path / "images")) for record in split.records]
    assert paths == ["a/x.png", "b/x.png", "x.png", "y.png"]
    document["images"][1]["file_name"] = "c/x.png"
    with pytest.raises(DataError, match=r"the ids 1 and 2 have the same file, 'x\.png'"):
        load(tmp_path, document)
    document["images"][1]["file_name"] = "http://host/z.png"
    with pytest.raises(DataError, match=r"image 'http://host/z\.png' \(id 1\) is not in .*images"):
        load(tmp_path, document)


def test_what_roboflow_exports(tmp_path: Path) -> None:
    """The project's name is category 0, without a box, and stands above all others."""
    document = {
        "info": {"year": "2026", "version": "1", "description": "Exported", "contributor": "", "url": ""},
        "licenses": [{"id": 1, "url": "https://creativecommons.org", "name": "CC BY 4.0"}],
        "categories": [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "pets"},
            {"id": 2, "name": "dog", "supercategory": "pets"},
        ],
        "images": [
            {
                "id": 0,
                "license": 1,
                "file_name": "x_jpg.rf.0a1b.png",
                "height": 20,
                "width": 40,
                "date_captured": "2026-01-01T00:00:00+00:00",
                "extra": {"name": "x.jpg"},
            }
        ],
        "annotations": [
            {
                "id": 0,
                "image_id": 0,
                "category_id": 2,
                "bbox": [1, 2, 10, 5],
                "area": 50,
                "segmentation": [],
                "iscrowd": 0,
            }
        ],
    }
    split = load(tmp_path, document, "x_jpg.rf.0a1b.png")
    assert split.classes.names == ("cat", "dog")
    assert split.records[0].labels.tolist() == [1]


def test_a_root_without_boxes_is_no_class(folder: Folder) -> None:
    for category in folder.document["categories"]:
        category["supercategory"] = "pets"
    folder.document["categories"].insert(0, {"id": 0, "name": "pets", "supercategory": "none"})
    assert load_coco(*folder.write()).classes.names == ("dog", "cat")
    assert load_coco(*folder.write(), names=["cat", "pets"]).classes.names == ("cat", "pets")
    every = load_split(CocoFile(*folder.write()), ScanSettings(roots=True))
    assert every.classes.names == ("pets", "dog", "cat")
    folder.box(5, 0, [1, 1, 5, 5])
    assert load_coco(*folder.write()).classes.names == ("pets", "dog", "cat")


def test_a_class_without_boxes_stays_one(folder: Folder) -> None:
    folder.document["categories"].append({"id": 40, "name": "bird", "supercategory": "bird"})
    assert load_coco(*folder.write()).classes.names == ("dog", "cat", "bird")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_masks_of_both_kinds(data: st.DataObject) -> None:
    """Against the mask itself: its first and last row and column."""
    left, top = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 19))
    right, bottom = data.draw(st.integers(left + 1, 40)), data.draw(st.integers(top + 1, 20))
    mask = mask_of(left, top, right, bottom)
    if data.draw(st.booleans()):
        mask[data.draw(st.integers(0, 19)), data.draw(st.integers(0, 39))] = 1
    ys, xs = np.nonzero(mask)
    expected = (xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min())
    assert surrounding_box(compressed(mask)) == expected
    assert surrounding_box(runs(mask)) == expected


@pytest.mark.parametrize(
    ("outline", "expected"),
    [
        ([[1, 2, 5, 2, 5, 9], [20, 0, 21, 1]], (1, 0, 20, 9)),  # two parts
        ([1, 2, 5, 2, 5, 9], (1, 2, 4, 7)),  # one, without its own list
        ([[1, 2], [5, 2], [5, 9]], (1, 2, 4, 7)),  # points
    ],
)
def test_polygons(outline: Any, expected: tuple[float, ...]) -> None:
    assert surrounding_box(outline) == expected


@pytest.mark.parametrize("outline", [[], [[]], [[], []]])
def test_an_annotation_without_box_and_outline_is_counted(folder: Folder, outline: Any) -> None:
    folder.document["annotations"][0].update(bbox=[], segmentation=outline)
    report = load_coco(*folder.write()).report
    assert report.dropped == {"without a box": 1}
    assert (report.boxes, report.derived) == (2, 0)


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        (5, "5 is neither polygons nor a mask"),
        ("[[1, 2]]", "is neither polygons nor a mask"),
        ([[1, 2, 3]], "[1, 2, 3] is not x and y in turn"),
        ([[1, "2"]], "[1, '2'] is not x and y in turn"),
        ([[True, 2]], "is not x and y in turn"),
        ({}, "a mask's size is [height, width], not None"),
        ({"size": [20.0, 40], "counts": ""}, "a mask's size is [height, width], not [20.0, 40]"),
        ({"size": [0, 40], "counts": ""}, "a mask of 40x0 pixels is too small or too large"),
        ({"size": [20, 10**9], "counts": ""}, "a mask of 1000000000x20 pixels is too small or too large"),
        ({"size": [20, 40], "counts": None}, "a mask's counts are lengths of runs, or a text, not None"),
        ({"size": [20, 40], "counts": [1, -1, 800]}, "a mask's counts are lengths of runs"),
        ({"size": [20, 40], "counts": [1, 2, 3]}, "its runs are 6 pixels, but 40x20 are 800"),
        ({"size": [20, 40], "counts": "\u00e4"}, "is no compressed mask"),
        ({"size": [20, 40], "counts": "0P"}, "'0P' is no compressed mask"),  # it breaks off inside a number
        ({"size": [20, 40], "counts": "ooooooooo0"}, "is no compressed mask"),  # a number of more than 32 bits
    ],
)
def test_an_outline_that_is_none_is_refused(folder: Folder, outline: Any, message: str) -> None:
    entry = folder.document["annotations"][1]
    del entry["bbox"]
    entry["segmentation"] = outline
    with pytest.raises(DataError) as error:
        load_coco(*folder.write())
    assert "annotations[1] (id 2) has no 'bbox', and a 'segmentation' that is none: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_an_outline_that_is_not_finite_is_dropped(folder: Folder, value: float) -> None:
    folder.document["annotations"][1].update(bbox=None, segmentation=[[1, 2, value, 3, 4, 5]])
    assert load_coco(*folder.write()).report.dropped == {"not finite": 1}
