"""The tables of a COCO annotation file as arrays, each column checked.

A file like COCO's training annotations has 860,000 boxes. So a column's types are checked as the set of those that
occur, and single rows are looked at only to say which of them is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from data.errors import DataError


@dataclass(frozen=True)
class CocoTables:
    """A COCO file, column by column; rows in the file's order.

    Attributes:
        image_ids (I,) int64, file_names, widths and heights (I,) int64: the images, sizes in pixels.
        category_ids (K,) int64, category_names: the categories.
        annotation_ids, annotation_images, annotation_categories (N,) int64: ids as they stand in the file.
        boxes_xywh (N, 4) float64: left, top, width, height in pixels; any values, they are not checked here.
        crowd (N,) bool.
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
    crowd: np.ndarray

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
            crowd=self.crowd[boxes],
        )


def read_coco_bytes(file: Path) -> bytes:
    """Contents of an annotation file.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{file}: no such annotation file; correct 'annotations' in the data-set YAML") from None
    except OSError as error:
        raise DataError(f"{file}: cannot read the annotation file: {error.strerror}") from None


def parse_coco(content: bytes, file: Path) -> CocoTables:
    """Decode and check an annotation file's structure: keys, types, ids that are unique and refer to something.

    Raises:
        DataError: one line that names the file, the entry and the remedy.
    """
    sections = _sections(content, file)
    images = _Table(file, "images", sections["images"])
    categories = _Table(file, "categories", sections["categories"])
    annotations = _Table(file, "annotations", sections["annotations"])
    if not images.rows:
        raise DataError(f"{file}: 'images' is empty; there is nothing to work on")
    if not categories.rows:
        raise DataError(f"{file}: 'categories' is empty; give every class an id and a name")
    image_ids, category_ids = images.unique_ids(), categories.unique_ids()
    annotation_images, annotation_categories = annotations.integers("image_id"), annotations.integers("category_id")
    annotation_ids = annotations.unique_ids()
    annotations.refers("image_id", annotation_images, image_ids, "images")
    annotations.refers("category_id", annotation_categories, category_ids, "categories")
    return CocoTables(
        image_ids=image_ids,
        file_names=images.strings("file_name"),
        widths=images.sizes("width"),
        heights=images.sizes("height"),
        category_ids=category_ids,
        category_names=categories.strings("name", unique=True),
        annotation_ids=annotation_ids,
        annotation_images=annotation_images,
        annotation_categories=annotation_categories,
        boxes_xywh=annotations.boxes("bbox"),
        crowd=annotations.flags("iscrowd"),
    )


def _sections(content: bytes, file: Path) -> dict[str, list[Any]]:
    """The three lists of a COCO file."""
    if not content:
        raise DataError(f"{file}: the annotation file is empty (0 bytes); export it again")
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{file}, {where}: broken JSON: {error.msg}; export the annotations again") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: broken JSON: {' '.join(str(error).split())}; export the annotations again") from None
    if not isinstance(document, dict):
        raise DataError(
            f"{file}: not a COCO annotation file: {_kind(document)} instead of an object; export it as COCO JSON"
        )
    for key in ("images", "annotations", "categories"):
        if key not in document:
            raise DataError(
                f"{file}: '{key}' is missing; a COCO annotation file has images, annotations and categories"
            )
        if not isinstance(document[key], list):
            raise DataError(f"{file}: '{key}' is {_kind(document[key])}; it must be a list")
    return document


class _Table:
    """One list of a COCO file and its columns."""

    def __init__(self, file: Path, section: str, rows: list[Any]) -> None:
        self.file, self.section, self.rows = file, section, rows
        if not set(map(type, rows)) <= {dict}:
            index = next(index for index, row in enumerate(rows) if type(row) is not dict)
            self._fail(index, f"is {_kind(rows[index])}; it must be an object")

    def unique_ids(self) -> np.ndarray:
        ids = self.integers("id")
        values, first, counts = np.unique(ids, return_index=True, return_counts=True)
        if len(values) < len(ids):
            duplicate = int(values[counts > 1][np.argmin(first[counts > 1])])
            raise DataError(
                f"{self.file}: {self.section}: the id {duplicate} is given {counts[values == duplicate][0]} times; "
                "give every entry an id of its own"
            )
        return ids

    def integers(self, key: str) -> np.ndarray:
        values = self._column(key, {int}, "a whole number")
        try:
            return np.array(values, np.int64).reshape(-1)
        except OverflowError:
            index = next(index for index, value in enumerate(values) if not -(2**63) <= value < 2**63)
            return self._fail(index, f"has a '{key}' that does not fit 64 bits; renumber the entries")

    def sizes(self, key: str) -> np.ndarray:
        """Sides in pixels, at least 1; some programs write them as 640.0."""
        values = self._column(key, {int, float}, "a number of pixels")
        bad = (index for index, value in enumerate(values) if not (1 <= value < 2**31 and value == int(value)))
        if (index := next(bad, None)) is not None:
            self._fail(index, f"has the {key} {values[index]!r}; give the image's {key} in pixels")
        return np.array(values, np.int64)

    def strings(self, key: str, *, unique: bool = False) -> list[str]:
        values = self._column(key, {str}, "a text")
        if not all(values):
            self._fail(values.index(""), f"has an empty '{key}'")
        if unique and len(set(values)) < len(values):
            index = next(index for index, value in enumerate(values) if value in values[:index])
            self._fail(index, f"has the {key} {values[index]!r}, which another entry has too; rename or merge them")
        return values

    def flags(self, key: str) -> np.ndarray:
        """0 or 1, 0 where the key is missing."""
        values = [row.get(key, 0) for row in self.rows]
        if not set(map(type, values)) <= {int, bool} or not set(values) <= {0, 1}:
            index = next(i for i, v in enumerate(values) if type(v) not in (int, bool) or v not in (0, 1))
            self._fail(index, f"has the {key} {values[index]!r}; it must be 0 or 1")
        return np.array(values, bool)

    def boxes(self, key: str) -> np.ndarray:
        """`(N, 4)` float64."""
        values = self._column(key, {list}, "a list [x, y, width, height]")
        if not set(map(len, values)) <= {4}:
            index = next(index for index, value in enumerate(values) if len(value) != 4)
            self._fail(index, f"has a '{key}' of {len(values[index])} numbers; it must be [x, y, width, height]")
        if not set(map(type, chain.from_iterable(values))) <= {int, float}:
            good = {int, float}
            index = next(index for index, value in enumerate(values) if not set(map(type, value)) <= good)
            self._fail(index, f"has the {key} {values[index]!r}; it must be four numbers [x, y, width, height]")
        return self._as_float(list(chain.from_iterable(values))).reshape(-1, 4)

    def refers(self, key: str, ids: np.ndarray, known: np.ndarray, section: str) -> None:
        """Refuse ids that are not in another table."""
        unknown = np.flatnonzero(~np.isin(ids, known))
        if len(unknown):
            others = len(unknown) - 1
            more = f" ({others} more annotation{'s' * (others > 1)} like it)" if others else ""
            row = int(unknown[0])
            self._fail(row, f"has the {key} {ids[row]}, which is not in '{section}'; add it there or remove it{more}")

    def _column(self, key: str, kinds: set[type], expected: str) -> list[Any]:
        try:
            values = [row[key] for row in self.rows]
        except KeyError:
            index = next(index for index, row in enumerate(self.rows) if key not in row)
            self._fail(index, f"has no '{key}'; add it, {expected}")
        if not set(map(type, values)) <= kinds:
            index = next(index for index, value in enumerate(values) if type(value) not in kinds)
            self._fail(index, f"has a '{key}' that is {_kind(values[index])}; it must be {expected}")
        return values

    @staticmethod
    def _as_float(values: list[Any]) -> np.ndarray:
        try:
            return np.array(values, np.float64)
        except OverflowError:  # whole numbers of more than 308 digits
            return np.array([value if abs(value) < 1e300 else np.inf for value in values], np.float64)

    def _fail(self, index: int, message: str) -> NoReturn:
        row = self.rows[index]
        name = f" (id {row['id']})" if isinstance(row, dict) and isinstance(row.get("id"), int) else ""
        raise DataError(f"{self.file}: {self.section}[{index}]{name} {message}")


_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    describe: Callable[[Any], str] = lambda other: f"the number {other!r}"  # noqa: E731
    return _KINDS.get(type(value)) or describe(value)
