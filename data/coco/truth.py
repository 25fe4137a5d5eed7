"""What an evaluation measures against: the truth as the scan reports it, and the file's as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.coco.boxes import CLIPPED, KEPT, OUTCOMES
from files.words import plural

_NAMED = 5  # annotation ids that are named for each kind of difference


@dataclass(frozen=True, eq=False)
class Truth:
    """Annotations to measure against, ordered by image, those of an image in the file's order.

    Attributes:
        images (n,) int64: index of each one's image among the records.
        labels (n,) int64: classes 0..nc-1.
        boxes_xywh (n, 4) float64: left, top, width, height in pixels.
        areas (n,) float64: square pixels; of a mask, often.
        crowd (n,) bool: nothing has to find it, and what finds it is no false alarm.
    """

    images: np.ndarray
    labels: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True, eq=False)
class Annotations:
    """The annotations of the classes as they stand in the file, and what became of each; ordered as a `Truth`.

    Attributes:
        ids, images, labels (N,) int64: the annotation's id, its image's index, its class.
        boxes_xywh (N, 4) float64: as in the file, any values.
        areas (N,) float64: as stated, nan where nothing of use is.
        crowd, ignored (N,) bool: `iscrowd` and `ignore` of the file.
        outcomes (N,) uint8: what became of the box, an index into `data.coco.boxes.OUTCOMES`.
        kept (n,) int64: rows of the usable boxes, clipped or not.
        boxes_xyxy (n, 4) float32: their corners in pixels, inside the image.
    """

    ids: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    outcomes: np.ndarray
    kept: np.ndarray
    boxes_xyxy: np.ndarray

    def scanned(self) -> Truth:
        """The usable boxes. A box that was not changed is the file's, with the stated area; a clipped one has its own.

        An annotation to be ignored counts as a crowd.
        """
        rows = self.kept  # (n,)
        corners = self.boxes_xyxy.astype(np.float64)  # (n, 4)
        clipped_xywh = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)  # (n, 4)
        unchanged = self.outcomes[rows] == KEPT  # (n,)
        boxes = np.where(unchanged[:, None], self.boxes_xywh[rows], clipped_xywh)  # (n, 4)
        areas = _areas(np.where(unchanged, self.areas[rows], np.nan), boxes)  # (n,)
        return Truth(self.images[rows], self.labels[rows], boxes, areas, self.crowd[rows] | self.ignored[rows])

    def as_filed(self) -> Truth:
        """What pycocotools makes of the file itself.

        A box of no area stays; nothing can match it, so it is a miss. Boxes that are inverted or not finite are left
        out, since no overlap is defined for them.
        """
        rows = np.flatnonzero(self._measurable())  # (m,)
        boxes = self.boxes_xywh[rows]  # (m, 4)
        return Truth(self.images[rows], self.labels[rows], boxes, _areas(self.areas[rows], boxes), self.crowd[rows])

    def differences(self) -> str:
        """In which boxes `as_filed` differs from `scanned`, by reason, with some of their ids; '' where in none."""
        measurable = self._measurable()  # (N,)
        kinds = {
            OUTCOMES[outcome]: measurable & (self.outcomes == outcome) for outcome in range(CLIPPED, len(OUTCOMES))
        }
        kinds["marked to be ignored"] = measurable & (self.outcomes <= CLIPPED) & self.ignored & ~self.crowd
        return ", ".join(
            f"{rows.sum()} {kind} ({_named(self.ids[rows])})" for kind, rows in kinds.items() if rows.any()
        )

    def _measurable(self) -> np.ndarray:
        """`(N,)` bool: pycocotools can judge the box as it is."""
        with np.errstate(invalid="ignore"):
            return np.isfinite(self.boxes_xywh).all(1) & (self.boxes_xywh[:, 2:] >= 0).all(1)


def _areas(stated: np.ndarray, boxes_xywh: np.ndarray) -> np.ndarray:
    """The stated areas, else those of the boxes."""
    with np.errstate(over="ignore"):  # boxes of the file as it is may be of any size
        return np.where(np.isnan(stated), boxes_xywh[:, 2] * boxes_xywh[:, 3], stated)


def _named(ids: np.ndarray) -> str:
    some = ", ".join(map(str, ids[:_NAMED].tolist()))
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{plural(len(ids), 'annotation')} {some}{more}"
