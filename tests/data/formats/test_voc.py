"""Data sets in Pascal VOC's format: which pixels a box covers, which picture an XML belongs to, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.coco.records import CocoSplit
from data.errors import DataError
from tests.data.formats.loading import load_written

YAML = """
train: {images: JPEGImages, annotations: Annotations}
val: {images: JPEGImages, annotations: Annotations, ids: ImageSets/Main/val.txt}
"""


def picture(file: Path, width: int = 40, height: int = 20) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(file))).integers(0, 256, (height, width, 3), np.uint8)
    cv2.imwrite(str(file), pixels)
    return file


def write(root: Path, name: str, text: str) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def thing(name: str, box: str | None = "1 1 10 10", more: str = "") -> str:
    """An object; the box is xmin ymin xmax ymax."""
    sides = zip(("xmin", "ymin", "xmax", "ymax"), (box or "").split(), strict=False)
    bndbox = "" if box is None else "<bndbox>" + "".join(f"<{k}>{v}</{k}>" for k, v in sides) + "</bndbox>"
    return f"<object><name>{name}</name>{more}{bndbox}</object>"


def xml(*things: str, filename: str = "", size: str = "") -> str:
    return f"<annotation><folder>x</folder><filename>{filename}</filename>{size}{''.join(things)}</annotation>"


def load(root: Path, yaml: str = YAML, split: str = "train", **options: Any) -> CocoSplit:
    return load_written(root, yaml, split, **options)


def test_a_data_set_in_vocs_format(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/000001.jpg", 40, 20)
    picture(tmp_path / "JPEGImages/deep/2.png", 30, 50)
    size = "<size><width>40</width><height>20</height><depth>3</depth></size>"
    part = "<part><name>head</name><bndbox><xmin>5</xmin></bndbox></part>"
    first = xml(
        thing("dog", "1 1 1 1", part),
        thing("cat", "3.5 4 12.5 20", "<difficult>1</difficult>"),
        filename="000001.jpg",
        size=size,
    )
    write(tmp_path, "Annotations/000001.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{first}')
    write(tmp_path, "Annotations/deep/2.xml", xml(thing("dog", "2 3 30 50"), filename="C:\\pics\\renamed.png"))
    split = load(tmp_path)
    assert split.classes.names == ("cat", "dog")  # sorted
    first, second = split.records
    assert first.boxes_xyxy.tolist() == [[0, 0, 1, 1], [2.5, 3, 12.5, 20]]
    assert first.labels.tolist() == [1, 0]
    assert first.crowd.tolist() == [False, True]
    assert (second.width, second.height) == (30, 50)  # those of the file, where none is stated
    assert second.boxes_xyxy.tolist() == [[1, 2, 30, 50]]
    assert (split.report.boxes, split.report.ignored, split.report.clipped) == (3, 1, 0)


def test_names_choose_classes_and_their_order(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/1.jpg")
    write(tmp_path, "Annotations/1.xml", xml(thing("dog"), thing("cat"), thing("bird")))
    split = load(tmp_path, YAML + "names: [dog, bird]\n")
    assert split.classes.names == ("dog", "bird")
    assert split.records[0].labels.tolist() == [0, 1]
    assert split.unused == {"cat": 1}
    with pytest.raises(DataError, match=r"there is no category 'dgo', which 'names' asks for; did you mean 'dog'\?"):
        load(tmp_path, YAML + "names: [dgo]\n")


def test_a_list_says_which_belong_to_a_split(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        picture(tmp_path / f"JPEGImages/a {number}.jpg")
        write(tmp_path, f"Annotations/a {number}.xml", xml(thing("dog")))
    listed = write(tmp_path, "ImageSets/Main/val.txt", "a 3\n\na 1 -1\n")
    train = load(tmp_path)
    split = load(tmp_path, split="val", like=train)
    assert [record.path.name for record in split.records] == ["a 3.jpg", "a 1.jpg"]
    assert split.report.notes == ()
    listed.write_text("a 3.xml\na 1.jpg\n")
    assert [record.path.name for record in load(tmp_path, split="val", like=train).records] == ["a 3.jpg", "a 1.jpg"]
    listed.write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt: the list is empty; write the name of one XML per line"):
        load(tmp_path, split="val", like=train)
    listed.write_text("a 3\nb\n")
    with pytest.raises(DataError, match=r"val\.txt, line 2: there is no .*Annotations/b\.xml; correct the list"):
        load(tmp_path, split="val", like=train)


def test_which_picture_an_xml_belongs_to(tmp_path: Path) -> None:
    """The one of its name; else the one that it names, wherever that lies."""
    for name in ("a.jpg", "a.png", "b.jpg", "deep/c.jpg", "alone.jpg"):
        picture(tmp_path / "JPEGImages" / name)
    for name, filename in (("a", "a.png"), ("b", "a.jpg"), ("x", "c.jpg")):
        write(tmp_path, f"Annotations/{name}.xml", xml(thing("dog"), filename=filename))
    split = load(tmp_path)
    assert [record.path.name for record in split.records] == ["a.png", "b.jpg", "c.jpg"]
    assert split.report.notes == ("2 pictures without an XML are left out",)
    write(tmp_path, "Annotations/y.xml", xml(thing("dog"), filename="c.jpg"))
    with pytest.raises(DataError, match=r"y\.xml: annotates .*c\.jpg, as .*x\.xml does; keep one of the two"):
        load(tmp_path)
    write(tmp_path, "Annotations/y.xml", xml(thing("dog"), filename="z.jpg"))
    with pytest.raises(DataError, match=r"image 'z\.jpg' \(id 4\) is not in"):
        load(tmp_path)
    write(tmp_path, "Annotations/y.xml", xml(thing("dog")))
    with pytest.raises(DataError, match=r"image 'y\.jpg' \(id 4\) is not in"):
        load(tmp_path)


def test_boxes_are_cleaned_as_those_of_coco(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/1.jpg", 40, 20)
    boxes = ("9 9 8 9", "30 10 60 30", "5 5 3 3", "nan 1 2 3", "50 50 60 60", None, "1 1 4 4", "1 1 4 4")
    write(tmp_path, "Annotations/1.xml", xml(*(thing("dog", box) for box in boxes)))
    report = load(tmp_path).report
    assert (report.boxes, report.clipped) == (2, 1)
    assert report.dropped == {
        "not finite": 1,
        "inverted": 1,
        "of no area": 1,
        "outside the image": 1,
        "listed twice": 1,
        "without a box": 1,
    }


@pytest.mark.parametrize("size", ["0 0", "x 20", "40", "inf nan", "-1 -1", "99999999999999999999 20"])
def test_a_size_of_no_use_is_that_of_the_file(tmp_path: Path, size: str) -> None:
    picture(tmp_path / "JPEGImages/1.jpg", 40, 20)
    sides = zip(("width", "height"), size.split(), strict=False)
    stated = "<size>" + "".join(f"<{key}>{value}</{key}>" for key, value in sides) + "</size>"
    write(tmp_path, "Annotations/1.xml", xml(thing("dog"), size=stated))
    assert load(tmp_path).records[0].width == 40


_BOMB = '<!DOCTYPE a [<!ENTITY b "ha">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("bcdefgh", "cdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", "broken XML: no element found: line 1, column 20; export the annotations again"),
        ("", "broken XML: no element found"),
        ("{}", "broken XML: not well-formed"),
        ("<a/>", "is no Pascal VOC: it begins with <a>, not <annotation>"),
        (
            _BOMB + "]><annotation><object><name>&i;</name></object></annotation>",
            "broken XML: it declares a document type, <!DOC",
        ),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "it declares a document type"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "cannot be read as XML: unknown encoding"),
        ('<?xml version="1.0" encoding="gbk"?><annotation/>', "cannot be read as XML: multi-byte encodings are not"),
        (xml("<object/>"), "object 1 has no <name>; add it"),
        (xml(thing("dog"), thing("cat", "1 2 3")), "object 2 ('cat'): its <bndbox> needs <xmin>, <ymin>, <xmax>, <ym"),
        (xml(thing("cat", "1 2 3 x")), "object 1 ('cat'): its <bndbox> needs"),
    ],
)
def test_xml_that_is_refused(tmp_path: Path, text: str, message: str) -> None:
    picture(tmp_path / "JPEGImages/1.jpg")
    file = write(tmp_path, "Annotations/1.xml", text)
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_size_that_the_file_does_not_have_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/1.jpg", 40, 20)
    size = "<size><width>20</width><height>40</height></size>"
    write(tmp_path, "Annotations/1.xml", xml(thing("dog"), size=size))
    with pytest.raises(DataError, match=r"is 20x40 there, but .*1\.jpg has 40x20 pixels"):
        load(tmp_path)


def test_folders_without_what_they_should_hold(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(DataError, match="Annotations: no XML in this folder"):
        load(tmp_path)
    write(tmp_path, "Annotations/1.xml", xml(thing("dog")))
    with pytest.raises(DataError, match="JPEGImages: no such folder of images"):
        load(tmp_path)
    picture(tmp_path / "JPEGImages/1.jpg")
    write(tmp_path, "Annotations/1.xml", xml())
    with pytest.raises(DataError, match="Annotations: there is no class; annotate objects"):
        load(tmp_path)


def test_a_change_of_an_xml_is_seen(tmp_path: Path, cache_folder: Path) -> None:
    picture(tmp_path / "JPEGImages/1.jpg")
    write(tmp_path, "Annotations/1.xml", xml(thing("dog")))
    assert load(tmp_path, cache=True).report.boxes == 1
    assert load(tmp_path, cache=True).report.boxes == 1
    write(tmp_path, "Annotations/1.xml", xml(thing("dog"), thing("cat")))
    assert load(tmp_path, cache=True).report.boxes == 2
