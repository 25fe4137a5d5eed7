"""The tables of a COCO annotation file as arrays; see `data.coco.columns` for what is checked of each column."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.coco.columns import RepeatedKey, Table, as_object, kind_of
from data.errors import DataError
from files.paths import exists, is_file, is_folder, shown, why_missing


@dataclass(frozen=True)
class CocoTables:
    """A COCO file, column by column; rows in the file's order.

    Attributes:
        image_ids (I,) int64, file_names, widths and heights (I,) int64: the images, sizes in pixels.
        category_ids (K,) int64, category_names: the categories.
        annotation_ids, annotation_images, annotation_categories (N,) int64: ids as they stand in the file.
        boxes_xywh (N, 4) float64: left, top, width, height in pixels; any values, they are not checked here.
        areas (N,) float64: as stated (of a mask, often), square pixels; nan where none or nonsense is stated.
        crowd (N,) bool: `iscrowd`.
        ignored (N,) bool: `ignore`.
        derived (N,) bool: the box was not stated, and follows from a mask or an outline.
        fractions: the file states boxes in fractions of their image; `with_sizes` makes pixels of them.
        roots: names of categories that others name as the one above them.
        notes: what a person ought to look at, a sentence each.

    An image whose width and height are 0 has those of its file.
    """

    image_ids: np.ndarray
    file_names: list[str]
    widths: np.ndarray
    heights: np.ndarray
    category_ids: np.ndarray
    category_names: list[str]
    annotation_ids: np.ndarray
    annotation_images: np.ndarray
    annotation_categories: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    derived: np.ndarray
    fractions: bool = False
    roots: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def with_sizes(self, sizes_wh: np.ndarray) -> CocoTables:
        """The same with the sizes `(I, 2)` of the image files, where none are stated; and all boxes in pixels."""
        sizes = np.stack((self.widths, self.heights), 1)  # (I, 2)
        sizes = np.where(sizes > 0, sizes, sizes_wh)
        boxes = self.boxes_xywh
        if self.fractions:
            boxes = boxes * np.tile(sizes[self.owners()], 2)  # (N, 4)
        return replace(self, widths=sizes[:, 0], heights=sizes[:, 1], boxes_xywh=boxes)

    def categories(self) -> dict[str, int]:
        """Name to id."""
        return dict(zip(self.category_names, self.category_ids.tolist(), strict=True))

    def owners(self) -> np.ndarray:
        """`(N,)` int64: the index of each annotation's image."""
        order = np.argsort(self.image_ids, kind="stable")  # (I,)
        return order[np.searchsorted(self.image_ids, self.annotation_images, sorter=order)]  # (N,)

    def without_images(self, rows: Collection[int]) -> CocoTables:
        """The same without some of the images (row numbers) and their annotations."""
        if not rows:
            return self
        keep = np.ones(len(self.image_ids), bool)  # (I,)
        keep[list(rows)] = False
        boxes = np.isin(self.annotation_images, self.image_ids[keep])  # (N,)
        return replace(
            self,
            image_ids=self.image_ids[keep],
            file_names=[name for name, kept in zip(self.file_names, keep, strict=True) if kept],
            widths=self.widths[keep],
            heights=self.heights[keep],
            annotation_ids=self.annotation_ids[boxes],
            annotation_images=self.annotation_images[boxes],
            annotation_categories=self.annotation_categories[boxes],
            boxes_xywh=self.boxes_xywh[boxes],
            areas=self.areas[boxes],
            crowd=self.crowd[boxes],
            ignored=self.ignored[boxes],
            derived=self.derived[boxes],
        )


def read_coco_bytes(file: Path) -> bytes:
    """Contents of an annotation file.

    Raises:
        DataError: it is missing or cannot be read.
    """
    if exists(file) and not (is_file(file) or is_folder(file)):  # reading would wait for ever, or never end
        raise DataError(f"{file}: not a file but a pipe, a device or a socket; correct 'annotations'")
    try:
        return file.read_bytes()
    except (OSError, ValueError) as error:
        if not exists(file):
            why = why_missing(file, "annotation file")
            raise DataError(f"{shown(file)}: {why}; correct 'annotations' in the data-set YAML") from None
        reason = error.strerror if isinstance(error, OSError) else error
        remedy = "give the JSON file" if isinstance(error, IsADirectoryError) else "check its permissions and the disk"
        raise DataError(f"{file}: cannot read the annotation file: {reason}; {remedy}") from None


def parse_coco(content: bytes, file: Path, *, legacy: bool = False) -> CocoTables:
    """Decode and check an annotation file's structure: keys, types, ids that are unique and refer to something.

    Args:
        legacy: take what was taken once: a key twice in an object, of which the last one counts, and two images that
            are one file; and do not read `ignore`.

    Raises:
        DataError: one line that names the file, the entry and the remedy.
    """
    sections = _sections(content, file, legacy)
    images = Table(file, "images", sections["images"])
    categories = Table(file, "categories", sections["categories"])
    annotations = Table(file, "annotations", sections["annotations"])
    if not images.rows:
        raise DataError(f"{file}: 'images' is empty; there is nothing to work on")
    if not categories.rows:
        raise DataError(f"{file}: 'categories' is empty; give every class an id and a name")
    image_ids, category_ids = images.unique_ids(), categories.unique_ids()
    annotation_images, annotation_categories = annotations.integers("image_id"), annotations.integers("category_id")
    annotation_ids = annotations.unique_ids()
    annotations.refers("image_id", annotation_images, image_ids, "images")
    annotations.refers("category_id", annotation_categories, category_ids, "categories")
    category_names, named = categories.strings("name"), np.arange(len(category_ids))
    if len(set(category_names)) < len(category_names):
        named = categories.without_unused_twins(category_names, np.isin(category_ids, annotation_categories))
    if not legacy:
        images.distinct_files("file_name")
    boxes_xywh, derived = annotations.boxes("bbox", "segmentation")
    return CocoTables(
        image_ids=image_ids,
        file_names=images.strings("file_name"),
        widths=images.sizes("width"),
        heights=images.sizes("height"),
        category_ids=category_ids[named],
        category_names=[category_names[index] for index in named],
        annotation_ids=annotation_ids,
        annotation_images=annotation_images,
        annotation_categories=annotation_categories,
        boxes_xywh=boxes_xywh,
        areas=annotations.areas("area"),
        crowd=annotations.flags("iscrowd"),
        ignored=np.zeros(len(annotation_ids), bool) if legacy else annotations.flags("ignore"),
        derived=derived,
        roots=categories.roots(),
    )


def _sections(content: bytes, file: Path, legacy: bool) -> dict[str, list[Any]]:
    """The three lists of a COCO file."""
    if not content:
        raise DataError(f"{file}: the annotation file is empty (0 bytes); export it again")
    try:
        document = json.loads(content, object_pairs_hook=None if legacy else as_object)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{file}, {where}: broken JSON: {error.msg}; export the annotations again") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}, line {line}: cannot be read as UTF-8 text; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: broken JSON: {' '.join(str(error).split())}; export the annotations again") from None
    if not isinstance(document, dict):
        raise DataError(
            f"{file}: not a COCO annotation file: {kind_of(document)} instead of an object; export it as COCO JSON"
        )
    if isinstance(document, RepeatedKey):
        raise DataError(
            f"{file}: '{document.key}' occurs twice, and only one of them would count; put their entries together"
        )
    for key in ("images", "annotations", "categories"):
        if key not in document:
            raise DataError(
                f"{file}: '{key}' is missing; a COCO annotation file has images, annotations and categories"
            )
        if not isinstance(document[key], list):
            raise DataError(f"{file}: '{key}' is {kind_of(document[key])}; it must be a list")
    return document
