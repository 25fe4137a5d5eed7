"""What the sheet shows, as numbers: sizes at the network's input, centres, shares, and which pictures and boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.coco.records import CocoSplit, ImageRecord, ScanReport, load_coco
from data.sheet.facts import left_out, sampled, split_facts
from files.classes import Classes


def by_hand(folder: Any) -> CocoSplit:
    """The same split with records in a tuple, as other code may make them."""
    split = load_coco(*folder.write(), cache=False)
    return CocoSplit(tuple(split.records), split.classes, split.annotations, split.report)


@pytest.mark.parametrize("make", [lambda folder: load_coco(*folder.write(), cache=False), by_hand])
def test_objects_worked_by_hand(folder: Any, make: Any) -> None:
    folder.box(3, 7, [0, 0, 5, 5], iscrowd=1)
    facts = split_facts("train", make(folder), imgsz=128)
    # images 5 (60 x 40), 3 (32 x 64), 12; classes dog (id 7) and cat (id 30)
    assert facts.images.tolist() == [0, 0, 1]
    assert facts.labels.tolist() == [1, 0, 0]
    assert facts.counts.tolist() == [2, 1]
    assert facts.shares.tolist() == pytest.approx([2 / 3, 1 / 3])
    scale = 128 / 60
    np.testing.assert_allclose(facts.sides_wh, [[128, 40 * scale], [20 * scale, 10 * scale], [20, 40]])
    np.testing.assert_allclose(facts.sizes**2, facts.sides_wh.prod(1))
    np.testing.assert_allclose(facts.centres_xy, [[0.5, 0.5], [20.5 / 60, 10.25 / 40], [7 / 32, 14 / 64]])


def test_a_split_without_objects(folder: Any) -> None:
    folder.document["annotations"] = []
    facts = split_facts("val", load_coco(*folder.write(), cache=False), imgsz=640)
    assert facts.sides_wh.shape == facts.centres_xy.shape == (0, 2)
    assert facts.shares.tolist() == [0, 0]
    assert len(sampled(facts, 8, np.random.default_rng(0))) == 3, "pictures without boxes, where there are no others"


def test_what_was_left_out_is_shown_of_every_reason_and_dropped_boxes_first(folder: Any) -> None:
    for box in ([0, 0, 0, 5], [0, 0, -5, 5], [30, 30, 9, 99], [1, 1, 0, 6], [float("nan"), 1, 1, 1], [99, 99, 5, 5]):
        folder.box(3, 7, box)
    split = load_coco(*folder.write(), cache=False)
    shown = left_out(split, 5, np.random.default_rng(0))
    assert [what.reason for what in shown] == [
        "not finite",
        "inverted",
        "of no area",
        "outside the image",
        "clipped to the image",
    ]
    assert shown[1].box_xywh == (0, 0, -5, 5)
    assert (shown[1].annotation_id, shown[1].image, shown[1].label) == (5, 1, 0)
    assert len(left_out(split, 99, np.random.default_rng(0))) == 6
    assert left_out(split, 0, np.random.default_rng(0)) == []
    assert left_out(by_hand(folder), 5, np.random.default_rng(0)) == [], "nobody knows"


def test_rare_classes_are_among_the_pictures() -> None:
    records = [
        ImageRecord(
            *(index, Path(f"{index}.jpg"), 10, 10, np.array([[1, 1, 5, 5]], np.float32)),
            *(np.array([1 if index == 77 else 0]), np.zeros(1, bool)),
        )
        for index in range(100)
    ]
    split = CocoSplit(
        tuple(records), Classes.of(["many", "rare", "none"]), Path("a.json"), ScanReport(100, 100, 0, 0, 0)
    )
    facts = split_facts("train", split, 640)
    for seed in range(5):
        chosen = sampled(facts, 8, np.random.default_rng(seed))
        assert chosen[0] == 77
        assert len(set(chosen)) == 8
    assert sampled(facts, 8, np.random.default_rng(1)) == sampled(facts, 8, np.random.default_rng(1))
