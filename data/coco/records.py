"""Annotations as a split: one record per image, classes 0..nc-1, boxes cleaned, an account of what was dropped.

Boxes that cannot be trained on are dropped and counted, and so are images whose files are broken, as long as these are
few. What is wrong with the file's structure, or contradicts its images, is an error: nobody could say what was meant.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.coco.boxes import CLIPPED, clean_boxes, counts, normalised
from data.coco.cache import read_scan, scan_file, write_scan
from data.coco.categories import chosen_classes, labels_of, unused_categories
from data.coco.scan import ImageEntry, check_images, files_fingerprint, fingerprint
from data.coco.source import AnnotationSource, CocoFile, ScanSettings
from data.coco.split import CocoSplit, ImageRecord, Records, ScanReport
from data.coco.tables import CocoTables
from data.coco.tolerance import check_unusable
from data.coco.truth import Annotations
from data.errors import DataError
from data.media.limits import MAX_PIXELS
from files.classes import Classes
from files.words import count

log = logging.getLogger(__name__)

__all__ = ["CocoSplit", "ImageRecord", "ScanReport", "load_coco", "load_split"]

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
    settings = ScanSettings(None if names is None else tuple(names), legacy=legacy, max_pixels=max_pixels)
    source = CocoFile(Path(annotations), Path(images).absolute())
    return load_split(source, settings, like=like, cache=cache, strict=strict)


def load_split(
    source: AnnotationSource,
    settings: ScanSettings | None = None,
    *,
    like: CocoSplit | Classes | None = None,
    cache: bool = True,
    strict: bool = False,
) -> CocoSplit:
    """Read and check annotations of any format and their images. Broken image files are named, and left out.

    Args:
        source: the annotations.
        settings: what to make of them; of a second split, the first one's.
        like, cache, strict: see `load_coco`.

    Raises:
        DataError: one line that names the file, the entry and the remedy.
    """
    settings = settings or ScanSettings()
    others_may_come = settings.names is not None or not isinstance(like, CocoSplit)
    if like is not None:
        settings = replace(settings, names=None, classes=like.classes if isinstance(like, CocoSplit) else like)
    reading = source.read()
    key = fingerprint(reading.state, str(source.images).encode(errors="surrogateescape"), settings.text())
    split = _from_cache(key, source) if cache else None
    if split is None:
        split, arrays = _scan(reading.tables(settings.legacy), source, settings)
        if cache:
            write_scan(key, arrays, _facts(split, Records(arrays, source.images)))
            # From now on as every later run has it: mapped, where the cache could be written.
            split = _from_cache(key, source) or split
    broken = tuple(split.report.broken.values())
    check_unusable(broken, split.report.images + len(broken), source.file, strict=strict)
    for what in broken:
        log.warning("%s. It is left out", what)
    if isinstance(like, CocoSplit) and not others_may_come:
        _check_known(split, like)
    return split


def _scan(
    tables: CocoTables, source: AnnotationSource, settings: ScanSettings
) -> tuple[CocoSplit, dict[str, np.ndarray]]:
    """Checks the annotations and their images, without the cache; the split, and the arrays that it lies in."""
    file = source.file
    classes = chosen_classes(tables, settings, file)
    columns = zip(
        tables.image_ids.tolist(), tables.file_names, tables.widths.tolist(), tables.heights.tolist(), strict=True
    )
    entries = [ImageEntry(number, name, source.images / name, width, height) for number, name, width, height in columns]
    broken, sizes = check_images(entries, file, max_pixels=settings.max_pixels)
    if len(broken) == len(entries):
        raise DataError(f"{broken[0]} (no image of {file.name} can be used)")
    whole = [index for index in range(len(entries)) if index not in broken]
    tables = tables.without_images(broken).with_sizes(sizes[whole])
    cleaned = _clean(tables, classes, file, settings)
    arrays = _arrays(tables, cleaned)
    report = _report(cleaned, tables, arrays)
    report = replace(report, broken={str(entries[index].path): why for index, why in broken.items()})
    unused = unused_categories(tables, classes, settings.ignore)
    absent = tuple(name for name in classes.names if name not in tables.category_names)
    records = Records(arrays, source.images)
    return CocoSplit(records, classes, file, report, unused, absent, cleaned.table), arrays


def _check_known(split: CocoSplit, like: CocoSplit) -> None:
    foreign = next((name for name, number in split.unused.items() if number and name not in like.unused), None)
    if foreign is not None:
        number = split.unused[foreign]
        boxes = count(number, "box is", "boxes are")
        raise DataError(
            f"{split.annotations}: {boxes} of the category {foreign!r}, which {like.annotations} does not have; rename "
            "it, add it there, or list the categories to use under 'names' in the data-set YAML"
        )


@dataclass(frozen=True, eq=False)
class _Cleaned:
    """What the boxes came to.

    Attributes:
        table: the annotations of the classes.
        regions_xyxy (r, 4) float32: regions in which nothing is right or wrong, pixels, ordered by image.
        region_images (r,) int64: the index of each one's image.
        outcomes (A,) uint8: what became of all boxes, indices into `data.coco.boxes.OUTCOMES`.
        derived: how many usable boxes follow from a mask or an outline.
    """

    table: Annotations
    regions_xyxy: np.ndarray
    region_images: np.ndarray
    outcomes: np.ndarray
    derived: int


def _clean(tables: CocoTables, classes: Classes, file: Path, settings: ScanSettings) -> _Cleaned:
    """Cleans the boxes; M images, A annotations, of which N are of the classes, n of these kept, and r are regions."""
    owner = tables.owners()  # (A,)
    ignored_ids = [number for name, number in tables.categories().items() if name in settings.ignore]
    region = np.isin(tables.annotation_categories, ignored_ids)  # (A,)
    labels = np.where(region, -1, labels_of(tables.annotation_categories, classes.ids))  # (A,)
    limits = np.stack((tables.widths, tables.heights), 1)[owner].astype(np.float64)  # (A, 2)
    if not (settings.legacy or tables.fractions):
        _refuse_fractions(tables, limits, file)
    groups = np.column_stack((owner, labels, tables.crowd | tables.ignored))  # (A, 3)
    used = (labels >= 0) | region  # (A,)
    corners, outcomes = clean_boxes(tables.boxes_xywh, limits, groups, used, drop_repeated=not settings.legacy)
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
    regions = np.flatnonzero(region & (outcomes <= CLIPPED))  # (r,)
    regions = regions[np.argsort(owner[regions], kind="stable")]  # (r,)
    derived = int(tables.derived[rows[kept]].sum())
    return _Cleaned(table, corners[regions].astype(np.float32), owner[regions], outcomes, derived)


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


def _arrays(tables: CocoTables, cleaned: _Cleaned) -> dict[str, np.ndarray]:
    """What a split consists of, as arrays: see `Records`, and the columns of the table."""
    table = cleaned.table
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
        "region_bounds": np.searchsorted(cleaned.region_images, np.arange(len(names) + 1)).astype(np.int64),
        "regions_xyxy": cleaned.regions_xyxy,
        **{f"table_{name}": getattr(table, name) for name in _TABLE},
    }


def _report(cleaned: _Cleaned, tables: CocoTables, arrays: Mapping[str, np.ndarray]) -> ScanReport:
    """Counts what was kept, clipped and dropped."""
    table = cleaned.table
    crowd, ignored = table.crowd[table.kept], table.ignored[table.kept]  # (n,)
    limits = np.stack((arrays["widths"], arrays["heights"]), 1)[table.images]  # (N, 2)
    clipped, dropped = counts(cleaned.outcomes)
    return ScanReport(
        images=len(arrays["image_ids"]),
        boxes=len(table.kept),
        images_without_boxes=int((np.diff(arrays["bounds"]) == 0).sum()),
        crowd=int(crowd.sum()),
        clipped=clipped,
        dropped=dropped,
        ignored=int((ignored & ~crowd).sum()),
        regions=len(cleaned.regions_xyxy),
        derived=cleaned.derived,
        notes=(*tables.notes, *(() if tables.fractions else _notes(table, limits))),
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


def _from_cache(key: str, source: AnnotationSource) -> CocoSplit | None:
    """The split as an earlier scan left it; None if there is none or a file has changed since."""
    stored = read_scan(key)
    if stored is None:
        return None
    arrays, facts = stored.arrays, stored.facts
    table = Annotations(**{name: arrays[f"table_{name}"] for name in _TABLE}, boxes_xyxy=arrays["boxes_xyxy"])
    report = ScanReport(**{**facts["report"], "notes": tuple(facts["report"]["notes"])})
    classes = Classes.of(facts["names"], facts["category_ids"])
    records = Records(arrays, source.images, (scan_file(key), stored.digest))
    if _fingerprint(records, report) != facts["files"]:
        return None
    return CocoSplit(records, classes, source.file, report, facts["unused"], tuple(facts["absent"]), table)


def _fingerprint(records: Records, report: ScanReport) -> str:
    """Of the images in use, and of the broken ones: these may be repaired."""
    return files_fingerprint((*records.paths(), *map(Path, report.broken)))
