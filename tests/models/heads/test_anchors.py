"""Anchor recall and k-means."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from models import build_model
from models.heads.anchors import anchor_fit, fit_anchors


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


def test_placeholders_fit_nothing() -> None:
    assert anchor_fit(np.array([[10.0, 20.0]]), np.array([[0.0, 0.0]])).tolist() == [0.0]


def config(anchors: object, sources: list[int]) -> dict[str, object]:
    rows = [[-1, 1, "Conv", [8, 3, 2]] for _ in range(4)]
    head = [[sources, 1, "Detect", ["nc", "anchors"]]]
    return {
        "nc": 1,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "anchors": anchors,
        "backbone": rows,
        "head": head,
    }


GAINS = {"anchor_t": 4.0}


@pytest.mark.parametrize("sources", [[1, 2, 3], [3, 2, 1], [2, 1, 3], [3, 1, 2]])
def test_the_head_refits_placeholders_in_place(sources: list[int]) -> None:
    rng = np.random.default_rng(2)
    sizes = rng.lognormal(3, 0.8, (300, 2)) + 4
    head = build_model(config(3, sources)).head
    anchors = head.anchors
    sentence = head.fit(sizes, GAINS)
    assert sentence is not None
    assert sentence.startswith("anchors: re-fitted by k-means, ")
    assert head.anchors is anchors, "the loss reads the same buffer"
    pixels = anchors * head.stride.view(-1, 1, 1)
    assert (anchor_fit(sizes, pixels.view(-1, 2).numpy()) > 0.25).mean() > 0.95
    by_stride = [pixels[level].prod(1) for level in head.stride.argsort()]
    assert all(fine.max() < coarse.min() for fine, coarse in itertools.pairwise(by_stride))


def test_the_head_leaves_good_anchors_alone() -> None:
    sizes = np.array([[10.0, 12.0], [60.0, 70.0]] * 20)
    head = build_model(config([[10, 12], [60, 70]], [2, 3])).head
    before = head.anchors.clone()
    assert head.fit(sizes, GAINS) == "anchors: 100.0 % of the boxes find one"
    assert (head.anchors == before).all()


def test_too_few_boxes_or_none_fit_nothing() -> None:
    head = build_model(config([[1, 1], [2, 2]], [2, 3])).head
    before = head.anchors.clone()
    assert head.fit(np.array([[60.0, 70.0]]), GAINS) == (
        "anchors: 0.0 % of the boxes find one; too few boxes to fit others"
    )
    assert head.fit(np.zeros((0, 2)), GAINS) is None
    assert (head.anchors == before).all()


def test_anchors_that_nearly_all_boxes_find_stay() -> None:
    """98 % are enough, although k-means would find an anchor for the others, too."""
    sizes = np.array([[10.0, 12.0]] * 190 + [[80.0, 90.0]] * 6 + [[280.0, 320.0]] * 2)
    assert (anchor_fit(sizes, fit_anchors(sizes, 2, 4.0)) > 0.25).all()
    head = build_model(config([[10, 12], [60, 70]], [2, 3])).head
    before = head.anchors.clone()
    assert head.fit(sizes, GAINS) == "anchors: 99.0 % of the boxes find one"
    assert (head.anchors == before).all()
