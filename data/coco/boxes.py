"""Boxes of an annotation file against their images: which are kept, clipped, or dropped for what reason."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

CLIP_TOLERANCE = 1e-3
"""Pixels by which a box may leave its image without being counted as clipped: rounding in the file."""
NORMALISED_SLACK = 0.05
"""By how much a box in fractions of its image may leave it."""

KEPT, CLIPPED = 0, 1
OUTCOMES = (
    "kept",
    "clipped to the image",
    "of unused categories",
    "not finite",
    "inverted",
    "of no area",
    "outside the image",
    "listed twice",
    "without a box",
)
"""What becomes of a box; what `clean_boxes` returns are indices into it. From the third on, it is dropped."""


def clean_boxes(
    boxes_xywh: np.ndarray, limits_wh: np.ndarray, groups: np.ndarray, used: np.ndarray, *, drop_repeated: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Clips boxes to their images and finds those that cannot be trained on.

    Args:
        boxes_xywh: `(N, 4)` left, top, width, height in pixels; any values.
        limits_wh: `(N, 2)` width and height of each box's image, pixels.
        groups: `(N, g)` whole numbers; of two equal boxes with equal rows here, the second is a repetition.
        used: `(N,)` whether the box's category is one of the classes.
        drop_repeated: drop repetitions.

    Returns:
        Corners `(N, 4)` float64, and each box's outcome `(N,)` uint8. A box has the first outcome that holds.
    """
    finite = np.isfinite(boxes_xywh).all(1)  # (N,)
    corners = np.where(finite[:, None], boxes_xywh, 0.0)  # (N, 4) xywh
    corners[:, 2:] += corners[:, :2]  # now xyxy
    bounds = np.tile(limits_wh, 2)  # (N, 4): width, height, width, height
    inside = np.clip(corners, 0.0, bounds)  # (N, 4) xyxy
    size = np.where(finite[:, None], boxes_xywh[:, 2:], 0.0)  # (N, 2)
    outcomes = (np.abs(inside - corners) > CLIP_TOLERANCE).any(1).astype(np.uint8)  # (N,): kept or clipped
    reasons = {  # each (N,)
        "of unused categories": ~used,
        "without a box": np.isnan(boxes_xywh).all(1),
        "not finite": ~finite,
        "inverted": (size < 0).any(1),
        "of no area": (size == 0).any(1),
        # What is left has no width or no height, as float32, which is what training sees: (N, 1, 2) sides.
        "outside the image": (np.diff(inside.astype(np.float32).reshape(-1, 2, 2), axis=1) <= 0).any((1, 2)),
    }
    for reason, rows in reversed(reasons.items()):
        outcomes[rows] = OUTCOMES.index(reason)
    if drop_repeated:
        rows = np.flatnonzero(outcomes <= CLIPPED)  # (n,)
        twins = _repeated(np.column_stack((groups[rows], inside[rows].astype(np.float32))))  # (n,)
        outcomes[rows[twins]] = OUTCOMES.index("listed twice")
    return inside, outcomes


def counts(outcomes: np.ndarray) -> tuple[int, Mapping[str, int]]:
    """How many boxes were clipped, and how many were dropped by reason; reasons without any are absent."""
    numbers = np.bincount(outcomes, minlength=len(OUTCOMES)).tolist()
    dropped = zip(OUTCOMES[CLIPPED + 1 :], numbers[CLIPPED + 1 :], strict=True)
    return numbers[CLIPPED], {reason: number for reason, number in dropped if number}


def normalised(boxes_xywh: np.ndarray, limits_wh: np.ndarray) -> np.ndarray:
    """`(N,)` bool: which boxes look like fractions of their image: in pixels they would lie in its first one."""
    with np.errstate(invalid="ignore"):
        first_pixel = ((boxes_xywh >= -NORMALISED_SLACK) & (boxes_xywh <= 1 + NORMALISED_SLACK)).all(1)  # (N,)
        first_pixel &= (boxes_xywh[:, 2:] > 0).all(1)
        return np.asarray(first_pixel & (limits_wh > 2).all(1))


def _repeated(rows: np.ndarray) -> np.ndarray:
    """`(n,)` bool: the row equals an earlier one of `(n, k)`."""
    order = np.lexsort(rows.T)  # (n,): equal rows come together, and a stable sort keeps their order
    again = np.zeros(len(rows), bool)
    again[order[1:]] = (rows[order[1:]] == rows[order[:-1]]).all(1)
    return again
