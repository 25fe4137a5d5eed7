"""Outputs of exported detectors are known by their shapes, and all say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from engine.backends.layouts import finished_predictions, recognise
from engine.postprocess import select_boxes

HW = (64, 96)
CELLS = 3 * (8 * 12 + 4 * 6 + 2 * 3)  # of YOLOv5 at this size
BOXES = np.array([[10, 20, 30, 50], [12, 20, 30, 50], [5, 5, 9, 9]], np.float32)  # the second one is the first's twin
SCORES = np.array([[0.1, 0.8, 0], [0.1, 0.7, 0], [0.5, 0.2, 0.1]], np.float32)
FOUND = [[10, 20, 30, 50, 0.8, 1], [5, 5, 9, 9, 0.5, 0]]
"""What is left after suppression."""


def centres(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), 1)


def table(rows: int, *parts: np.ndarray) -> np.ndarray:
    """Parts beside each other, `(1, rows, columns)`, zeros below."""
    content = np.concatenate(parts, 1)
    return np.concatenate((content, np.zeros((rows - len(content), content.shape[1]))))[None].astype(np.float32)


def kept(rows: int, dtype: Any = np.int32) -> list[np.ndarray]:
    """Boxes, scores and classes of what is left, `rows` entries, the last ones garbage that does not count."""
    found = np.array(FOUND, np.float32)
    boxes, scores = np.full((1, rows, 4), 7, np.float32), np.full((1, rows), 0, np.float32)
    labels = np.full((1, rows), -1, dtype)
    boxes[0, :2], scores[0, :2], labels[0, :2] = found[:, :4], found[:, 4], found[:, 5]
    return [boxes, scores, labels]


def efficient_nms() -> list[np.ndarray]:
    boxes, scores, labels = kept(100)
    scores[0, 2:], labels[0, 2:] = 0.9, 1  # beyond the number
    return [np.array([[2]], np.int32), boxes, scores, labels]


OBJECTNESS = np.array([[1], [1], [1]], np.float32)
LAYOUTS: dict[str, tuple[list[str], list[np.ndarray]]] = {
    "boxes and scores": (["a", "b"], [BOXES[None], SCORES[None]]),
    "scores and boxes": (["a", "b"], [SCORES[None], BOXES[None]]),
    "suppressed boxes, scores, classes": (["boxes", "scores", "classes"], kept(100)),
    "YOLOv5": (["output0"], [table(CELLS, centres(BOXES), OBJECTNESS / 2, 2 * SCORES)]),
    "YOLOv5 with its levels": (
        ["output", "p3", "p4"],
        [table(CELLS, centres(BOXES), OBJECTNESS, SCORES), np.zeros((1, 3, 8, 12, 8)), np.zeros((1, 3, 4, 6, 8))],
    ),
    "ultralytics": (["output0"], [table(CELLS // 3, centres(BOXES), SCORES).transpose(0, 2, 1)]),
    "end to end": (["output0"], [table(300, np.array(FOUND))]),
    "EfficientNMS": (["num_dets", "det_boxes", "det_scores", "det_classes"], efficient_nms()),
    "EfficientNMS, other order": (
        ["num", "boxes", "classes", "scores"],
        [efficient_nms()[at] for at in (0, 1, 3, 2)],
    ),
}


def selected(outputs: Sequence[np.ndarray], names: Sequence[str], known: int | None) -> list[list[float]]:
    layout = recognise(names, [output.shape for output in outputs], known, HW)
    assert layout is not None
    predictions = layout.read(outputs, layout.num_classes or 3)
    assert predictions.scores.shape[2] == 3
    assert predictions.boxes_xyxy.dtype == predictions.scores.dtype == torch.float32
    (found,) = select_boxes(predictions, needs_suppression=layout.needs_suppression)
    return [[round(float(value), 4) for value in row] for row in found]


@pytest.mark.parametrize("known", [3, None])
@pytest.mark.parametrize("name", LAYOUTS)
def test_all_layouts_say_the_same(name: str, known: int | None) -> None:
    names, outputs = LAYOUTS[name]
    assert selected(outputs, names, known) == FOUND


def test_one_class_of_yolov5_is_not_taken_for_end_to_end() -> None:
    """Both have six columns."""
    rows = table(CELLS, centres(BOXES), OBJECTNESS, SCORES[:, :1])
    for known in (1, None):
        layout = recognise(["output0"], [rows.shape], known, HW)
        assert layout is not None
        assert layout.num_classes == 1
        assert layout.needs_suppression
    layout = recognise(["output0"], [(1, 300, 6)], 1, HW)
    assert layout is not None
    assert not layout.needs_suppression


def test_a_small_input_has_fewer_cells_than_columns() -> None:
    layout = recognise(["output0"], [(1, 84, 21)], 80, (32, 32))
    assert layout is not None
    assert layout.num_classes == 80
    layout = recognise(["output0"], [(1, 63, 85)], 80, (32, 32))
    assert layout is not None
    assert "YOLOv5" in layout.name


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 1000)],
        [(1, 3, 64, 96)],
        [(1, 84, 8400), (1, 32, 160, 160)][1:],
        [(1, 100, 91), (1, 100, 5)],
        [(1, 100, 4), (1, 90, 80)],
        [()],
        [],
    ],
)
def test_what_is_no_detector_is_not_recognised(shapes: list[tuple[int, ...]]) -> None:
    assert recognise([str(at) for at in range(len(shapes))], shapes, 80, HW) is None


def test_names_of_another_number_of_classes_do_not_fit() -> None:
    assert recognise(["o"], [(1, 84, 8400)], 7, HW) is None
    assert recognise(["b", "s"], [(1, 100, 4), (1, 100, 80)], 7, HW) is None


def test_a_class_that_is_none_scores_nothing() -> None:
    """TensorRT writes -1 where there is nothing, and leaves the score as it was."""
    boxes, scores = np.zeros((1, 3, 4), np.float32), np.full((1, 3), 0.9, np.float32)
    predictions = finished_predictions(boxes, scores, np.array([[-1, 1, 7]]), 3)
    assert predictions.scores[0].sum(1).tolist() == pytest.approx([0, 0.9, 0])
