"""`ignore: [DontCare]`: boxes of these categories are regions in which nothing is right or wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.coco.records import CocoSplit, load_split
from data.config import load_dataset_config
from data.errors import DataError
from data.loading.loader import build_loader
from engine.targets import targets_of
from engine.training.same_data import contents_of
from engine.training.setup import box_sizes
from tests.data.conftest import Folder

IGNORE = "ignore: [DontCare]\n"


def load(folder: Folder, more: str = IGNORE, split: str = "train", **options: Any) -> CocoSplit:
    annotations, images = folder.write()
    entry = f"{{images: {images}, annotations: {annotations}}}"
    file = folder.root / "data.yaml"
    file.write_text(f"train: {entry}\nval: {entry}\n{more}")
    config = load_dataset_config(file)
    return load_split(config.source(split), config.settings(), **options)


@pytest.fixture
def regions(folder: Folder) -> Folder:
    """Regions in image 3 (32x64, twice the same, then one outside of it) and image 5 (60x40)."""
    folder.category(9, "DontCare")
    folder.box(3, 9, [20, 40, 30, 10])
    folder.box(5, 9, [30, 0, 30, 40])
    folder.box(3, 9, [20, 40, 30, 10])
    folder.box(3, 9, [100, 100, 5, 5])
    folder.box(3, 9, [1, 2, 3, 4])
    return folder


def test_boxes_of_a_category_to_be_ignored_are_regions(regions: Folder) -> None:
    for cached in (False, True, True):
        split = load(regions, cache=cached)
        assert split.classes.names == ("dog", "cat")
        assert split.unused == {}
        assert [record.image_id for record in split.records] == [5, 3, 12]
        assert split.records[0].regions_xyxy.tolist() == [[30, 0, 60, 40]]
        assert split.records[1].regions_xyxy.tolist() == [[20, 40, 32, 50], [1, 2, 4, 6]]
        assert len(split.records[2].regions_xyxy) == 0
        assert [len(record.labels) for record in split.records] == [2, 1, 0]
        report = split.report
        assert (report.boxes, report.regions, report.clipped) == (3, 3, 1)
        assert report.dropped == {"outside the image": 1, "listed twice": 1}
        assert "; 3 regions to ignore" in report.summary()
    assert len(box_sizes(split, 64)) == 3, "anchors are fitted to objects alone"


def test_a_training_knows_its_data_by_them_too(regions: Folder) -> None:
    before = load(regions)
    regions.document["annotations"][-1]["bbox"] = [1, 2, 3, 5]
    after = load(regions)
    assert contents_of(before, before) == contents_of(before, before)
    assert contents_of(before, before) != contents_of(before, after)


def test_without_ignore_they_are_a_class(regions: Folder) -> None:
    assert load(regions, "").classes.names == ("dog", "DontCare", "cat")


def test_one_name_or_none(regions: Folder) -> None:
    assert load(regions, "ignore: DontCare\n").report.regions == 3
    assert load(regions, "ignore:\n").report.regions == 0
    with pytest.raises(DataError, match=r"data\.yaml, line 3: ignore\.0: 7: must be a text; put it in quotes"):
        load(regions, "ignore: [7]\n")


def test_names_may_list_them_too(regions: Folder) -> None:
    assert load(regions, IGNORE + "names: [cat, DontCare, dog]\n").classes.names == ("cat", "dog")


def test_a_name_that_is_not_there(regions: Folder) -> None:
    with pytest.raises(DataError, match=r"no category 'DontKare', which 'ignore' asks for; did you mean 'DontCare'\?"):
        load(regions, "ignore: [DontKare]")
    with pytest.raises(DataError, match="there is no class beside those of 'ignore'"):
        load(regions, "ignore: [DontCare, cat, dog]")


def test_the_second_split_may_lack_the_category(folder: Folder, regions: Folder) -> None:
    train = load(regions)
    regions.document["categories"].pop()
    regions.document["annotations"] = [each for each in folder.document["annotations"] if each["category_id"] != 9]
    assert load(regions, split="val", like=train).report.regions == 0


def test_a_detector_may_have_it_as_a_class(regions: Folder) -> None:
    """One that was trained before it was to be ignored."""
    trained = load(regions, "")
    split = load(regions, like=trained.classes)
    assert split.classes.names == ("dog", "DontCare", "cat")
    assert (split.report.boxes, split.report.regions) == (3, 3)
    assert 1 not in np.concatenate([record.labels for record in split.records])


@pytest.mark.parametrize("augment", [None, {"mosaic": 0.0, "scale": 0.0, "translate": 0.0, "fliplr": 0.0}])
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_regions_reach_the_loss(regions: Folder, augment: dict[str, float] | None, workers: int) -> None:
    (batch,) = build_loader(load(regions), imgsz=64, batch_size=3, augment=augment, workers=workers)
    targets = targets_of(batch, torch.device("cpu"))
    assert targets.ignore[:, 0].tolist() == [0, 1, 1]
    # Image 5 is 60x40, enlarged to 64x43 and put into the middle of 64x64; image 3 is 32x64.
    enlarged = 64 / 60
    expected = torch.tensor([[45 * enlarged, 32, 30 * enlarged, 43], [16 + 26, 45, 12, 10], [16 + 2.5, 4, 3, 4]]) / 64
    torch.testing.assert_close(targets.ignore[:, 1:], expected, atol=0.012, rtol=0)
    assert len(targets.boxes) == 3


def test_the_other_formats(tmp_path: Path, folder: Folder) -> None:
    """What is ignored goes by name, whatever the format."""
    (tmp_path / "labels").mkdir()
    image = folder.images / "005.png"
    label = folder.root / "labels/005.txt"
    label.parent.mkdir()
    label.write_text("1 .5 .5 .5 .5\n0 .5 .5 .1 .1\n")
    xml = folder.root / "xml/005.xml"
    xml.parent.mkdir()
    box = "<bndbox><xmin>16</xmin><ymin>11</ymin><xmax>45</xmax><ymax>30</ymax></bndbox>"
    cat = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
    objects = f"<object><name>DontCare</name>{box}</object><object><name>cat</name>{cat}</object>"
    xml.write_text(f"<annotation>{objects}</annotation>")
    for entry in ("images", "{images: images, annotations: xml}"):
        file = folder.root / "other.yaml"
        names = "names: [cat, DontCare]\n" if entry == "images" else ""
        file.write_text(f"train: {entry}\nval: {entry}\n{names}{IGNORE}")
        config = load_dataset_config(file)
        split = load_split(config.source("train"), config.settings(), cache=False)
        assert split.classes.names == ("cat",)
        record = next(record for record in split.records if record.path == image)
        assert record.regions_xyxy.tolist() == [[15, 10, 45, 30]]
        assert record.labels.tolist() == [0]
