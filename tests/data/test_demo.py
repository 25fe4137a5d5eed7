"""The demo data set: the same bytes every time, valid COCO, boxes that fit what is seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from data import demo
from data.config import load_dataset_config
from data.errors import DataError
from files.cache import VARIABLE


def _contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_two_builds_give_the_same_bytes_and_splits_differ(few_demo_pictures: None, tmp_path: Path) -> None:
    demo.ensure_demo_dataset(tmp_path / "a")
    demo.ensure_demo_dataset(tmp_path / "b")
    first = _contents(tmp_path / "a")
    assert len(first) == 6 + 4 + 2 + 1
    assert first == _contents(tmp_path / "b")
    assert len({value for name, value in first.items() if name.endswith(".jpg")}) == 10


def test_a_finished_set_is_left_alone_and_a_damaged_one_drawn_again(few_demo_pictures: None, tmp_path: Path) -> None:
    config = demo.ensure_demo_dataset(tmp_path / "set")
    picture = tmp_path / "set/images/val/val_0001.jpg"
    before = picture.stat().st_mtime_ns
    demo.ensure_demo_dataset(tmp_path / "set")
    assert picture.stat().st_mtime_ns == before
    expected = picture.read_bytes()
    picture.unlink()
    assert demo.ensure_demo_dataset(tmp_path / "set") == config
    assert picture.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["set"], "no temporary folder stays behind"


def test_a_folder_with_other_things_is_refused_and_kept(few_demo_pictures: None, tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="something other than the demo"):
        demo.ensure_demo_dataset(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_an_interrupted_build_leaves_nothing(
    few_demo_pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_copy_config", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.ensure_demo_dataset(tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_it_is_valid_coco_with_a_yaml_beside_it(few_demo_pictures: None, tmp_path: Path) -> None:
    config_path = demo.ensure_demo_dataset(tmp_path / "set")
    config = yaml.safe_load(config_path.read_text())
    root = config_path.parent
    for split, count in (("train", 6), ("val", 4)):
        coco = COCO(str(root / config[split]["annotations"]))
        assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(demo.CLASS_NAMES)
        assert len(coco.imgs) == count
        assert len(coco.anns) == len(coco.dataset["annotations"]) > 0
        for image in coco.dataset["images"]:
            pixels = cv2.imread(str(root / config[split]["images"] / image["file_name"]))
            assert pixels.shape == (image["height"], image["width"], 3)
            for annotation in coco.imgToAnns[image["id"]]:
                x, y, w, h = annotation["bbox"]
                assert 0 <= x < x + w <= image["width"]
                assert 0 <= y < y + h <= image["height"]
                assert 0 < annotation["area"] <= w * h


@pytest.mark.parametrize("name", ["demo", "demo.yaml", demo.CONFIG, ""])
def test_it_is_drawn_in_the_cache_folder_under_every_name(
    name: str | Path, few_demo_pictures: None, cache_folder: Path
) -> None:
    """As a path the YAML stands in checkpoints that were written before the pictures went to the cache folder."""
    config = load_dataset_config(name or demo.ensure_demo_dataset())
    assert config.file == demo.default_root() / "demo.yaml"
    assert cache_folder in config.file.parents
    assert len(list(config.train.images.iterdir())) == 6
    assert config.val.annotations.is_file()
    assert (config.imgsz, config.epochs, config.batch_size, config.optimizer) == (128, 20, 16, "AdamW")


def test_defaults_that_a_person_changes_reach_the_copy(few_demo_pictures: None, tmp_path: Path) -> None:
    copy = demo.ensure_demo_dataset(tmp_path / "set")
    assert copy.read_bytes() == demo.CONFIG.read_bytes()
    copy.write_text("epochs: 1\n")
    assert demo.ensure_demo_dataset(tmp_path / "set").read_bytes() == demo.CONFIG.read_bytes()


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DataError, match=f"demo-v1: the demo data set cannot be written .*: {VARIABLE}"):
        load_dataset_config("demo")


@pytest.mark.parametrize("seed", range(20))
def test_boxes_are_tight_around_objects_that_stay_visible(seed: int) -> None:
    image, shapes = demo.draw_scene(np.random.default_rng(seed))
    assert image.dtype == np.uint8
    assert image.shape[:2] in demo.IMAGE_SIZES_HW
    hidden = np.zeros(image.shape[:2], bool)
    for shape in reversed(shapes):
        x, y, w, h = shape.box_xywh
        rows, columns = np.nonzero(shape.coverage >= 0.5)
        assert (x, y, x + w - 1, y + h - 1) == (columns.min(), rows.min(), columns.max(), rows.max())
        seen = (shape.mask & ~hidden).sum() / shape.full_area
        assert seen >= 1 - demo.MAX_OCCLUSION
        hidden |= shape.mask


def test_the_box_of_an_unrotated_square_is_where_its_corners_are() -> None:
    corners = np.array([(10, 20), (50, 20), (50, 60), (10, 60)], float)
    shape = demo._rasterise(2, corners, height=100, width=90)
    assert shape.box_xywh == (10, 20, 40, 40)
    assert shape.full_area == 1600
    cut = demo._rasterise(2, corners - np.array((30, 0)), height=100, width=90)
    assert cut.box_xywh == (0, 20, 20, 40)


def test_a_shape_hidden_for_the_greater_part_is_left_out() -> None:
    square = np.array([(10, 10), (50, 10), (50, 50), (10, 50)], float)
    below = demo._rasterise(2, square, 80, 80)
    assert demo._visible([below, demo._rasterise(0, square + np.array((5, 0)), 80, 80)])[0].label == 0
    kept = demo._visible([below, demo._rasterise(0, square + np.array((20, 0)), 80, 80)])
    assert [shape.label for shape in kept] == [2, 0]


def test_scenes_are_learnable_and_varied() -> None:
    scenes = [demo.draw_scene(np.random.default_rng((9, index)))[1] for index in range(60)]
    sides = [max(shape.box_xywh[2:]) for shapes in scenes for shape in shapes]
    assert {shape.label for shapes in scenes for shape in shapes} == set(range(len(demo.CLASS_NAMES)))
    assert max(map(len, scenes)) > 3
    assert min(sides) >= 10
    assert min(sides) < 24 < 64 < max(sides)
