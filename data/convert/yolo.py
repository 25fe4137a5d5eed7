"""A split in YOLO's format: links to the pictures below `images`, and a text for each below `labels`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from data.coco.split import CocoSplit
from data.convert.target import Target
from data.formats.yolo import label_path
from files.words import count


def write_yolo(split: CocoSplit, target: Target) -> str:
    """Writes pictures and labels; returns the split's entry of the YAML. A picture without boxes has an empty text.

    Crowds, and boxes to be ignored, have no place in this format: they are left out, which a note says.
    """
    assert split.table is not None
    truth = split.table.scanned()
    bounds = np.searchsorted(truth.images, np.arange(len(split.records) + 1))  # (M + 1,)
    for index, name in enumerate(target.picture_names(split)):
        record = split.records[index]
        rows = slice(*bounds[index : index + 2].tolist())
        single = ~truth.crowd[rows]  # (n,)
        labels, boxes = truth.labels[rows][single], truth.boxes_xywh[rows][single]  # (n,), (n, 4)
        regions = record.regions_xyxy.astype(np.float64)  # (r, 4)
        regions[:, 2:] -= regions[:, :2]  # now xywh
        numbers = [*labels.tolist(), *[len(target.classes)] * len(regions)]
        lines = _lines(numbers, np.concatenate((boxes, regions)), (record.width, record.height))
        temporary = label_path(target.place(record, name))  # in the folder in the making
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if crowds := int(truth.crowd.sum()):
        target.notes.append(f"{count(crowds, 'crowd is', 'crowds are')} left out, which YOLO's format has none of")
    return f"images/{target.split}"


def _lines(labels: Iterable[int], boxes_xywh: np.ndarray, size_wh: tuple[int, int]) -> Iterator[str]:
    """A row for each box: class, then cx, cy, w, h as fractions of the picture, with ten digits."""
    fractions = boxes_xywh / np.tile(size_wh, 2)  # (n, 4)
    fractions[:, :2] += fractions[:, 2:] / 2  # now cxcywh
    for label, box in zip(labels, fractions.tolist(), strict=True):
        yield " ".join((str(label), *(f"{value:.10g}" for value in box)))
