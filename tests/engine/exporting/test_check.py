"""What is compared between a file and PyTorch, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from engine.errors import EngineError
from engine.exporting.check import Distance, cell_distance, require_equal
from engine.exporting.check_suppressed import SuppressedComparison
from engine.exporting.format import FP32
from engine.options import ExportOptions
from models.heads.base import Predictions

OPTIONS = ExportOptions("w.pt", nms=True, conf_thres=0.3, iou_thres=0.5, topk_all=5)
BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 80, 80], [50, 50, 80, 80], [90, 90, 99, 99]])
SCORES = torch.tensor([[0.9, 0.1], [0.8, 0.1], [0.2, 0.7], [0.6, 0.2], [0.05, 0.05]])
CELLS = Predictions(BOXES, SCORES)


def detections(*rows: tuple[int, float, int]) -> Predictions:
    """Of cells, scores and labels; an entry of nothing at the end."""
    scores = torch.zeros(len(rows) + 1, 2)
    boxes = torch.zeros(len(rows) + 1, 4)
    for place, (cell, score, label) in enumerate(rows):
        scores[place, label], boxes[place] = score, BOXES[cell]
    return Predictions(boxes, scores)


RIGHT = ((0, 0.9, 0), (2, 0.7, 1), (3, 0.6, 0))


def test_cells_are_compared_where_they_are_likely() -> None:
    other = Predictions(BOXES + torch.tensor([0, 0, 0, 0.25]), SCORES - 0.125)
    assert cell_distance(CELLS, other) == Distance(0.25, pytest.approx(0.125), 5)
    many = Predictions(BOXES.repeat(50, 1), torch.cat((SCORES, torch.full((245, 2), 0.01))))
    wrong = many.boxes_xyxy.clone()
    wrong[200:] += 7
    assert cell_distance(many, Predictions(wrong, many.scores)) == Distance(0.0, 0.0, 100)


def test_what_is_no_number_and_other_shapes_are_infinitely_far() -> None:
    broken = BOXES.clone()
    broken[2, 1] = math.nan
    assert cell_distance(CELLS, Predictions(broken, SCORES)).boxes_px == math.inf
    assert cell_distance(CELLS, Predictions(BOXES[:4], SCORES[:4])).scores == math.inf


def test_a_difference_beyond_the_tolerance_is_refused() -> None:
    require_equal(Distance(0.1, 1e-3), FP32, Path("a.onnx"), "fp32")
    line = (
        r"^a.onnx: not written, since its boxes differ from PyTorch's by 0.2 px, more than the 0.1 px that fp32 may; "
    )
    with pytest.raises(EngineError, match=line):
        require_equal(Distance(0.2, 0), FP32, Path("a.onnx"), "fp32")
    with pytest.raises(EngineError, match=r"its scores differ from PyTorch.s by inf, more than"):
        require_equal(Distance(0, math.inf), FP32, Path("a.onnx"), "fp32")


@pytest.mark.parametrize(
    ("rows", "score"),
    [
        (RIGHT, 0.0),
        (RIGHT[:2], 0.6),  # one is missing
        ((*RIGHT, (1, 0.8, 0)), 1.0),  # one ought to have been suppressed
        ((*RIGHT[:2], (3, 0.5, 0)), 0.1),  # another score
        ((*RIGHT[:2], (3, 0.6, 1)), 0.1),  # another class
        ((*RIGHT, (4, 0.05, 0)), math.inf),  # below the threshold
    ],
)
def test_suppressed_detections(rows: tuple[tuple[int, float, int], ...], score: float) -> None:
    found = SuppressedComparison(OPTIONS, 1e-3)(CELLS, detections(*rows))
    assert found.scores >= score - 1e-6
    assert (found.scores <= 1e-3) == (rows == RIGHT)
    assert found.boxes_px == 0


def test_a_box_in_the_place_of_one_as_good() -> None:
    """Scores that are equal but for rounding may come out in either order."""
    close = Predictions(BOXES, SCORES.clone())
    close.scores[1, 0] = 0.8999
    rows = ((1, 0.8999, 0), *RIGHT[1:])
    assert SuppressedComparison(OPTIONS, 1e-3)(close, detections(*rows)).scores == 0
    assert SuppressedComparison(OPTIONS, 1e-5)(close, detections(*rows)).scores == pytest.approx(0.9)
