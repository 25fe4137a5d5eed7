"""What the sheet shows of a split, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.coco.boxes import CLIPPED, OUTCOMES
from data.coco.split import CocoSplit


@dataclass(frozen=True, eq=False)
class Network:
    """What the boxes are compared with.

    Attributes:
        imgsz: side of the network's input in pixels; the long side of a picture becomes it.
        strides: input pixels per cell of each level.
        anchors_wh (n, 2): widths and heights in input pixels; None for networks without anchors.
    """

    imgsz: int = 640
    strides: tuple[float, ...] = (8.0, 16.0, 32.0)
    anchors_wh: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class SplitFacts:
    """The objects of a split; crowds and boxes to be ignored are none.

    Attributes:
        name: train, val or test.
        split: where they come from.
        counts (nc,) int64: objects of each class.
        images (n,) int64: the index of each object's image.
        labels (n,) int64: its class.
        sides_wh (n, 2) float64: its width and height in pixels of the network's input.
        centres_xy (n, 2) float64: its centre as a fraction of its image.
    """

    name: str
    split: CocoSplit
    counts: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    sides_wh: np.ndarray
    centres_xy: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """`(n,)` sides of squares as large as the objects, in pixels of the network's input."""
        return np.asarray(np.sqrt(self.sides_wh.prod(1)))

    @property
    def shares(self) -> np.ndarray:
        """`(nc,)` share of the split's objects that each class has; 0 without objects."""
        return np.asarray(self.counts / max(int(self.counts.sum()), 1))


@dataclass(frozen=True)
class LeftOut:
    """A box that the scan clipped or dropped.

    Attributes:
        reason: one of `data.coco.boxes.OUTCOMES`.
        annotation_id, image, label: the annotation's id, its image's index, its class.
        box_xywh: as in the file, any values.
    """

    reason: str
    annotation_id: int
    image: int
    label: int
    box_xywh: tuple[float, float, float, float]


def split_facts(name: str, split: CocoSplit, imgsz: int) -> SplitFacts:
    """The objects of a split for a network's input of `imgsz` pixels."""
    columns = split.columns()
    sizes_wh = columns.sizes_wh
    rows = np.flatnonzero(~columns.crowd)  # (m,)
    boxes, labels = columns.boxes_xyxy[rows].astype(np.float64), columns.labels[rows]
    owners = np.repeat(np.arange(len(sizes_wh)), np.diff(columns.bounds))[rows]  # (m,)
    limits = sizes_wh[owners].astype(np.float64).reshape(-1, 2)  # (m, 2)
    scale = imgsz / limits.max(1, initial=1)  # (m,)
    return SplitFacts(
        name,
        split,
        np.bincount(labels, minlength=len(split.classes)),
        owners,
        labels,
        (boxes[:, 2:] - boxes[:, :2]) * scale[:, None],
        (boxes[:, :2] + boxes[:, 2:]) / 2 / limits,
    )


def left_out(split: CocoSplit, most: int, rng: np.random.Generator) -> list[LeftOut]:
    """Some of the boxes of the classes that the scan dropped or clipped, of every reason, those dropped first."""
    table = split.table
    if table is None:
        return []
    by_reason = [np.flatnonzero(table.outcomes == outcome) for outcome in range(CLIPPED, len(OUTCOMES))]
    by_reason = [rng.permutation(rows)[:most] for rows in (*by_reason[1:], by_reason[0]) if len(rows)]
    turns = [(turn, reason) for reason, rows in enumerate(by_reason) for turn in range(len(rows))]
    chosen = [int(by_reason[reason][turn]) for turn, reason in sorted(turns)[:most]]
    return [
        LeftOut(
            OUTCOMES[table.outcomes[row]],
            int(table.ids[row]),
            int(table.images[row]),
            int(table.labels[row]),
            tuple(table.boxes_xywh[row].tolist()),
        )
        for row in sorted(chosen, key=lambda row: ((int(table.outcomes[row]) - CLIPPED - 1) % len(OUTCOMES), row))
    ]


def sampled(facts: SplitFacts, most: int, rng: np.random.Generator) -> list[int]:
    """Indices of images to show: the first half has the rarest classes, the others are drawn at random.

    Images without boxes come only where there are not enough others.
    """
    chosen: dict[int, None] = {}
    present = np.flatnonzero(facts.counts)
    for label in present[np.argsort(facts.counts[present], kind="stable")].tolist():
        if len(chosen) == (most + 1) // 2:
            break
        candidates = np.unique(facts.images[facts.labels == label])
        if not np.isin(candidates, list(chosen)).any():
            chosen[int(rng.choice(candidates))] = None
    with_boxes = np.unique(facts.images)
    others = np.setdiff1d(np.arange(len(facts.split.records)), with_boxes)
    for index in (*rng.permutation(with_boxes).tolist(), *rng.permutation(others).tolist()):
        if len(chosen) == most:
            break
        chosen[index] = None
    return list(chosen)
