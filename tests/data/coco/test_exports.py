"""What other programs export as COCO, as it comes."""

from __future__ import annotations

from data.coco.records import load_coco, load_split
from data.coco.source import CocoFile, ScanSettings
from tests.data.conftest import Folder


def test_a_root_without_boxes_is_no_class(folder: Folder) -> None:
    """Roboflow writes the project's name as category 0, which stands above all others."""
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
