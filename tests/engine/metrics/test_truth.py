"""One truth: what training learns from is what figures are measured against, and the file's own figures are at hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.coco.records import CocoSplit, load_coco
from data.config import load_dataset_config
from engine.metrics.coco import CocoEvaluator, CocoMetrics
from tests.engine.metrics.measured import coco_average_precision
from tests.places import SHARED

CASES = SHARED / "cases"
SIDE = 100  # pixels of the pictures here


def write(root: Path, boxes: Sequence[tuple[int, Sequence[float], dict[str, Any]]], images: int = 2) -> Path:
    """A COCO file on grey pictures; a box is (image index, bbox, further fields)."""
    for number in range(images):
        cv2.imwrite(str(root / f"{number}.png"), np.full((SIDE, SIDE, 3), 10 * number, np.uint8))
    content = {
        "images": [{"id": 50 - n, "file_name": f"{n}.png", "width": SIDE, "height": SIDE} for n in range(images)],
        "categories": [{"id": 2, "name": "dog"}, {"id": 4, "name": "cat"}],
        "annotations": [
            {"id": 70 + number, "image_id": 50 - image, "category_id": 4, "bbox": list(box), **fields}
            for number, (image, box, fields) in enumerate(boxes)
        ],
    }
    file = root / "all.json"
    file.write_text(json.dumps(content))
    return file


def load(root: Path, *arguments: Any, **options: Any) -> CocoSplit:
    return load_coco(write(root, *arguments), root, cache=False, **options)


def own_boxes(split: CocoSplit) -> list[dict[str, Any]]:
    """The loader's boxes as detections."""
    return [
        {
            "image_id": record.image_id,
            "category_id": split.classes.ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": 0.9,
        }
        for record in split.records
        for (x1, y1, x2, y2), label, crowd in zip(
            record.boxes_xyxy.tolist(), record.labels.tolist(), record.crowd.tolist(), strict=True
        )
        if not crowd
    ]


def assert_equal(first: CocoMetrics, second: CocoMetrics) -> None:
    np.testing.assert_array_equal([*first.figures.values()], [*second.figures.values()])
    np.testing.assert_array_equal(first.precision50, second.precision50)
    assert repr(first.classes) == repr(second.classes)  # nan is not equal to itself


MISTAKES: dict[str, tuple[int, Sequence[float], dict[str, Any]]] = {
    "of no area": (0, (0, 0, 0, 0), {}),
    "outside the image": (0, (SIDE, 3, 9, 9), {}),
    "clipped to the image": (0, (-30, -30, 60, 60), {}),
    "listed twice": (0, (20, 20, 30, 30), {}),
    "marked to be ignored": (1, (60, 60, 20, 20), {"ignore": 1}),
}
SOUND: Sequence[tuple[int, Sequence[float], dict[str, Any]]] = [
    (0, (20, 20, 30, 30), {}),
    (1, (1, 2, 40.25, 50), {"area": 77.0}),
    (1, (50, 50, 45, 45), {"iscrowd": 1}),
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_own_boxes_reach_1_and_a_mistake_shows_in_the_second_figure_alone(tmp_path: Path, mistake: str) -> None:
    split = load(tmp_path, [*SOUND, MISTAKES[mistake]])
    evaluator = CocoEvaluator(split)
    found = own_boxes(split)
    assert evaluator.measure(found).ap == pytest.approx(1)
    assert evaluator.differences == f"1 {mistake} (annotation 73)"
    filed = evaluator.as_filed().measure(found)
    assert filed.ap < 0.95
    assert_equal(filed, coco_average_precision(tmp_path / "all.json", found))


def test_without_mistakes_both_truths_are_the_file(tmp_path: Path) -> None:
    split = load(tmp_path, SOUND)
    evaluator = CocoEvaluator(split)
    assert evaluator.differences == ""
    found = [{**detection, "bbox": [value + 1.5 for value in detection["bbox"]]} for detection in own_boxes(split)]
    measured = evaluator.measure(found)
    assert 0 < measured.ap < 1
    assert_equal(measured, evaluator.as_filed().measure(found))
    assert_equal(measured, coco_average_precision(tmp_path / "all.json", found))


# Eighths of pixels: the corners of a box of a millionth of a pixel are lost in the 32 bits of training.
numbers = st.integers(-160, 1040).map(lambda eighths: eighths / 8) | st.sampled_from([0, 100, math.nan, 1e30])
fields = st.fixed_dictionaries(
    {},
    optional={
        "area": st.none() | st.floats(0, 2000) | st.just("big"),
        "iscrowd": st.integers(0, 1),
        "ignore": st.none() | st.booleans(),
    },
)


@settings(max_examples=20, deadline=None)
@given(boxes=st.lists(st.tuples(st.integers(0, 1), st.tuples(*[numbers] * 4), fields), max_size=8))
def test_any_boxes(tmp_path_factory: pytest.TempPathFactory, boxes: list[Any]) -> None:
    """Own boxes are perfect, and the file as it is gives what it always gave."""
    root = tmp_path_factory.mktemp("set")
    # One sound box, since a file of small boxes alone looks like fractions.
    split = load(root, [(0, (10, 10, 50, 50), {}), *boxes])
    evaluator = CocoEvaluator(split)
    found = own_boxes(split)
    measured = evaluator.measure(found)
    # Boxes that lie upon each other, or inside a crowd, may be found by each other's detection.
    assert measured.figures["AR100"] == pytest.approx(1)
    assert_equal(evaluator.as_filed().measure(found), coco_average_precision(root / "all.json", found))
    legacy = load(root, [(0, (10, 10, 50, 50), {}), *boxes], legacy=True)
    assert_equal(CocoEvaluator(legacy, as_filed=True).measure(found), evaluator.as_filed().measure(found))


def test_a_box_keeps_its_stated_area_unless_it_is_clipped(tmp_path: Path) -> None:
    split = load(tmp_path, [(0, (10, 10, 50, 50), {"area": 5.0}), (1, (90, 90, 50, 50), {"area": 5000.0})])
    assert split.table is not None
    truth = split.table.scanned()
    assert truth.areas.tolist() == [5.0, 100.0]
    assert truth.boxes_xywh.tolist() == [[10, 10, 50, 50], [90, 90, 10, 10]]
    assert split.table.as_filed().areas.tolist() == [5.0, 5000.0]


def test_an_unchanged_box_is_the_files_own_number(tmp_path: Path) -> None:
    """33.3 is another number in the 32 bits of training."""
    split = load(tmp_path, [(0, (33.3, 10, 20, 20), {})])
    assert split.table is not None
    assert split.table.scanned().boxes_xywh[0, 0] == 33.3
    assert float(split.records[0].boxes_xyxy[0, 0]) != 33.3


@pytest.mark.parametrize(("number", "images"), [(100, 0), (120, 1)])
def test_more_objects_than_coco_counts(tmp_path: Path, number: int, images: int) -> None:
    boxes = [(0, (8 * (k % 12), 8 * (k // 12), 7, 7), {}) for k in range(number)]
    # What the classes share does not count together, nor do crowds.
    others = [(1, (8 * (k % 12), 8 * (k // 12), 7, 7), {"category_id": 2 + k % 2 * 2}) for k in range(150)]
    crowds = [(0, (0, 90, 5, 1 + k), {"iscrowd": 1}) for k in range(5)]
    split = load(tmp_path, [*boxes, *others, *crowds])
    evaluator = CocoEvaluator(split)
    assert evaluator.crowded_images == images
    found = own_boxes(split)
    plain, more = evaluator.measure(found), evaluator.measure(found, max_det=300)
    assert plain.at_max_det == {}
    assert_equal(plain, more)
    assert (more.max_det, more.at_max_det) == (300, {"AP": pytest.approx(1), "AR": pytest.approx(1)})
    assert (plain.ap < 0.99) == (images > 0)


@pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not here")
@pytest.mark.parametrize(("case", "filed"), [("01", 0.581), ("12", 0.701)])
def test_cases_of_people(case: str, filed: float) -> None:
    config = load_dataset_config(CASES / case / "data.yaml")
    split = load_coco(config.val.annotations, config.val.images, cache=False)
    evaluator = CocoEvaluator(split)
    found = own_boxes(split)
    assert evaluator.measure(found).ap == pytest.approx(1)
    assert evaluator.as_filed().measure(found).ap == pytest.approx(filed, abs=1e-3)
