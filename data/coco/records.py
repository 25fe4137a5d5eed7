"""COCO annotations as records: one per image, classes 0..nc-1, boxes cleaned, and an account of what was dropped.

Boxes that cannot be trained on are dropped and counted, and so are images whose files are broken, as long as these are
few. What is wrong with the file's structure, or contradicts its images, is an error: nobody could say what was meant.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.coco.scan import ImageEntry, check_images, files_fingerprint, fingerprint, read_scan, write_scan
from data.coco.tables import CocoTables, parse_coco, read_coco_bytes
from data.coco.tolerance import check_unusable
from data.errors import DataError
from data.media.limits import MAX_PIXELS
from files.classes import Classes
from files.hints import did_you_mean

log = logging.getLogger(__name__)

CLIP_TOLERANCE = 1e-3
"""Pixels by which a box may leave its image without being counted as clipped: rounding in the file."""


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
    """

    images: int
    boxes: int
    images_without_boxes: int
    crowd: int
    clipped: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """One line for people."""
        text = f"{_count(self.images, 'image')}, {_count(self.boxes, 'box', 'boxes')}"
        notes = [f"{self.images_without_boxes} without boxes"] if self.images_without_boxes else []
        notes += [f"{self.crowd} crowd"] if self.crowd else []
        text += f" ({', '.join(notes)})" if notes else ""
        if self.broken:
            text += f"; {_count(len(self.broken), 'broken image')} left out"
        if self.clipped:
            text += f"; {_count(self.clipped, 'box', 'boxes')} clipped to the image"
        if total := sum(self.dropped.values()):
            reasons = ", ".join(f"{number} {reason}" for reason, number in self.dropped.items() if number)
            text += f"; {_count(total, 'box', 'boxes')} dropped: {reasons}"
        return text


@dataclass(frozen=True)
class ImageRecord:
    """An image and its boxes.

    Attributes:
        image_id: the id in the annotation file.
        path: the file.
        width, height: pixels, as displayed.
        boxes_xyxy (n, 4) float32: corners in pixels, inside the image.
        labels (n,) int64: classes 0..nc-1.
        crowd (n,) bool: the box stands for a group.
    """

    image_id: int
    path: Path
    width: int
    height: int
    boxes_xyxy: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class CocoSplit:
    """A split that is ready to be loaded.

    Attributes:
        records: one per image, in the file's order.
        classes: names and category ids, in class order.
        annotations: the annotation file.
        report: what was found and dropped.
        unused_names: categories of the file that are not among `classes`.
    """

    records: tuple[ImageRecord, ...]
    classes: Classes
    annotations: Path
    report: ScanReport
    unused_names: tuple[str, ...] = ()


def load_coco(
    annotations: str | Path,
    images: str | Path,
    *,
    names: Sequence[str] | None = None,
    like: CocoSplit | None = None,
    cache: bool = True,
    progress: bool = True,
    max_pixels: int = MAX_PIXELS,
    strict: bool = False,
) -> CocoSplit:
    """Read and check a COCO annotation file and its images. Broken image files are named, and left out.

    Args:
        annotations: the JSON file.
        images: the folder that its `file_name`s are relative to.
        names: categories to use, in class order; boxes of others are dropped and counted. None: all, by ascending id.
        like: a split whose classes this one must share (validation, after training was loaded); `names` is not needed.
        cache: keep the result in the user's cache folder and use it while nothing has changed.
        progress: show a bar while images are checked.
        max_pixels: larger pictures are taken for broken.
        strict: every broken image file is an error.

    Raises:
        DataError: one line that names the file, the entry and the remedy.
    """
    annotations, images = Path(annotations), Path(images).absolute()
    content = read_coco_bytes(annotations)
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of images; correct 'images' in the data-set YAML")
    names = like.classes.names if like is not None else tuple(names) if names is not None else None
    key = fingerprint(content, str(images).encode(errors="surrogateescape"), repr((names, max_pixels)).encode())
    split = _from_cache(key, annotations) if cache else None
    if split is None:
        split = _scan(content, annotations, images, names, progress, max_pixels)
        if cache:
            write_scan(key, _to_cache(split))
    broken = tuple(split.report.broken.values())
    check_unusable(broken, split.report.images + len(broken), annotations, strict=strict)
    for what in broken:
        log.warning("%s. It is left out", what)
    if like is not None:
        _check_same_classes(split, like)
    return split


def _scan(
    content: bytes,
    annotations: Path,
    images: Path,
    names: tuple[str, ...] | None,
    progress: bool,
    max_pixels: int = MAX_PIXELS,
) -> CocoSplit:
    """Reads and checks the file and its images, without the cache."""
    tables = parse_coco(content, annotations)
    classes, unused = _classes(tables, names, annotations)
    columns = zip(
        tables.image_ids.tolist(), tables.file_names, tables.widths.tolist(), tables.heights.tolist(), strict=True
    )
    entries = [ImageEntry(number, name, images / name, width, height) for number, name, width, height in columns]
    broken = check_images(entries, annotations, progress=progress, max_pixels=max_pixels)
    if len(broken) == len(entries):
        raise DataError(f"{broken[0]} (no image of {annotations.name} can be used)")
    tables = tables.without_images(broken)
    records, report = _records(tables, [entry for i, entry in enumerate(entries) if i not in broken], classes.ids)
    report = replace(report, broken={str(entries[index].path): why for index, why in broken.items()})
    return CocoSplit(records, classes, annotations, report, unused)


def _classes(tables: CocoTables, names: tuple[str, ...] | None, annotations: Path) -> tuple[Classes, tuple[str, ...]]:
    """The classes, and the names of categories that are not used."""
    ids = dict(zip(tables.category_names, tables.category_ids.tolist(), strict=True))
    if names is None:
        names = tuple(sorted(ids, key=ids.__getitem__))
    for name in names:
        if name not in ids:
            hint = did_you_mean(name, ids, f"it has {_some(ids)}")
            raise DataError(f"{annotations}: there is no category {name!r}, which 'names' asks for; {hint}")
    return Classes.of(names, (ids[name] for name in names)), tuple(name for name in ids if name not in names)


def _check_same_classes(split: CocoSplit, like: CocoSplit) -> None:
    foreign = [name for name in split.unused_names if name not in like.unused_names]
    if foreign:
        raise DataError(
            f"{split.annotations}: {like.annotations} does not have the category {foreign[0]!r}; "
            "give both files the same categories, or list those to use under 'names' in the data-set YAML"
        )


def _records(
    tables: CocoTables, entries: Sequence[ImageEntry], class_ids: tuple[int, ...]
) -> tuple[tuple[ImageRecord, ...], ScanReport]:
    """Cleans the boxes and hands them to their images; M images, N annotations, of which n are kept."""
    # Annotations name their image by id. `owner` is its index, found by a search in the sorted ids.
    image_order = np.argsort(tables.image_ids, kind="stable")  # (M,)
    owner = image_order[np.searchsorted(tables.image_ids, tables.annotation_images, sorter=image_order)]  # (N,)
    labels = _labels(tables.annotation_categories, class_ids)  # (N,)
    sizes_wh = np.stack((tables.widths, tables.heights), 1)  # (M, 2)
    limits = sizes_wh[owner].astype(np.float64)  # (N, 2)
    boxes, keep, clipped, dropped = _clean_boxes(tables.boxes_xywh, limits, labels >= 0)  # (N, 4), (N,)
    rows = np.flatnonzero(keep)  # (n,)
    # Ordered by image. A stable sort keeps the file's order among the boxes of one image.
    rows = rows[np.argsort(owner[rows], kind="stable")]  # (n,)
    boxes, crowd = boxes[rows].astype(np.float32), tables.crowd[rows]  # (n, 4), (n,)
    records = _split_rows(entries, owner[rows], boxes, labels[rows], crowd)
    empty = sum(len(record.labels) == 0 for record in records)
    return records, ScanReport(len(entries), len(rows), empty, int(crowd.sum()), clipped, dropped)


def _split_rows(
    entries: Iterable[ImageEntry],
    owner: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    crowd: np.ndarray,
) -> tuple[ImageRecord, ...]:
    """Records, one for each of M images, whose arrays are views.

    Args:
        owner: `(n,)` index of each row's image, ascending.
        boxes, labels, crowd: `(n, 4)`, `(n,)`, `(n,)`.
    """
    entries = list(entries)
    # The rows of image i are bounds[i] to bounds[i + 1], an empty range where it has none.
    bounds = np.searchsorted(owner, np.arange(len(entries) + 1)).tolist()  # M + 1 numbers
    return tuple(
        ImageRecord(
            *(entry.image_id, entry.path, entry.width, entry.height),
            *(boxes[start:end], labels[start:end], crowd[start:end]),
        )
        for entry, start, end in zip(entries, bounds[:-1], bounds[1:], strict=True)
    )


def _labels(categories: np.ndarray, class_ids: tuple[int, ...]) -> np.ndarray:
    """Category ids `(N,)` to classes `(N,)`, -1 for those that are not used."""
    order = np.argsort(class_ids)  # (nc,)
    # An id above all others would be found at nc, which is no class.
    position = np.searchsorted(np.asarray(class_ids)[order], categories).clip(max=len(class_ids) - 1)  # (N,)
    labels = order[position]  # (N,): the right class, or that of the next greater id
    return np.where(np.asarray(class_ids)[labels] == categories, labels, -1).astype(np.int64)  # (N,)


def _clean_boxes(
    boxes_xywh: np.ndarray, limits_wh: np.ndarray, used: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int, dict[str, int]]:
    """Clips boxes to their images and finds those that cannot be trained on.

    Args:
        boxes_xywh: `(N, 4)` left, top, width, height in pixels; any values.
        limits_wh: `(N, 2)` width and height of each box's image, pixels.
        used: `(N,)` whether the box's category is one of the classes.

    Returns:
        Corners `(N, 4)`, which rows to keep `(N,)`, how many of these were clipped, how many were dropped by reason.
    """
    finite = np.isfinite(boxes_xywh).all(1)  # (N,)
    corners = np.where(finite[:, None], boxes_xywh, 0.0)  # (N, 4) xywh
    corners[:, 2:] += corners[:, :2]  # now xyxy
    bounds = np.tile(limits_wh, 2)  # (N, 4): width, height, width, height
    inside = np.clip(corners, 0.0, bounds)  # (N, 4) xyxy
    size = np.where(finite[:, None], boxes_xywh[:, 2:], 0.0)  # (N, 2)
    reasons = {  # each (N,)
        "of unused categories": ~used,
        "not finite": ~finite,
        "inverted": (size < 0).any(1),
        "of no area": (size == 0).any(1),
        # What is left has no width or no height, as float32, which is what training sees: (N, 1, 2) sides.
        "outside the image": (np.diff(inside.astype(np.float32).reshape(-1, 2, 2), axis=1) <= 0).any((1, 2)),
    }
    # A box is counted once, under the first reason that holds.
    keep = np.ones(len(corners), bool)  # (N,)
    dropped = {}
    for reason, rows in reasons.items():
        if number := int((keep & rows).sum()):
            dropped[reason] = number
        keep &= ~rows
    clipped = int((keep & (np.abs(inside - corners) > CLIP_TOLERANCE).any(1)).sum())
    return inside, keep, clipped, dropped


def _to_cache(split: CocoSplit) -> dict[str, Any]:
    """A split as JSON values."""
    records = split.records
    report = {name: getattr(split.report, name) for name in ScanReport.__dataclass_fields__}
    return {
        "files": _fingerprint((record.path for record in records), split.report.broken),
        "names": split.classes.names,
        "category_ids": split.classes.ids,
        "unused_names": split.unused_names,
        "report": report | {"dropped": dict(split.report.dropped), "broken": dict(split.report.broken)},
        "images": [[r.image_id, str(r.path), r.width, r.height, len(r.labels)] for r in records],
        "boxes": np.concatenate([record.boxes_xyxy for record in records]).ravel().tolist(),
        "labels": np.concatenate([record.labels for record in records]).tolist(),
        "crowd": np.concatenate([record.crowd for record in records]).astype(int).tolist(),
    }


def _from_cache(key: str, annotations: Path) -> CocoSplit | None:
    """The split as an earlier scan left it; None if there is none or a file has changed since."""
    content = read_scan(key)
    if content is None:
        return None
    try:
        entries = [ImageEntry(number, name, Path(name), w, h) for number, name, w, h, _ in content["images"]]
        if _fingerprint((entry.path for entry in entries), content["report"]["broken"]) != content["files"]:
            return None
        owner = np.repeat(np.arange(len(entries)), [row[4] for row in content["images"]])
        boxes = np.array(content["boxes"], np.float32).reshape(-1, 4)
        labels, crowd = np.array(content["labels"], np.int64), np.array(content["crowd"], bool)
        if not len(owner) == len(boxes) == len(labels) == len(crowd):
            return None
        records = _split_rows(entries, owner, boxes, labels, crowd)
        names, ids, unused = (tuple(content[name]) for name in ("names", "category_ids", "unused_names"))
        return CocoSplit(records, Classes.of(names, ids), annotations, ScanReport(**content["report"]), unused)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _fingerprint(paths: Iterable[Path], broken: Mapping[str, str]) -> str:
    """Of the images in use, and of the broken ones: these may be repaired."""
    return files_fingerprint((*paths, *map(Path, broken)))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _some(names: Iterable[str], limit: int = 8) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")
