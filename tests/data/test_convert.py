"""`python -m data convert`: what is written says the same as what was read, and is whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.__main__ import main
from data.coco.split import CocoSplit
from data.config import load_dataset_config
from data.convert import convert
from data.errors import DataError
from data.splits import load_splits
from engine.metrics.coco import CocoEvaluator
from files.faults import OutputError
from tests.places import SMALL_DISK

NAMES = (
    "plain.png",
    "deep/same.png",
    "other/same.jpg",
    "same.png",
    "same.jpg",
    "with blank.PNG",
    "images/in images.png",
)


def document(names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    """Each picture is 60x40; the first has a box on odd places, a crowd and a region, the second none at all."""
    boxes = [
        {"image_id": 10, "category_id": 4, "bbox": [1.25, 2.5, 30.1, 20.7], "area": 123.0},
        {"image_id": 10, "category_id": 90, "bbox": [10, 10, 20, 20], "iscrowd": 1},
        {"image_id": 10, "category_id": 7, "bbox": [50, 0, 10, 40]},
        *({"image_id": 10 + n, "category_id": 90, "bbox": [n, n, 5 + n, 7]} for n in range(2, len(names))),
    ]
    return {
        "images": [{"id": 10 + n, "file_name": name, "width": 60, "height": 40} for n, name in enumerate(names)],
        "categories": [{"id": 90, "name": "a cat"}, {"id": 4, "name": "yes"}, {"id": 7, "name": "DontCare"}],
        "annotations": [{"id": number, **box} for number, box in enumerate(boxes, 1)],
    }


def data_set(root: Path, content: dict[str, Any] | None = None, more: str = "ignore: [DontCare]\nimgsz: 64\n") -> Path:
    content = content or document()
    for number, entry in enumerate(content["images"]):
        file = root / "pictures" / entry["file_name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((40, 60, 3), number * 5 % 256, np.uint8))
    (root / "all.json").write_text(json.dumps(content))
    file = root / "my set.yaml"
    split = "{images: pictures, annotations: all.json}"
    file.write_text(f"train: {split}\nval: {split}\n{more}")
    return file


def splits(yaml: Path) -> dict[str, CocoSplit]:
    return load_splits(load_dataset_config(yaml))


def content(split: CocoSplit) -> list[tuple[bytes, list[tuple[str, tuple[float, ...]]], list[list[float]]]]:
    """Of each picture its bytes, its boxes by class name, its regions; what names and ids are is no part of it."""
    rows = []
    for record in split.records:
        singles = zip(record.labels[~record.crowd].tolist(), record.boxes_xyxy[~record.crowd].tolist(), strict=True)
        boxes = [(split.classes.names[label], tuple(round(value, 4) for value in box)) for label, box in singles]
        rows.append((record.path.read_bytes(), boxes, record.regions_xyxy.tolist()))
    return sorted(rows, key=repr)


def test_to_yolo_and_back(tmp_path: Path, cache_folder: Path) -> None:
    source = data_set(tmp_path / "a")
    lines = list(convert(source, "yolo"))
    yolo = tmp_path / "a/my set-yolo/data.yaml"
    assert lines[-1] == f"written: {yolo}"
    assert "train: 1 crowd is left out, which YOLO's format has none of" in lines
    assert list(convert(yolo, "coco", tmp_path / "back"))[-1] == f"written: {tmp_path / 'back/data.yaml'}"
    for name, split in splits(source).items():
        for file in (yolo, tmp_path / "back/data.yaml"):
            other = splits(file)[name]
            assert other.classes.names == split.classes.names == ("yes", "a cat")
            assert content(other) == content(split)
            assert other.report.notes == ()
    assert load_dataset_config(yolo).imgsz == load_dataset_config(tmp_path / "back/data.yaml").imgsz == 64
    found = {str(file.relative_to(yolo.parent)) for file in yolo.parent.rglob("*") if not file.is_dir()}
    names = ("plain", "deep/same", "other/same", "same", "same-2", "with blank", "in images")
    assert found == {"data.yaml"} | {
        f"{room}/{split}/{name}{ending}"
        for split in ("train", "val")
        for name in names
        for room, ending in (("labels", ".txt"), ("images", _ending(name)))
    }


def _ending(name: str) -> str:
    return {"with blank": ".PNG", "other/same": ".jpg", "same-2": ".jpg"}.get(name, ".png")


def test_to_coco_keeps_ids_crowds_and_areas(tmp_path: Path, cache_folder: Path) -> None:
    source = data_set(tmp_path / "a")
    list(convert(source, "coco", tmp_path / "b"))
    before, after = splits(source)["train"], splits(tmp_path / "b/data.yaml")["train"]
    assert after.classes == before.classes
    assert [(r.image_id, r.path) for r in after.records] == [(r.image_id, r.path) for r in before.records]
    assert before.table is not None
    assert after.table is not None
    for column in ("images", "labels", "boxes_xywh", "areas", "crowd"):
        np.testing.assert_array_equal(getattr(after.table.scanned(), column), getattr(before.table.scanned(), column))
    found = [{"image_id": 10, "category_id": 4, "bbox": [1, 2, 30, 20], "score": 0.5}]
    figures = [CocoEvaluator(split).measure(found).figures for split in (before, after)]
    assert figures[0] == pytest.approx(dict(figures[1]), nan_ok=True)


def test_from_voc(tmp_path: Path, cache_folder: Path) -> None:
    """Difficult objects stay what they are in COCO's format."""
    (tmp_path / "i").mkdir()
    (tmp_path / "x").mkdir()
    cv2.imwrite(str(tmp_path / "i/1.png"), np.zeros((40, 60, 3), np.uint8))
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>20</ymax></bndbox>"
    hard = box.replace(">1<", ">5<")
    (tmp_path / "x/1.xml").write_text(
        f"<annotation><object><name>cat</name>{box}</object>"
        f"<object><name>cat</name><difficult>1</difficult>{hard}</object></annotation>"
    )
    (tmp_path / "v.yaml").write_text("train: {images: i, annotations: x}\nval: {images: i, annotations: x}\n")
    list(convert(tmp_path / "v.yaml", "coco"))
    split = splits(tmp_path / "v-coco/data.yaml")["val"]
    assert split.records[0].boxes_xyxy.tolist() == [[0, 1, 10, 20], [4, 1, 10, 20]]
    assert (split.report.crowd, split.report.ignored) == (0, 1)


def test_names_do_not_grow_with_every_conversion(tmp_path: Path, cache_folder: Path) -> None:
    list(convert(data_set(tmp_path / "a", document(("a.png", "b.png"))), "yolo", tmp_path / "b"))
    list(convert(tmp_path / "b/data.yaml", "yolo", tmp_path / "c"))
    assert sorted(file.name for file in (tmp_path / "c/labels/val").iterdir()) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_a_copy_stands_alone(tmp_path: Path, cache_folder: Path, to: str) -> None:
    source = data_set(tmp_path / "a")
    expected = content(splits(source)["train"])
    list(convert(source, to, tmp_path / "b", copy=True))
    (tmp_path / "a").rename(tmp_path / "away")
    (tmp_path / "b").rename(tmp_path / "c")
    split = splits(tmp_path / "c/data.yaml")["train"]
    assert content(split) == expected
    assert not any(record.path.is_symlink() for record in split.records)


def test_links_hold_when_both_are_moved_together(tmp_path: Path, cache_folder: Path) -> None:
    source = data_set(tmp_path / "a")
    expected = content(splits(source)["train"])
    for to in ("yolo", "coco"):
        list(convert(source, to))
    (tmp_path / "a").rename(tmp_path / "b")
    for to in ("yolo", "coco"):
        assert content(splits(tmp_path / f"b/my set-{to}/data.yaml")["train"]) == expected


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_what_is_there_stays(tmp_path: Path, cache_folder: Path, to: str) -> None:
    source = data_set(tmp_path / "a")
    for out in (tmp_path / "a", source):
        with pytest.raises(DataError, match="is there already; remove it, or choose another folder with --out"):
            list(convert(source, to, out))
    assert source.is_file()


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_whole_or_absent(tmp_path: Path, cache_folder: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = data_set(tmp_path / "a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "data.yaml")

    monkeypatch.setattr("data.convert.write_text", full)
    with pytest.raises(OSError, match=r"No space left.*data\.yaml"):
        list(convert(source, to, tmp_path / "b"))
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(("to", "copy"), [("coco", False), ("yolo", True)])
def test_a_full_disk(tmp_path: Path, cache_folder: Path, small_disk: Path, to: str, copy: bool) -> None:
    names = tuple(f"{'name ' * 30}{number}.png" for number in range(40))
    written = document(names)
    written["annotations"] += [
        {"id": number, "image_id": 10 + number % 40, "category_id": 4, "bbox": [number * 0.0021, 0, 9, 9]}
        for number in range(1000, 1000 + SMALL_DISK // 60)
    ]
    with pytest.raises(OutputError, match=r"disk/b: cannot be written: the disk is full; make room, or choose another"):
        list(convert(data_set(tmp_path / "a", written), to, small_disk / "b", copy=copy))
    assert list(small_disk.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path, cache_folder: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/b: cannot be written"):
        list(convert(data_set(tmp_path / "a"), "coco", tmp_path / "file" / "b"))


def test_a_picture_that_no_folder_would_show(tmp_path: Path, cache_folder: Path) -> None:
    source = data_set(tmp_path, document(("a.png", "b.png")))
    (tmp_path / "pictures/a.png").rename(tmp_path / "pictures/a.dat")
    text = (tmp_path / "all.json").read_text().replace("a.png", "a.dat")
    (tmp_path / "all.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.dat: its ending is none of a picture"):
        list(convert(source, "yolo"))


def test_the_command(tmp_path: Path, cache_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = data_set(tmp_path)
    assert main(["convert", str(source), "--to", "yolo", "--out", str(tmp_path / "b"), "--copy"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"written: {tmp_path / 'b/data.yaml'}"
    assert main(["convert", str(source), "--to", "yolo", "--out", str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'b'}: is there already")


sides = st.tuples(st.floats(0, 50), st.floats(0, 30), st.floats(2, 10), st.floats(2, 10))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes=st.lists(st.tuples(st.sampled_from([4, 90, 7]), sides), min_size=1, max_size=6))
def test_boxes_come_back(
    tmp_path_factory: pytest.TempPathFactory, cache_folder: Path, boxes: list[tuple[int, tuple[float, ...]]]
) -> None:
    root = tmp_path_factory.mktemp("set")
    written = document(("a.png",))
    written["annotations"] = [
        {"id": number, "image_id": 10, "category_id": category, "bbox": list(box)}
        for number, (category, box) in enumerate(boxes)
    ]
    source = data_set(root, written)
    list(convert(source, "yolo", root / "yolo"))
    list(convert(root / "yolo/data.yaml", "coco", root / "coco"))
    before, after = splits(source)["train"].records[0], splits(root / "coco/data.yaml")["train"].records[0]
    np.testing.assert_allclose(after.boxes_xyxy, before.boxes_xyxy, atol=1e-4)
    np.testing.assert_allclose(after.regions_xyxy, before.regions_xyxy, atol=1e-4)
    assert after.labels.tolist() == before.labels.tolist()
