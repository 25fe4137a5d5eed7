"""A split that is ready to be loaded: its images with their boxes, its classes, and an account of the scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from data.coco.truth import Annotations
from data.errors import DataError
from files.arrays import DamagedArraysError, read_arrays
from files.classes import Classes
from files.words import count


@dataclass(frozen=True)
class ScanReport:
    """What a split holds and what was dropped from it.

    Attributes:
        images, boxes: number of images and of usable boxes, those of crowds included.
        images_without_boxes: images that teach background only.
        crowd: boxes that stand for a group; ignored in training, passed on to the evaluation.
        clipped: boxes that were partly outside their image and now end at its border.
        dropped: number of boxes dropped, by reason.
        broken: image files that were left out, and what is wrong with each, in one line.
        ignored: boxes, no crowds, that the file marks with `"ignore": 1`; they are treated as crowds.
        notes: what a person ought to look at, a sentence each.
        regions: boxes of categories to be ignored: in them, nothing is right or wrong.
        derived: usable boxes that are not stated, and follow from a mask or an outline.
    """

    images: int
    boxes: int
    images_without_boxes: int
    crowd: int
    clipped: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    ignored: int = 0
    notes: tuple[str, ...] = ()
    regions: int = 0
    derived: int = 0

    @property
    def objects(self) -> int:
        """Boxes that have to be found: no crowds, none to be ignored."""
        return self.boxes - self.crowd - self.ignored

    def summary(self) -> str:
        """One line for people."""
        text = f"{count(self.images, 'image')}, {count(self.boxes, 'box', 'boxes')}"
        notes = [f"{self.images_without_boxes} without boxes"] if self.images_without_boxes else []
        notes += [f"{self.crowd} crowd"] if self.crowd else []
        notes += [f"{self.ignored} to be ignored"] if self.ignored else []
        text += f" ({', '.join(notes)})" if notes else ""
        if self.derived:
            text += f"; {count(self.derived, 'box follows from its outline', 'boxes follow from their outlines')}"
        if self.regions:
            text += f"; {count(self.regions, 'region')} to ignore"
        if self.broken:
            text += f"; {count(len(self.broken), 'broken image')} left out"
        if self.clipped:
            text += f"; {count(self.clipped, 'box', 'boxes')} clipped to the image"
        if total := sum(self.dropped.values()):
            reasons = ", ".join(f"{number} {reason}" for reason, number in self.dropped.items() if number)
            text += f"; {count(total, 'box', 'boxes')} dropped: {reasons}"
        return text

    def lines(self) -> tuple[str, ...]:
        """The summary, then the notes."""
        return (self.summary(), *self.notes)


@dataclass(frozen=True)
class ImageRecord:
    """An image and its boxes.

    Attributes:
        image_id: the id in the annotation file.
        path: the file.
        width, height: pixels, as displayed.
        boxes_xyxy (n, 4) float32: corners in pixels, inside the image.
        labels (n,) int64: classes 0..nc-1.
        crowd (n,) bool: the box stands for a group, or is to be ignored.
        regions_xyxy (r, 4) float32: regions of no class in which nothing is right or wrong, pixels, inside the image.
    """

    image_id: int
    path: Path
    width: int
    height: int
    boxes_xyxy: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    regions_xyxy: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


class Columns(NamedTuple):
    """All boxes of a split; M images, n boxes, ordered by image.

    Attributes:
        boxes_xyxy (n, 4) float32, labels (n,) int64, crowd (n,) bool: as in `ImageRecord`.
        bounds (M + 1,) int64: the rows of image i are bounds[i] to bounds[i + 1].
        sizes_wh (M, 2) int64: width and height of each image in pixels.
    """

    boxes_xyxy: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    bounds: np.ndarray
    sizes_wh: np.ndarray


class Records(Sequence[ImageRecord]):
    """The records of a split, made when they are asked for from arrays that all processes can share.

    Args:
        arrays: `image_ids`, `widths`, `heights` (M,); `name_bytes`, the file names one after the other, and
            `name_ends` (M,); `bounds` (M + 1,), the rows of image i are bounds[i] to bounds[i + 1] of `boxes_xyxy`,
            `box_labels` and `box_crowd`; `region_bounds` (M + 1,), likewise, of `regions_xyxy`.
        folder: what the file names are relative to.
        source: file and digest that the arrays are mapped from. Then another process gets these instead of a copy.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], folder: Path, source: tuple[Path, str] | None = None) -> None:
        self._arrays, self._folder, self._source = arrays, folder, source

    def __len__(self) -> int:
        return len(self._arrays["image_ids"])

    @overload
    def __getitem__(self, index: int) -> ImageRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ImageRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> ImageRecord | tuple[ImageRecord, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(len(self))))
        index = range(len(self))[index]  # negative ones count from the end; others out of range raise IndexError
        arrays = self._arrays
        rows = slice(*arrays["bounds"][index : index + 2].tolist())
        regions = slice(*arrays["region_bounds"][index : index + 2].tolist())
        return ImageRecord(
            image_id=int(arrays["image_ids"][index]),
            path=self._folder / self._name(index),
            width=int(arrays["widths"][index]),
            height=int(arrays["heights"][index]),
            boxes_xyxy=arrays["boxes_xyxy"][rows],
            labels=arrays["box_labels"][rows],
            crowd=arrays["box_crowd"][rows],
            regions_xyxy=arrays["regions_xyxy"][regions],
        )

    def paths(self) -> Iterator[Path]:
        """The files, in order."""
        return (self._folder / self._name(index) for index in range(len(self)))

    def columns(self) -> Columns:
        """All boxes, without a record for each image."""
        arrays = self._arrays
        sizes_wh = np.stack((arrays["widths"], arrays["heights"]), 1)
        return Columns(arrays["boxes_xyxy"], arrays["box_labels"], arrays["box_crowd"], arrays["bounds"], sizes_wh)

    def _name(self, index: int) -> str:
        ends = self._arrays["name_ends"]
        start = int(ends[index - 1]) if index else 0
        return self._arrays["name_bytes"][start : int(ends[index])].tobytes().decode(errors="surrogateescape")

    def __getstate__(self) -> dict[str, object]:
        """Arrays of a file are not sent along: whoever receives the records maps it again."""
        return {**self.__dict__, "_arrays": None if self._source is not None else self._arrays}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self._source is not None:
            file, digest = self._source
            try:
                self._arrays = read_arrays(file, digest=digest).arrays
            except (OSError, DamagedArraysError):
                raise DataError(f"{file}: has been changed while it was in use; start again") from None


@dataclass(frozen=True)
class CocoSplit:
    """A split that is ready to be loaded.

    Attributes:
        records: one per image, in the file's order.
        classes: names and category ids, in class order.
        annotations: the annotation file.
        report: what was found and left out.
        unused: categories of the file that are not among `classes`, and how many annotations each has.
        absent: names of classes that the file has no category of.
        table: all annotations of the classes, what an evaluation measures against; None in splits made by hand.
    """

    records: Sequence[ImageRecord]
    classes: Classes
    annotations: Path
    report: ScanReport
    unused: Mapping[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    table: Annotations | None = None

    def columns(self) -> Columns:
        """All boxes of the split, without a record for each image."""
        records = self.records
        if isinstance(records, Records):
            return records.columns()
        return Columns(
            np.concatenate([np.zeros((0, 4), np.float32), *(record.boxes_xyxy for record in records)]),
            np.concatenate([np.zeros(0, np.int64), *(record.labels for record in records)]),
            np.concatenate([np.zeros(0, bool), *(record.crowd for record in records)]),
            np.cumsum([0, *(len(record.boxes_xyxy) for record in records)]),
            np.array([(record.width, record.height) for record in records], np.int64).reshape(-1, 2),
        )
