"""Figures worked out by hand, and pycocotools used the official way, beside our wrapper of it."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.errors import EngineError
from engine.metrics.coco import FIGURES, GroundTruth, class_table, figures_table
from files.classes import Classes
from tests import places
from tests.engine.metrics.measured import coco_average_precision

BCCD = places.BCCD / "annotations" / "instances_val.json"
HALF_FOUND = 51 / 101  # AP of a class of which the first half is found: recall points 0 to 0.5 have precision 1


def coco(boxes, categories=((7, "cat"), (3, "dog"))):
    """`boxes`: (image id, category id, (x, y, w, h), further fields)."""
    return {
        "images": [{"id": number, "width": 200, "height": 200} for number in (1001, 1002)],
        "categories": [{"id": number, "name": name} for number, name in categories],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": list(box), **fields}
            for number, (image, category, box, fields) in enumerate(boxes)
        ],
    }


def detection(image, category, box, score=0.9):
    return {"image_id": image, "category_id": category, "bbox": list(box), "score": score}


def test_perfect_detections_of_odd_ids_and_missing_fields():
    # the first annotation has id 0, ids of images and categories are neither small nor in order
    content = coco([(1001, 7, (10, 10, 50, 50), {}), (1002, 3, (0, 0, 20, 20), {}), (1002, 7, (90, 90, 99, 99), {})])
    found = [detection(a["image_id"], a["category_id"], a["bbox"]) for a in content["annotations"]]
    metrics = coco_average_precision(content, found)
    assert set(metrics.figures) == set(FIGURES)
    assert {name: value for name, value in metrics.figures.items() if value != pytest.approx(1)} == {}
    assert [(c.name, c.images, c.instances, c.ap) for c in metrics.classes] == [
        ("cat", 2, 2, pytest.approx(1)),
        ("dog", 1, 1, pytest.approx(1)),
    ]
    np.testing.assert_allclose(metrics.precision50, np.ones((2, 101)))


def test_average_precision_by_hand():
    content = coco([(1001, 7, (0, 0, 50, 50), {}), (1001, 7, (100, 100, 50, 50), {}), (1002, 3, (0, 0, 9, 9), {})])
    found = [
        detection(1001, 7, (0, 0, 50, 50), 0.9),
        detection(1001, 7, (50, 50, 40, 40), 0.8),  # false alarm
        detection(1001, 7, (100, 100, 50, 30), 0.7),  # IoU 0.6: counts at 0.50, 0.55 and 0.60
    ]
    metrics = coco_average_precision(content, found)
    cat50 = (51 * 1 + 50 * 2 / 3) / 101
    assert metrics.classes[0].ap50 == pytest.approx(cat50)
    assert metrics.classes[0].ap == pytest.approx((3 * cat50 + 7 * HALF_FOUND) / 10)
    assert metrics.ap50 == pytest.approx(cat50 / 2)  # no dog was found
    assert metrics.figures["AP75"] == pytest.approx(HALF_FOUND / 2)
    assert metrics.figures["AR1"] == pytest.approx(0.25)


def test_a_crowd_is_neither_a_miss_nor_a_false_alarm():
    content = coco([(1001, 7, (0, 0, 20, 20), {}), (1001, 7, (100, 100, 90, 90), {"iscrowd": 1})])
    single = detection(1001, 7, (0, 0, 20, 20), 0.5)
    in_crowd = [detection(1001, 7, (100 + 10 * i, 110, 20, 20), 0.9) for i in range(5)]
    assert coco_average_precision(content, [single]).ap == pytest.approx(1)
    metrics = coco_average_precision(content, [*in_crowd, single])
    assert metrics.ap == pytest.approx(1)
    assert (metrics.classes[0].images, metrics.classes[0].instances) == (1, 1)


def test_a_box_of_no_area_is_a_miss_and_one_without_meaning_is_left_out():
    good = (1001, 7, (0, 0, 20, 20), {})
    found = [detection(1001, 7, (0, 0, 20, 20))]
    assert coco_average_precision(coco([good, (1001, 7, (60, 60, 0, 0), {})]), found).ap == pytest.approx(HALF_FOUND)
    for box in ((60, 60, -5, 9), (60, 60, math.nan, 9), (math.inf, 0, 1, 1)):
        assert coco_average_precision(coco([good, (1001, 7, box, {})]), found).ap == pytest.approx(1)


def test_sizes_go_by_the_stated_area_else_by_the_box():
    content = coco([(1001, 7, (0, 0, 40, 40), {"area": 100.0}), (1002, 7, (0, 0, 40, 40), {"area": None})])
    metrics = coco_average_precision(content, [detection(1001, 7, (0, 0, 40, 40))])
    assert metrics.figures["APs"] == pytest.approx(1)
    assert metrics.figures["APm"] == pytest.approx(0)
    assert math.isnan(metrics.figures["APl"])


def test_without_detections_everything_is_zero_and_absent_classes_are_undefined():
    metrics = coco_average_precision(coco([(1001, 3, (0, 0, 200, 20), {})]), [])
    assert metrics.ap == metrics.ap50 == metrics.figures["AR100"] == 0
    assert metrics.classes[1].ap == 0
    assert math.isnan(metrics.classes[0].ap)
    rows = class_table(metrics).splitlines()
    assert rows[2].split() == ["all", "2", "1", "0.000", "0.000"]
    assert rows[3].split() == ["cat", "0", "0", "-", "-"]
    assert "APl" in figures_table(metrics)


def test_without_annotations_every_figure_is_undefined():
    metrics = coco_average_precision(coco([]), [detection(1001, 7, (0, 0, 9, 9))])
    assert all(map(math.isnan, metrics.figures.values()))


def test_classes_keep_the_order_and_the_images_that_were_asked_for():
    content = coco([(1001, 7, (0, 0, 20, 20), {}), (1002, 3, (0, 0, 20, 20), {})])
    truth = GroundTruth(content, image_ids=[1001], classes=Classes(("Cat", "Dog"), (7, 3)))
    metrics = truth.measure([detection(1001, 7, (0, 0, 20, 20))])
    assert [(c.name, c.instances) for c in metrics.classes] == [("Cat", 1), ("Dog", 0)]
    assert metrics.classes[0].ap == pytest.approx(1)
    assert metrics.images == 1


@pytest.mark.parametrize("wrong", [{"image_id": 5}, {"category_id": 5}])
def test_detections_of_unknown_ids_are_refused(wrong):
    found = {**detection(1001, 7, (0, 0, 9, 9)), **wrong}
    with pytest.raises(EngineError, match=rf"{next(iter(wrong))} 5 is not in the annotations"):
        coco_average_precision(coco([(1001, 7, (0, 0, 9, 9), {})]), [found])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": []}', "[" * 100_000])
def test_a_file_that_is_no_coco_json_is_refused(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(EngineError, match=r"broken\.json") as error:
        coco_average_precision(path, [])
    assert "\n" not in str(error.value)


def jittered_detections(content, seed=0):
    random = np.random.default_rng(seed)
    found = []
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        for _ in range(random.integers(0, 3)):
            dx, dy, dw, dh = random.normal(0, 0.1, 4)
            box = (x + dx * w, y + dy * h, w * math.exp(dw), h * math.exp(dh))
            category = annotation["category_id"] if random.random() < 0.9 else int(random.integers(1, 4))
            found.append(detection(annotation["image_id"], category, box, float(random.random())))
    return found


@pytest.mark.skipif(not BCCD.is_file(), reason="shared/datasets/bccd is not here")
def test_equals_pycocotools_used_directly_on_real_annotations(capsys):
    content = json.loads(BCCD.read_text())
    found = jittered_detections(content)
    before = copy.deepcopy(found)
    truth = GroundTruth(BCCD)
    first, second = truth.measure(found), truth.measure(found)
    assert capsys.readouterr().out == ""
    assert found == before
    assert first.figures == second.figures

    official = COCO(str(BCCD))
    evaluation = COCOeval(official, official.loadRes(copy.deepcopy(found)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert list(first.figures.values()) == pytest.approx(list(evaluation.stats))
    assert 0.1 < first.ap < 0.9
