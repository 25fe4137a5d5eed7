"""Do anchors fit the boxes? When too few boxes would find an anchor, others are found by k-means.

A box is *recalled* when some anchor differs from it by less than a factor of `anchor_t` in width and in height; only
such boxes teach an anchor-based head anything.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

_ENOUGH = 0.98  # share of recalled boxes below which anchors are re-fitted
_GENERATIONS = 1000
_MIN_SIDE = 2.0  # px; smaller boxes say nothing about shapes


class AnchorCheck(NamedTuple):
    """What came of a check: a sentence about it, and `(A, 2)` better anchors, smallest first, where there are any."""

    sentence: str
    better: np.ndarray | None = None


def anchor_fit(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """`(N,)` similarity in (0, 1] of each box to its best anchor: the worse of the two side ratios.

    Args:
        sizes: `(N, 2)` boxes; anchors: `(A, 2)`; both in the same unit.
    """
    with np.errstate(divide="ignore"):  # placeholder anchors may be 0: they fit nothing
        ratio = sizes[:, None] / anchors[None]  # (N, A, 2)
    return np.minimum(ratio, 1 / ratio).min(2).max(1)


def fit_anchors(sizes: np.ndarray, count: int, anchor_t: float, seed: int = 0) -> np.ndarray:
    """`(count, 2)` anchors, smallest first: k-means on the sizes, then improved by random mutation.

    Args:
        sizes: `(N, 2)` with N >= count.
        anchor_t: ratio up to which an anchor answers for a box.
    """
    sizes = sizes[(sizes >= _MIN_SIDE).any(1)].astype(np.float32)
    spread = sizes.std(0) + 1e-6
    cv2.setRNGSeed(seed % 2**31)  # it takes 31 bits
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    labels = np.empty((len(sizes), 1), np.int32)
    _, _, centres = cv2.kmeans(sizes / spread, count, labels, criteria, 10, cv2.KMEANS_PP_CENTERS)
    best = np.maximum(np.asarray(centres) * spread, _MIN_SIDE)
    best_score = _fitness(sizes, best, anchor_t)
    rng = np.random.default_rng(seed)
    for _ in range(_GENERATIONS):
        change = np.where(rng.random(best.shape) < 0.9, 1 + rng.normal(0, 0.1, best.shape), 1.0).clip(0.3, 3.0)
        candidate = np.maximum(best * change, _MIN_SIDE)
        score = _fitness(sizes, candidate, anchor_t)
        if score > best_score:
            best, best_score = candidate, score
    return best[np.argsort(best.prod(1))].astype(np.float32)


def _fitness(sizes: np.ndarray, anchors: np.ndarray, anchor_t: float) -> float:
    fit = anchor_fit(sizes, anchors)
    return float((fit * (fit > 1 / anchor_t)).mean())


def check_anchors(sizes: np.ndarray, anchors: np.ndarray, anchor_t: float, seed: int = 0) -> AnchorCheck:
    """Looks for better anchors when these recall less than 98 % of the boxes.

    Args:
        sizes: `(N, 2)` with N >= 1; anchors: `(A, 2)`; in pixels of the network input.
        anchor_t: ratio up to which an anchor answers for a box.
    """
    recall = float((anchor_fit(sizes, anchors) > 1 / anchor_t).mean())
    found = f"anchors: {100 * recall:.1f} % of the boxes find one"
    if recall >= _ENOUGH:
        return AnchorCheck(found)
    if (sizes >= _MIN_SIDE).any(1).sum() < len(anchors):
        return AnchorCheck(f"{found}; too few boxes to fit others")
    fitted = fit_anchors(sizes, len(anchors), anchor_t, seed)
    improved = float((anchor_fit(sizes, fitted) > 1 / anchor_t).mean())
    if improved <= recall:
        return AnchorCheck(f"{found}; k-means finds none better")
    sentence = (
        f"anchors: re-fitted by k-means, {100 * improved:.1f} % of the boxes find one instead of {100 * recall:.1f} %"
    )
    return AnchorCheck(sentence, fitted)
