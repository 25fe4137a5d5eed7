"""Suppression against a reference in plain Python, and inputs that a network can produce but should not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import postprocess
from engine.postprocess import select_boxes
from models.heads.base import Predictions

IOU = 0.4512345  # no ratio of the small whole numbers used here, so rounding cannot decide a case


def predictions_of(table):
    """`(B, N, 5 + nc)` cx, cy, w, h, objectness, class probabilities, as an anchor-based head decodes them."""
    centre, size = table[..., :2], table[..., 2:4]
    scores = table[..., 5:].float() * table[..., 4:5].float()
    return Predictions(torch.cat((centre - size / 2, centre + size / 2), 2), scores)


def reference(rows, conf, iou_thres, max_det, classes, agnostic, multi_label):
    """Candidates and greedy suppression of one image, one box at a time."""
    candidates = []
    for cx, cy, w, h, objectness, *probabilities in rows:
        scores = [objectness * p for p in probabilities]
        best = max(range(len(scores)), key=scores.__getitem__)
        candidates += [
            (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, scores[label], label)
            for label in (range(len(scores)) if multi_label else [best])
            if objectness > conf and scores[label] > conf and (classes is None or label in classes)
        ]
    kept = []
    for box in sorted(candidates, key=lambda c: -c[4]):
        rivals = (other for other in kept if agnostic or other[5] == box[5])
        if all(iou(box, other) <= iou_thres for other in rivals):
            kept.append(box)
    return kept[:max_det]


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area - width * height)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    anchors=st.integers(0, 25),
    num_classes=st.integers(1, 4),
    conf=st.sampled_from([0.0, 0.25, 0.6]),
    max_det=st.integers(1, 30),
    classes=st.none() | st.sets(st.integers(0, 3)),
    agnostic=st.booleans(),
    multi_label=st.booleans(),
)
def test_equals_the_reference(seed, anchors, num_classes, conf, max_det, classes, agnostic, multi_label):
    random = np.random.default_rng(seed)
    rows = np.empty((2, anchors, 5 + num_classes), np.float32)
    rows[..., :2] = random.integers(0, 20, (2, anchors, 2))
    rows[..., 2:4] = 2 * random.integers(1, 8, (2, anchors, 2))
    rows[..., 4:] = random.random((2, anchors, 1 + num_classes))
    options = {"max_det": max_det, "classes": classes, "agnostic": agnostic, "multi_label": multi_label}
    found = select_boxes(predictions_of(torch.from_numpy(rows)), conf_thres=conf, iou_thres=IOU, **options)
    for image_rows, boxes in zip(rows, found, strict=True):
        expected = reference(image_rows.tolist(), conf, IOU, **options)
        torch.testing.assert_close(boxes, torch.tensor(expected, dtype=torch.float32).reshape(-1, 6))


def test_objectness_alone_must_be_above_the_threshold():
    decoded = torch.tensor([[[5.0, 5, 4, 4, 0.25, 1.0], [15, 5, 4, 4, 0.26, 1.0]]])
    (boxes,) = select_boxes(predictions_of(decoded), conf_thres=0.25)
    torch.testing.assert_close(boxes, torch.tensor([[13.0, 3, 17, 7, 0.26, 0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_predictions_become_float32(dtype):
    boxes, scores = torch.tensor([[[8.0, 8, 12, 12]]], dtype=dtype), torch.tensor([[[0.21]]], dtype=dtype)
    (found,) = select_boxes(Predictions(boxes, scores), conf_thres=0.1)
    assert found.dtype == torch.float32
    assert found[0].tolist() == [8, 8, 12, 12, scores.item(), 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("column", range(7))
def test_rows_that_are_not_finite_are_dropped_and_others_stay(value, column):
    decoded = torch.tensor([[[10.0, 10, 4, 4, 0.9, 0.8, 0.1], [40, 40, 8, 8, 0.7, 0.1, 0.9]]])
    decoded[0, 0, column] = value
    (boxes,) = select_boxes(predictions_of(decoded), conf_thres=0.25)
    torch.testing.assert_close(boxes, torch.tensor([[36.0, 36, 44, 44, 0.63, 1]]))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("decoded", [torch.zeros(3, 0, 8), torch.zeros(3, 7, 8), torch.zeros(3, 7, 8).half()])
def test_nothing_found_is_an_empty_table_per_image(decoded, multi_label):
    found = select_boxes(predictions_of(decoded), multi_label=multi_label)
    assert [tuple(boxes.shape) for boxes in found] == [(0, 6)] * 3


def test_only_the_best_candidates_take_part(monkeypatch):
    monkeypatch.setattr(postprocess, "MAX_CANDIDATES", 3)
    decoded = torch.tensor([[[20.0 * i, 10, 4, 4, 0.3 + 0.1 * i, 1.0] for i in range(6)]])
    (boxes,) = select_boxes(predictions_of(decoded), conf_thres=0.1)
    torch.testing.assert_close(boxes[:, 4], torch.tensor([0.8, 0.7, 0.6]))


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [((10, 4), (10, 80)), ((1, 10, 4), (1, 10, 0)), ((1, 10, 5), (1, 10, 80)), ((1, 9, 4), (1, 10, 80))],
)
def test_another_shape_is_refused(boxes, scores):
    with pytest.raises(ValueError, match=r"boxes \(B, N, 4\) and scores \(B, N, nc\) with nc >= 1"):
        select_boxes(Predictions(torch.zeros(boxes), torch.zeros(scores)))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), max_det=st.integers(1, 30), multi_label=st.booleans())
def test_without_suppression_the_best_stay_and_overlap(seed, max_det, multi_label):
    random = np.random.default_rng(seed)
    boxes = np.tile(np.array([1, 1, 9, 9], np.float32), (1, 12, 1))  # one and the same box twelve times
    scores = random.random((1, 12, 3), np.float32)
    predictions = Predictions(torch.from_numpy(boxes), torch.from_numpy(scores))
    (found,) = select_boxes(
        predictions, needs_suppression=False, conf_thres=0.25, max_det=max_det, multi_label=multi_label
    )
    candidates = scores[0].flatten() if multi_label else scores[0].max(1)
    expected = sorted((score for score in candidates.tolist() if score > 0.25), reverse=True)[:max_det]
    assert found[:, 4].tolist() == expected
    for x1, y1, x2, y2, score, label in found.tolist():
        assert (x1, y1, x2, y2) == (1, 1, 9, 9)
        assert score in scores[0, :, int(label)].tolist()


@pytest.mark.parametrize("name", ["conf_thres", "iou_thres"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_threshold_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        select_boxes(predictions_of(torch.zeros(1, 1, 6)), **{name: value})
