"""Boxes around the outlines and masks of COCO's `segmentation`, for annotations that state no box.

Polygons are lists of x and y in turn. Masks are lengths of runs, down the columns, of what is outside and inside in
turn, as a list or in COCO's compressed text (https://cocodataset.org/#format-data).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from files.problems import short

Box = tuple[float, float, float, float]
"""Left, top, width, height in pixels."""

NO_BOX: Box = (math.nan, math.nan, math.nan, math.nan)

_MOST_SIDE = 1 << 16
"""Pixels of a mask's height and width."""
# Each run's length is one or more characters of five bits; all but the last say that more follow.
_COMPRESSED = re.compile("(?:[P-o]{0,6}[0-O])*")


def surrounding_box(segmentation: Any) -> Box:
    """The upright box around an outline: polygons, or a mask of either kind.

    Returns:
        Left, top, width, height; all nan where the outline is empty.

    Raises:
        ValueError: it is no outline; says why.
    """
    if isinstance(segmentation, Mapping):
        return _around_mask(segmentation)
    if not isinstance(segmentation, list):
        raise ValueError(f"{short(segmentation)} is neither polygons nor a mask")
    parts = segmentation if all(isinstance(part, list) for part in segmentation) else [segmentation]
    return _around_polygons(parts)


def _around_polygons(parts: Sequence[Any]) -> Box:
    for part in parts:
        if len(part) % 2 or not {*map(type, part)} <= {int, float}:
            raise ValueError(f"{short(part)} is not x and y in turn")
    try:
        xs = [float(value) for part in parts for value in part[::2]]
        ys = [float(value) for part in parts for value in part[1::2]]
    except OverflowError:  # whole numbers of more than 308 digits
        xs = ys = [math.inf]
    if not xs:
        return NO_BOX
    if not all(map(math.isfinite, (*xs, *ys))):
        return math.nan, math.nan, 0.0, 0.0
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _around_mask(mask: Mapping[str, Any]) -> Box:
    from pycocotools import mask as masks

    size, counts = mask.get("size"), mask.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)):
        raise ValueError(f"a mask's size is [height, width], not {short(size)}")
    if not all(1 <= side <= _MOST_SIDE for side in size):
        raise ValueError(f"a mask of {size[1]}x{size[0]} pixels is too small or too large")
    if isinstance(counts, str):
        # pycocotools would read on behind the end of a text that is cut off.
        if not _COMPRESSED.fullmatch(counts):
            raise ValueError(f"{short(counts)} is no compressed mask")
        return tuple(masks.toBbox({"size": size, "counts": counts.encode()}).tolist())
    if not (isinstance(counts, list) and all(type(run) is int and run >= 0 for run in counts)):
        raise ValueError(f"a mask's counts are lengths of runs, or a text, not {short(counts)}")
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"its runs are {sum(counts)} pixels, but {size[1]}x{size[0]} are {size[0] * size[1]}")
    return tuple(masks.toBbox(masks.frPyObjects({"size": size, "counts": counts}, *size)).tolist())
