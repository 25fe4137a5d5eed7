"""What other programs write, read as what it means: numbers, paths of Windows, encodings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.coco.records import load_coco
from data.config import load_dataset_config
from data.errors import DataError


def load(folder: Any) -> Any:
    return load_coco(*folder.write(), cache=False)


@pytest.mark.parametrize(
    ("value", "crowd"),
    [(None, False), (0.0, False), (False, False), ("0", False), (1.0, True), (True, True), ("1", True), (1, True)],
)
@pytest.mark.parametrize("key", ["iscrowd", "ignore"])
def test_crowds_and_boxes_to_be_ignored(folder: Any, key: str, value: Any, crowd: bool) -> None:
    folder.document["annotations"][0][key] = value
    table = load(folder).table
    marks = table.crowd if key == "iscrowd" else table.ignored
    assert marks[table.ids == 1].tolist() == [crowd]
    assert marks.sum() == crowd


@pytest.mark.parametrize("value", [0.5, 2, "no", "", [], {}, float("nan")])
def test_crowds_that_mean_nothing(folder: Any, value: Any) -> None:
    folder.document["annotations"][0]["iscrowd"] = value
    with pytest.raises(DataError, match=r"annotations\[0\] \(id 1\) has the iscrowd .* it must be 0 or 1"):
        load(folder)


def test_whole_numbers_with_a_point(folder: Any) -> None:
    before = load(folder)
    for section, keys in {
        "images": ("id", "width", "height"),
        "categories": ("id",),
        "annotations": ("id", "image_id", "category_id"),
    }.items():
        for row in folder.document[section]:
            row.update({key: float(row[key]) for key in keys})
    folder.document["images"][0]["width"] = str(int(folder.document["images"][0]["width"]))
    folder.document["images"][0]["height"] = f"{folder.document['images'][0]['height']:.1f}"
    after = load(folder)
    assert after.classes == before.classes
    for one, other in zip(after.records, before.records, strict=True):
        assert (one.image_id, one.width, one.height) == (other.image_id, other.width, other.height)
        assert isinstance(one.image_id, int)
        np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)
    np.testing.assert_array_equal(after.table.ids, before.table.ids)


def test_one_side_that_is_not_stated(folder: Any) -> None:
    """It is the file's; the other one still has to agree."""
    first, before = folder.document["images"][0], load(folder).records[0]
    first["width"] = None
    assert (load(folder).records[0].width, load(folder).records[0].height) == (before.width, before.height)
    first["height"] += 1
    with pytest.raises(DataError, match=rf"is {before.width}x{before.height + 1} there, but"):
        load(folder)


@pytest.mark.parametrize("value", [1.5, 1e300, float("inf"), float("nan"), None, "1"])
def test_ids_that_are_no_whole_numbers(folder: Any, value: Any) -> None:
    folder.document["annotations"][0]["id"] = value
    with pytest.raises(DataError, match=r"annotations\[0\].*(whole number|64 bits)") as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_file_names_of_windows(folder: Any) -> None:
    (folder.images / "deep" / "er").mkdir(parents=True)
    (folder.images / "005.png").rename(folder.images / "deep" / "er" / "005.png")
    (folder.images / "003.png").rename(folder.images / "odd\\003.png")
    names = ["deep\\er\\005.png", "odd\\003.png", ".\\012.png"]
    for row, name in zip(folder.document["images"], names, strict=True):
        row["file_name"] = name
    paths = [record.path for record in load(folder).records]
    assert paths == [folder.images / name for name in ("deep/er/005.png", "odd\\003.png", "./012.png")]
    folder.document["images"][2]["file_name"] = "..\\missing\\099.png"
    with pytest.raises(DataError, match=r"is not in .* its backslashes are no folders here, write /"):
        load(folder)


def test_two_images_that_are_one_file_by_way_of_backslashes(folder: Any) -> None:
    folder.document["images"][0]["file_name"] = ".\\012.png"
    with pytest.raises(DataError, match=r"the ids 5 and 12 have the same file, '012\.png'"):
        load(folder)


@pytest.mark.parametrize(("encoding", "name"), [("gbk", "中文"), ("cp1252", "é")])
def test_annotations_in_other_encodings(folder: Any, encoding: str, name: str) -> None:
    folder.document["categories"][0]["name"] = name
    text = json.dumps(folder.document, ensure_ascii=False, indent=1)
    folder.annotations.write_bytes(text.encode(encoding))
    with pytest.raises(DataError) as error:
        load_coco(folder.annotations, folder.images, cache=False)
    assert "train.json, line " in str(error.value)
    assert "save the file as UTF-8" in str(error.value)
    for known in ("utf-8", "utf-8-sig", "utf-16"):
        folder.annotations.write_bytes(text.encode(known))
        assert name in load_coco(folder.annotations, folder.images).classes.names


def test_paths_in_a_data_set_yaml(tmp_path: Path, folder: Any) -> None:
    annotations, images = folder.write()
    yaml = folder.root / "my.yaml"
    form = "train: {{images: '{0}', annotations: '{1}'}}\nval: {{images: '{0}', annotations: '{1}'}}\n"
    yaml.write_text("path: .\\\n" + form.format("..\\set\\images", ".\\train.json"))
    config = load_dataset_config(yaml)
    assert (config.train.images, config.val.annotations) == (images, annotations)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("images", "annotations", "message"),
    [
        ("~nobody-of-that-name/x", "train.json", "no such folder of images"),
        ("x" * 5000, "train.json", "longer than this system takes"),
        ("images", "x" * 5000, "longer than this system takes"),
        ("images", "a\\0b", "zero character"),
        ("a\\0b", "train.json", "zero character"),
        ("C:\\\\data", "train.json", "a path of Windows"),
        ("loop", "train.json", "a link that leads to itself"),
        ("train.json", "train.json", "a file, no folder; correct 'images'"),
        ("images", "images", "cannot read the annotation file: Is a directory; give the JSON file"),
        ("images", "loop", "a link that leads to itself"),
    ],
)
def test_paths_that_lead_nowhere(folder: Any, images: str, annotations: str, message: str) -> None:
    folder.write()
    (folder.root / "loop").symlink_to("loop")
    entry = f'{{images: "{images}", annotations: "{annotations}"}}'
    yaml = folder.root / "my.yaml"
    yaml.write_text(f"train: {entry}\nval: {entry}\n")
    with pytest.raises(DataError) as error:
        load_coco(*_of(load_dataset_config(yaml)), cache=False)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def _of(config: Any) -> tuple[Path, Path]:
    return config.train.annotations, config.train.images
