"""The demo data set: the same bytes every time, valid COCO, boxes that fit what is seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from data import demo
from data.errors import DataError


@pytest.fixture
def small_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SPLITS", {"train": (6, 0), "val": (4, 1)})


def _contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_two_builds_give_the_same_bytes_and_splits_differ(small_splits: None, tmp_path: Path) -> None:
    demo.ensure_demo_dataset(tmp_path / "a")
    demo.ensure_demo_dataset(tmp_path / "b")
    first = _contents(tmp_path / "a")
    assert len(first) == 6 + 4 + 2 + 1
    assert first == _contents(tmp_path / "b")
    assert len({value for name, value in first.items() if name.endswith(".jpg")}) == 10


def test_a_finished_set_is_left_alone_and_a_damaged_one_drawn_again(small_splits: None, tmp_path: Path) -> None:
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


def test_a_folder_with_other_things_is_refused_and_kept(small_splits: None, tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="something other than the demo"):
        demo.ensure_demo_dataset(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_an_interrupted_build_leaves_nothing(
    small_splits: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_write_config", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.ensure_demo_dataset(tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_it_is_valid_coco_with_a_yaml_beside_it(small_splits: None, tmp_path: Path) -> None:
    config_path = demo.ensure_demo_dataset(tmp_path / "set")
    config = yaml.safe_load(config_path.read_text())
    root = config_path.parent / config["path"]
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


def test_the_committed_yaml_points_at_the_default_folder() -> None:
    config = yaml.safe_load(demo.CONFIG.read_text())
    assert (demo.CONFIG.parent / config["path"]).resolve() == demo.DEFAULT_ROOT.resolve()
    assert {"imgsz", "epochs", "batch_size"} <= config.keys()


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
