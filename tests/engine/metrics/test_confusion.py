"""Counts worked out by hand, and what must hold whatever the boxes are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics.confusion import ConfusionMatrix

A, B = (0, 0, 10, 10), (50, 50, 70, 70)


def matrix_of(predictions, truth, num_classes=2):
    """`predictions`: (box, score, class); `truth`: (box, class, crowd)."""
    matrix = ConfusionMatrix(num_classes)
    rows = np.array([[*box, score, label] for box, score, label in predictions], np.float32).reshape(-1, 6)
    boxes = np.array([box for box, _, _ in truth], np.float32).reshape(-1, 4)
    labels = np.array([label for _, label, _ in truth], np.int64)
    matrix.update(rows, boxes, labels, np.array([crowd for *_, crowd in truth], bool))
    return matrix


@pytest.mark.parametrize(
    ("predictions", "truth", "expected"),
    [
        ([(A, 0.9, 0)], [(A, 0, False)], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ([(A, 0.9, 1)], [(A, 0, False)], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        ([], [(A, 0, False), (B, 1, False)], [[0, 0, 1], [0, 0, 1], [0, 0, 0]]),
        ([(A, 0.9, 0), (B, 0.9, 1)], [], [[0, 0, 0], [0, 0, 0], [1, 1, 0]]),
        ([(A, 0.2, 0)], [(A, 0, False)], [[0, 0, 1], [0, 0, 0], [0, 0, 0]]),
        # twice found: one pair, one false alarm
        ([(A, 0.9, 0), (A, 0.8, 0)], [(A, 0, False)], [[1, 0, 0], [0, 0, 0], [1, 0, 0]]),
        # the larger overlap wins, not the higher score
        ([((0, 0, 10, 8), 0.9, 1), (A, 0.5, 0)], [(A, 0, False)], [[1, 0, 0], [0, 0, 0], [0, 1, 0]]),
        # inside a crowd of its class: excused; of another class: a false alarm; the crowd itself is no miss
        ([(A, 0.9, 0), (A, 0.9, 1)], [((0, 0, 40, 40), 0, True)], [[0, 0, 0], [0, 0, 0], [0, 1, 0]]),
    ],
)
def test_counts_by_hand(predictions, truth, expected):
    assert matrix_of(predictions, truth).counts.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), predicted=st.integers(0, 12), true=st.integers(0, 12))
def test_every_box_is_counted_once(seed, predicted, true):
    random = np.random.default_rng(seed)

    def boxes(number):
        corner = random.integers(0, 10, (number, 2))
        return np.concatenate((corner, corner + random.integers(1, 10, (number, 2))), axis=1)

    truth_labels = random.integers(0, 3, true)
    labels = random.integers(0, 3, predicted)
    matrix = matrix_of(
        [(box, 0.9, label) for box, label in zip(boxes(predicted), labels, strict=True)],
        [(box, label, False) for box, label in zip(boxes(true), truth_labels, strict=True)],
        num_classes=3,
    )
    assert matrix.counts[:-1].sum(axis=1).tolist() == np.bincount(truth_labels, minlength=3).tolist()
    assert matrix.counts[:, :-1].sum(axis=0).tolist() == np.bincount(labels, minlength=3).tolist()
    assert matrix.counts[-1, -1] == 0


def test_shares_are_per_true_class_and_undefined_without_any():
    shares = matrix_of([(A, 0.9, 1)], [(A, 0, False), (B, 0, False)]).normalized()
    np.testing.assert_array_equal(shares, [[0, 0.5, 0.5], [np.nan] * 3, [np.nan] * 3])
