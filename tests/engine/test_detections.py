"""Detections: checked when made, and handed to supervision as they are."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.detections import Detections
from engine.errors import EngineError


def some(**changes: Any) -> Detections:
    arrays: dict[str, Any] = {
        "xyxy": np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.float32),
        "confidence": np.array([0.9, 0.5], np.float32),
        "class_id": np.array([1, 0]),
        "data": {"class_name": np.array(["dog", "cat"])},
    }
    return Detections(**(arrays | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xyxy": np.zeros((2, 5), np.float32)}, "xyxy, confidence and class_id must be"),
        ({"confidence": np.zeros(1, np.float32)}, "xyxy, confidence and class_id must be"),
        ({"class_id": np.zeros((2, 1), np.int64)}, "xyxy, confidence and class_id must be"),
        ({"class_id": np.zeros(2, np.float32)}, "class_id must be whole numbers, got float32"),
        ({"tracker_id": np.zeros(3, np.int64)}, "tracker_id must have an entry for each of 2 boxes, got 3"),
        ({"data": {"class_name": np.array(["dog"])}}, "class_name must have an entry for each of 2 boxes, got 1"),
    ],
)
def test_they_are_checked_when_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        some(**changes)


def test_supervision_gets_every_field_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=SimpleNamespace))
    found = some()
    given = vars(found.to_supervision())
    assert given == {
        "xyxy": found.xyxy,
        "confidence": found.confidence,
        "class_id": found.class_id,
        "tracker_id": None,
        "data": found.data,
    }


def test_without_supervision_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(EngineError, match=r"^the package supervision is not installed; run: pip install supervision$"):
        some().to_supervision()


@pytest.mark.parametrize("count", [0, 2])
def test_the_real_supervision_takes_them(count: int) -> None:
    supervision = pytest.importorskip("supervision")
    found = some()
    part = Detections(
        found.xyxy[:count],
        found.confidence[:count],
        found.class_id[:count],
        data={key: values[:count] for key, values in found.data.items()},
    )
    given = part.to_supervision()
    assert isinstance(given, supervision.Detections)
    assert len(given) == count
    np.testing.assert_array_equal(given.xyxy, part.xyxy)
    assert list(given["class_name"]) == ["dog", "cat"][:count]
