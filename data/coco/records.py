"""COCO annotations as a split: one record per image, classes 0..nc-1, boxes cleaned, an account of what was dropped.

Boxes that cannot be trained on are dropped and counted, and so are images whose files are broken, as long as these are
few. What is wrong with the file's structure, or contradicts its images, is an error: nobody could say what was meant.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.coco.boxes import CLIPPED, clean_boxes, counts, normalised
from data.coco.cache import read_scan, scan_file, write_scan
from data.coco.categories import chosen_classes, labels_of, shared_classes, unused_categories
from data.coco.scan import ImageEntry, check_images, files_fingerprint, fingerprint
from data.coco.split import CocoSplit, ImageRecord, Records, ScanReport
from data.coco.tables import CocoTables, parse_coco, read_coco_bytes
from data.coco.tolerance import check_unusable
from data.coco.truth import Annotations
from data.errors import DataError
from data.media.limits import MAX_PIXELS
from files.classes import Classes
from files.words import count

log = logging.getLogger(__name__)

__all__ = ["CocoSplit", "ImageRecord", "ScanReport", "load_coco"]

_TABLE = tuple(field.name for field in fields(Annotations) if field.name != "boxes_xyxy")  # the records have these


def load_coco(
    annotations: str | Path,
    images: str | Path,
    *,
    names: Sequence[str] | None = None,
    like: CocoSplit | Classes | None = None,
    legacy: bool = False,
    cache: bool = True,
    max_pixels: int = MAX_PIXELS,
    strict: bool = False,
) -> CocoSplit:
    """Read and check a COCO annotation file and its images. Broken image files are named, and left out.

    Args:
        annotations: the JSON file.
        images: the folder that its `file_name`s are relative to.
        names: categories to use, in class order; boxes of others are dropped and counted. None: all, by ascending id.
        like: whose classes to use, in place of the file's own: those of the training's split, or of a detector.
            Categories are found by name, and the file may lack some. Without `names`, boxes of a category that the
            split `like` does not have are an error; a caller that gives classes looks at `CocoSplit.unused` itself.
        legacy: read the file as trainings did that began before `engine.training.rules.Rules.truth`: `ignore` means
            nothing, a box may be listed twice, and mistakes are taken that are errors now.
        cache: keep the result in the user's cache folder, and use it while nothing has changed.
        max_pixels: larger pictures are taken for broken.
        strict: every broken image file is an error.

    Raises:
        DataError: one line that names the file, the entry and the remedy.
    """
    annotations, images = Path(annotations), Path(images).absolute()
    content = read_coco_bytes(annotations)
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of images; correct 'images' in the data-set YAML")
    shared = like.classes if isinstance(like, CocoSplit) else like
    others_may_come = names is not None or not isinstance(like, CocoSplit)
    names = tuple(names) if names is not None and shared is None else None
    choice = repr((names, shared and (shared.names, shared.ids), legacy, max_pixels)).encode(errors="surrogatepass")
    key = fingerprint(content, str(images).encode(errors="surrogateescape"), choice)
    split = _from_cache(key, annotations, images) if cache else None
    if split is None:
        split, arrays = _scan(content, annotations, images, names, shared, legacy, max_pixels)
        if cache:
            write_scan(key, arrays, _facts(split, Records(arrays, images)))
            # From now on as every later run has it: mapped, where the cache could be written.
            split = _from_cache(key, annotations, images) or split
    broken = tuple(split.report.broken.values())
    check_unusable(broken, split.report.images + len(broken), annotations, strict=strict)
    for what in broken:
        log.warning("%s. It is left out", what)
    if isinstance(like, CocoSplit) and not others_may_come:
        _check_known(split, like)
    return split


def _scan(
    content: bytes,
    annotations: Path,
    images: Path,
    names: tuple[str, ...] | None,
    shared: Classes | None,
    legacy: bool,
    max_pixels: int,
) -> tuple[CocoSplit, dict[str, np.ndarray]]:
    """Reads and checks the file and its images, without the cache; the split, and the arrays that it lies in."""
    tables = parse_coco(content, annotations, legacy=legacy)
    classes = chosen_classes(tables, names, annotations) if shared is None else shared_classes(tables, shared)
    columns = zip(
        tables.image_ids.tolist(), tables.file_names, tables.widths.tolist(), tables.heights.tolist(), strict=True
    )
    entries = [ImageEntry(number, name, images / name, width, height) for number, name, width, height in columns]
    broken = check_images(entries, annotations, max_pixels=max_pixels)
    if len(broken) == len(entries):
        raise DataError(f"{broken[0]} (no image of {annotations.name} can be used)")
    tables = tables.without_images(broken)
    table, changes = _table(tables, classes, annotations, legacy)
    arrays = _arrays(tables, table)
    report = _report(table, changes, arrays)
    report = replace(report, broken={str(entries[index].path): why for index, why in broken.items()})
    unused = unused_categories(tables, classes)
    absent = tuple(name for name in classes.names if name not in tables.category_names)
    return CocoSplit(Records(arrays, images), classes, annotations, report, unused, absent, table), arrays


def _check_known(split: CocoSplit, like: CocoSplit) -> None:
    foreign = next((name for name, number in split.unused.items() if number and name not in like.unused), None)
    if foreign is not None:
        number = split.unused[foreign]
        boxes = count(number, "box is", "boxes are")
        raise DataError(
            f"{split.annotations}: {boxes} of the category {foreign!r}, which {like.annotations} does not have; rename "
            "it, add it there, or list the categories to use under 'names' in the data-set YAML"
        )


def _table(
    tables: CocoTables, classes: Classes, annotations: Path, legacy: bool
) -> tuple[Annotations, tuple[int, Mapping[str, int]]]:
    """Cleans the boxes; M images, A annotations, of which N are of the classes and n are kept.

    Also how many boxes were clipped, and how many dropped by reason.
    """
    # Annotations name their image by id. `owner` is its index, found by a search in the sorted ids.
    image_order = np.argsort(tables.image_ids, kind="stable")  # (M,)
    owner = image_order[np.searchsorted(tables.image_ids, tables.annotation_images, sorter=image_order)]  # (A,)
    labels = labels_of(tables.annotation_categories, classes.ids)  # (A,)
    limits = np.stack((tables.widths, tables.heights), 1)[owner].astype(np.float64)  # (A, 2)
    if not legacy:
        _refuse_fractions(tables, limits, annotations)
    groups = np.column_stack((owner, labels, tables.crowd | tables.ignored))  # (A, 3)
    corners, outcomes = clean_boxes(tables.boxes_xywh, limits, groups, labels >= 0, drop_repeated=not legacy)
    rows = np.flatnonzero(labels >= 0)  # (N,)
    # Ordered by image. A stable sort keeps the file's order among the boxes of one image.
    rows = rows[np.argsort(owner[rows], kind="stable")]  # (N,)
    kept = np.flatnonzero(outcomes[rows] <= CLIPPED)  # (n,)
    table = Annotations(
        *(tables.annotation_ids[rows], owner[rows], labels[rows], tables.boxes_xywh[rows], tables.areas[rows]),
        *(tables.crowd[rows], tables.ignored[rows], outcomes[rows]),
        kept=kept,
        boxes_xyxy=corners[rows[kept]].astype(np.float32),
    )
    return table, counts(outcomes)


def _refuse_fractions(tables: CocoTables, limits: np.ndarray, annotations: Path) -> None:
    """Refuses a file whose boxes are all given in fractions of their image."""
    sized = (tables.boxes_xywh[:, 2:] > 0).all(1)  # (A,)
    small = normalised(tables.boxes_xywh, limits)  # (A,)
    if sized.any() and small[sized].all():
        row = int(np.flatnonzero(small)[0])
        raise DataError(
            f"{annotations}: all boxes lie between 0 and 1, such as {tables.boxes_xywh[row].tolist()} of annotation "
            f"{tables.annotation_ids[row]}: they look like fractions of the image; multiply them by its width and "
            "height, since COCO's bbox is [x, y, width, height] in pixels"
        )


def _arrays(tables: CocoTables, table: Annotations) -> dict[str, np.ndarray]:
    """What a split consists of, as arrays: see `Records`, and the columns of the table."""
    names = [name.encode(errors="surrogateescape") for name in tables.file_names]
    kept = table.kept  # (n,)
    return {
        "image_ids": tables.image_ids,
        "widths": tables.widths,
        "heights": tables.heights,
        "name_bytes": np.frombuffer(b"".join(names), np.uint8),
        "name_ends": np.cumsum([len(name) for name in names]).astype(np.int64),
        # The rows of image i are bounds[i] to bounds[i + 1], an empty range where it has none.
        "bounds": np.searchsorted(table.images[kept], np.arange(len(names) + 1)).astype(np.int64),
        "boxes_xyxy": table.boxes_xyxy,
        "box_labels": table.labels[kept],
        "box_crowd": table.crowd[kept] | table.ignored[kept],
        **{f"table_{name}": getattr(table, name) for name in _TABLE},
    }


def _report(table: Annotations, changes: tuple[int, Mapping[str, int]], arrays: Mapping[str, np.ndarray]) -> ScanReport:
    """Counts what was kept; `changes` is how many boxes were clipped, and dropped by reason."""
    crowd, ignored = table.crowd[table.kept], table.ignored[table.kept]  # (n,)
    limits = np.stack((arrays["widths"], arrays["heights"]), 1)[table.images]  # (N, 2)
    clipped, dropped = changes
    return ScanReport(
        images=len(arrays["image_ids"]),
        boxes=len(table.kept),
        images_without_boxes=int((np.diff(arrays["bounds"]) == 0).sum()),
        crowd=int(crowd.sum()),
        clipped=clipped,
        dropped=dropped,
        ignored=int((ignored & ~crowd).sum()),
        notes=_notes(table, limits),
    )


def _notes(table: Annotations, limits: np.ndarray) -> tuple[str, ...]:
    """What a person ought to look at.

    Args:
        limits: `(N, 2)` width and height of each annotation's image, pixels.
    """
    small = normalised(table.boxes_xywh, limits)  # (N,)
    if not small.any():
        return ()
    boxes = count(int(small.sum()), "box looks like a fraction", "boxes look like fractions")
    return (f"{boxes} of the image, not like pixels (annotation {table.ids[small][0]} first); check them",)


def _facts(split: CocoSplit, records: Records) -> dict[str, Any]:
    """What of a split is no array."""
    return {
        "files": _fingerprint(records, split.report),
        "names": split.classes.names,
        "category_ids": split.classes.ids,
        "unused": dict(split.unused),
        "absent": split.absent,
        "report": asdict(split.report),
    }


def _from_cache(key: str, annotations: Path, images: Path) -> CocoSplit | None:
    """The split as an earlier scan left it; None if there is none or a file has changed since."""
    stored = read_scan(key)
    if stored is None:
        return None
    arrays, facts = stored.arrays, stored.facts
    table = Annotations(**{name: arrays[f"table_{name}"] for name in _TABLE}, boxes_xyxy=arrays["boxes_xyxy"])
    report = ScanReport(**{**facts["report"], "notes": tuple(facts["report"]["notes"])})
    classes = Classes.of(facts["names"], facts["category_ids"])
    records = Records(arrays, images, (scan_file(key), stored.digest))
    if _fingerprint(records, report) != facts["files"]:
        return None
    return CocoSplit(records, classes, annotations, report, facts["unused"], tuple(facts["absent"]), table)


def _fingerprint(records: Records, report: ScanReport) -> str:
    """Of the images in use, and of the broken ones: these may be repaired."""
    return files_fingerprint((*records.paths(), *map(Path, report.broken)))
