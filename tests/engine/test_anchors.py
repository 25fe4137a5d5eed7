"""Anchor recall and k-means."""

from __future__ import annotations

import numpy as np
import pytest

from engine.anchors import anchor_fit, fit_anchors


def test_fit_is_the_worse_side_of_the_best_anchor() -> None:
    fit = anchor_fit(np.array([[10.0, 20.0], [100.0, 10.0]]), np.array([[20.0, 20.0], [10.0, 80.0]]))
    assert fit.tolist() == pytest.approx([0.5, 0.2])


def test_fitted_anchors_find_the_clusters() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[8.0, 8.0], [30.0, 90.0], [200.0, 60.0]])
    sizes = (centres[rng.integers(0, 3, 600)] * rng.uniform(0.9, 1.1, (600, 2))).astype(np.float32)
    anchors = fit_anchors(sizes, 3, anchor_t=4.0)
    assert anchors == pytest.approx(centres[np.argsort(centres.prod(1))], rel=0.1)
    assert np.array_equal(anchors, fit_anchors(sizes, 3, anchor_t=4.0))  # the seed decides


def test_fitted_anchors_recall_more_than_bad_ones() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.lognormal(3, 0.8, (500, 2)).astype(np.float32) + 3
    bad = np.full((9, 2), 600.0)
    recall = [(anchor_fit(sizes, a) > 0.25).mean() for a in (bad, fit_anchors(sizes, 9, 4.0))]
    assert recall[0] < 0.5 < 0.95 < recall[1]
