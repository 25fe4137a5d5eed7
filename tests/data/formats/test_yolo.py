"""Data sets in YOLO's format: where labels are looked for, what a row may be, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.coco.records import CocoSplit
from data.config import load_dataset_config
from data.errors import DataError
from data.splits import load_splits, missing_test
from engine.metrics.coco import CocoEvaluator
from tests.data.formats.loading import load_written


def picture(file: Path, width: int = 40, height: int = 20) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(file))).integers(0, 256, (height, width, 3), np.uint8)
    cv2.imwrite(str(file), pixels)
    return file


def label(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


YAML = "train: images/train\nval: images/train\nnames: [cat, dog]\n"


def load(root: Path, yaml: str = YAML, split: str = "train", **options: Any) -> CocoSplit:
    return load_written(root, yaml, split, **options)


def test_a_data_set_in_yolos_format(tmp_path: Path) -> None:
    root = tmp_path / "images" / "my set"  # a folder `images` above the set is not the one that is meant
    picture(root / "images/train/a b.jpg", 40, 20)
    picture(root / "images/train/deep/er/c.png", 100, 50)
    picture(root / "images/train/background.bmp")
    picture(root / "images/train/.hidden.png")
    picture(root / "images/train/.ipynb_checkpoints/c-checkpoint.png")
    label(root / "images/train/notes.md", "not a picture")
    label(root / "labels/train/a b.txt", "\ufeff1 0.5 0.5 0.5 0.5\n\n0 0.25 0.5 0.1 0.2  \n")
    label(root / "labels/train/deep/er/c.txt", "0.0 0.1 0.1 0.3 0.1 0.3 0.4 0.2 0.5\r\n")
    label(root / "labels/train/.hidden.txt", "9")
    split = load(root)
    assert split.classes.names == ("cat", "dog")
    assert split.classes.ids == (0, 1)
    first, background, last = split.records
    assert [record.image_id for record in split.records] == [1, 2, 3]
    assert first.path == root / "images/train/a b.jpg"
    assert (first.width, first.height) == (40, 20)
    np.testing.assert_allclose(first.boxes_xyxy, [[10, 5, 30, 15], [8, 8, 12, 12]], atol=1e-5)
    assert first.labels.tolist() == [1, 0]
    assert len(background.boxes_xyxy) == 0
    np.testing.assert_allclose(last.boxes_xyxy, [[10, 5, 30, 25]], atol=1e-5)  # upright, around the outline
    report = split.report
    assert (report.images, report.boxes, report.images_without_boxes, report.derived) == (3, 3, 1, 1)
    assert "1 box follows from its outline" in report.summary()


def test_its_truth_is_what_pycocotools_measures_against(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png", 40, 20)
    label(tmp_path / "labels/train/a.txt", "1 0.5 0.5 0.5 0.5\n0 0.25 0.5 0.1 0.2")
    split = load(tmp_path)
    found = [
        {"image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 10], "score": 0.9},
        {"image_id": 1, "category_id": 0, "bbox": [30, 5, 4, 4], "score": 0.9},
    ]
    metrics = CocoEvaluator(split).measure(found)
    assert [entry.ap for entry in metrics.classes] == [0.0, pytest.approx(1.0)]


def test_boxes_are_cleaned_as_those_of_coco(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png", 40, 20)
    boxes = (".5 .5 .5 .5", ".5 .5 .5 .5", "1.0 .5 .2 .2", "nan 0 0 0", "2 2 .1 .1", ".5 .5 0 .1", ".5 .5 -.1 .1")
    label(tmp_path / "labels/train/a.txt", "\n".join(f"0 {box}" for box in (*boxes, "0 0 nan 1 1 1")))
    report = load(tmp_path).report
    assert (report.boxes, report.clipped) == (2, 1)
    assert report.dropped == {
        "not finite": 2,
        "inverted": 1,
        "of no area": 1,
        "outside the image": 1,
        "listed twice": 1,
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0 1 1", "has 3 columns; a row is class cx cy w h, or class and x y of three points or more"),
        ("0 .5 .5 .1 .1 .9", "has 6 columns"),
        ("0 .5 .5 .1 .1 .9 .9 .9", "has 8 columns"),
        ("0 .5 .5 .1 x", "'0 .5 .5 .1 x' is not a row of numbers; correct it"),
        ("cat .5 .5 .1 .1", "is not a row of numbers"),
        ("2 .5 .5 .1 .1", "has the class 2, but the data-set YAML has 2 names, numbered from 0; correct either"),
        ("-1 .5 .5 .1 .1", "has the class -1"),
        ("0.5 .5 .5 .1 .1", "has the class 0.5"),
        ("nan .5 .5 .1 .1", "has the class nan"),
    ],
)
def test_rows_that_are_none(tmp_path: Path, row: str, message: str) -> None:
    picture(tmp_path / "images/train/a.png")
    file = label(tmp_path / "labels/train/a.txt", f"0 .5 .5 .1 .1\n{row}\n")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert str(error.value).startswith(f"{file}, line 2: ")
    assert message in str(error.value)


def test_labels_in_pixels_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png")
    label(tmp_path / "labels/train/a.txt", "0 20 10 10 5\n1 8 8 4 4")
    with pytest.raises(DataError, match="all boxes are larger than their pictures: they look like pixels"):
        load(tmp_path)


def test_labels_that_are_no_text(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png")
    file = label(tmp_path / "labels/train/a.txt", "")
    file.write_bytes(b"0 \xff")
    with pytest.raises(DataError, match=r"a\.txt: not a text in UTF-8; save it as UTF-8"):
        load(tmp_path)


def test_no_labels_at_all(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    wanted = tmp_path / "labels/train/a.txt"
    assert str(error.value).endswith(f"none of the 1 picture has labels; those of {tmp_path}/images/train/a.png are "
                                     f"looked for in {wanted}")  # fmt: skip


def test_labels_beside_the_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "train/a.png", 40, 20)
    label(tmp_path / "train/a.txt", "0 .5 .5 .5 .5")
    assert load(tmp_path, YAML.replace("images/train", "train")).report.boxes == 1
    (tmp_path / "train").rename(tmp_path / "images")
    assert load(tmp_path, YAML.replace("images/train", "images")).report.boxes == 1


def test_a_picture_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images/train: no such folder of images; correct the path in the data-set"):
        load(tmp_path)
    (tmp_path / "images/train").mkdir(parents=True)
    with pytest.raises(DataError, match="images/train: no picture in this folder, nor in those within it"):
        load(tmp_path)


def test_a_list_of_pictures(tmp_path: Path) -> None:
    inside, outside = picture(tmp_path / "set/images/a.png"), picture(tmp_path / "elsewhere/images/b.png")
    label(tmp_path / "set/labels/a.txt", "0 .5 .5 .5 .5")
    label(tmp_path / "elsewhere/labels/b.txt", "1 .5 .5 .5 .5")
    label(tmp_path / "set/train.txt", f"./images/a.png\n\n{outside}\nimages\\a.png\n")
    split = load(tmp_path / "set", "train: train.txt\nval: train.txt\nnames: [cat, dog]\n")
    assert [record.path for record in split.records] == [inside, outside]
    assert split.report.notes == ("1 picture is listed twice; each counts once",)
    label(tmp_path / "set/train.txt", "images/a.png\nimages/c.png\n")
    with pytest.raises(DataError, match=r"image 'images/c\.png' \(id 2\) is not in"):
        load(tmp_path / "set", "train: train.txt\nval: train.txt\nnames: [cat, dog]\n")
    label(tmp_path / "set/train.txt", "\n")
    with pytest.raises(DataError, match="the list is empty"):
        load(tmp_path / "set", "train: train.txt\nval: train.txt\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match=r"no\.txt: no such file: a list of pictures"):
        load(tmp_path / "set", "train: no.txt\nval: train.txt\nnames: [cat, dog]\n")


def test_lists_that_were_written_elsewhere(tmp_path: Path) -> None:
    """CVAT writes `data/` before all names; others the paths of their own machine."""
    for name in ("a", "b"):
        picture(tmp_path / f"images/train/{name}.png")
        label(tmp_path / f"labels/train/{name}.txt", "0 .5 .5 .5 .5")
    label(tmp_path / "train.txt", "data/images/train/a.png\n/content/my set/images/train/b.png\n")
    split = load(tmp_path, "path: .\ntrain: train.txt\nval: train.txt\nnames: {0: cat}\n")
    assert [record.path for record in split.records] == [tmp_path / f"images/train/{name}.png" for name in "ab"]
    assert split.report.boxes == 2


def test_a_link_to_a_folder_of_pictures(tmp_path: Path) -> None:
    """Labels are looked for beside the link, not where it leads."""
    picture(tmp_path / "elsewhere/a.png")
    label(tmp_path / "set/labels/train/a.txt", "0 .5 .5 .5 .5")
    (tmp_path / "set/images").mkdir()
    (tmp_path / "set/images/train").symlink_to(tmp_path / "elsewhere")
    assert load(tmp_path / "set").report.boxes == 1


def test_a_loop_of_links(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png")
    label(tmp_path / "labels/train/a.txt", "0 .5 .5 .5 .5")
    (tmp_path / "images/train/again").symlink_to(tmp_path / "images")
    assert load(tmp_path).report.images == 1


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "images/train/a.png")

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match=r"images/train: cannot be listed \(Permission denied\)"):
        load(tmp_path)


def test_a_folder_whose_name_ends_as_a_list_does(tmp_path: Path) -> None:
    picture(tmp_path / "images/dir.txt/a.png")
    label(tmp_path / "labels/dir.txt/a.txt", "0 .5 .5 .5 .5")
    assert load(tmp_path, YAML.replace("images/train", "images/dir.txt")).report.boxes == 1


def test_several_folders(tmp_path: Path) -> None:
    for name in ("one", "two"):
        picture(tmp_path / f"images/{name}/same.png")
        label(tmp_path / f"labels/{name}/same.txt", "0 .5 .5 .5 .5")
    split = load(tmp_path, "train: [images/one, images/two]\nval: images/two\nnames: [cat, dog]\n")
    assert [record.path.parent.name for record in split.records] == ["one", "two"]


def test_what_roboflow_exports(tmp_path: Path) -> None:
    """Its YAML lies beside the folders, and names them as if it lay in one of them."""
    for name in ("train", "valid"):
        picture(tmp_path / f"{name}/images/a_jpg.rf.0123.jpg")
        label(tmp_path / f"{name}/labels/a_jpg.rf.0123.txt", "0 .5 .5 .5 .5")
    yaml = (
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['cat', 'dog']\n\n"
        "roboflow:\n  workspace: w\n  project: p\n  version: 1\n  license: CC BY 4.0\n  url: https://universe\n"
    )
    assert load(tmp_path, yaml, "val").records[0].path == tmp_path / "valid/images/a_jpg.rf.0123.jpg"
    assert load(tmp_path, yaml.replace("roboflow:", "download: |")).report.boxes == 1
    named, left_out = load_splits(load_dataset_config(tmp_path / "data.yaml")), "test/images is not there; the split is"
    assert list(named) == ["train", "val"]  # there is no folder test, which Roboflow names all the same
    assert left_out in missing_test(load_dataset_config(tmp_path / "data.yaml"))
    (tmp_path / "elsewhere").mkdir()
    assert load(tmp_path / "elsewhere", yaml).records[0].path.parent == tmp_path / "train/images"


def test_broken_pictures_are_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png", 60, 30)
    (tmp_path / "images/train/b.png").write_bytes(b"no picture")
    picture(tmp_path / "images/train/c.png", 40, 20)
    label(tmp_path / "labels/train/b.txt", "0 .5 .5 .5 .5")
    label(tmp_path / "labels/train/c.txt", "1 .5 .5 .5 .5")
    split = load(tmp_path)
    assert [(record.width, record.image_id) for record in split.records] == [(60, 1), (40, 3)]
    assert split.records[1].boxes_xyxy.tolist() == [[10, 5, 30, 15]]
    assert list(split.report.broken) == [str(tmp_path / "images/train/b.png")]
    with pytest.raises(DataError, match="--strict"):
        load(tmp_path, strict=True)


def test_a_change_of_a_label_is_seen(tmp_path: Path, cache_folder: Path) -> None:
    picture(tmp_path / "images/train/a.png")
    file = label(tmp_path / "labels/train/a.txt", "0 .5 .5 .5 .5")
    assert load(tmp_path, cache=True).report.boxes == 1
    assert len(list((cache_folder / "scans").iterdir())) == 1
    assert load(tmp_path, cache=True).records[0].labels.tolist() == [0]
    file.write_text("0 .5 .5 .5 .5\n1 .2 .2 .1 .1")
    assert load(tmp_path, cache=True).records[0].labels.tolist() == [0, 1]
    label(tmp_path / "labels/train/b.txt", "")
    picture(tmp_path / "images/train/b.png")
    assert load(tmp_path, cache=True).report.images == 2
    file.unlink()
    label(tmp_path / "labels/train/b.txt", "1 .5 .5 .5 .5")
    assert load(tmp_path, cache=True).report.boxes == 1


def test_the_second_split_has_the_same_classes(tmp_path: Path) -> None:
    picture(tmp_path / "images/train/a.png")
    label(tmp_path / "labels/train/a.txt", "0 .5 .5 .5 .5")
    train = load(tmp_path)
    assert load(tmp_path, split="val", like=train).classes == train.classes
