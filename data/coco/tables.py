"""The tables of a COCO annotation file as arrays, each column checked.

A file like COCO's training annotations has 860,000 boxes. So a column's types are checked as the set of those that
occur, and single rows are looked at only to say which of them is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import chain
from os.path import normpath
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from data.errors import DataError
from files.paths import exists, is_file, is_folder, shown, why_missing
from files.words import count


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
    category_names, named = categories.strings("name"), np.arange(len(category_ids))
    if len(set(category_names)) < len(category_names):
        named = categories.without_unused_twins(category_names, np.isin(category_ids, annotation_categories))
    if not legacy:
        images.distinct_files("file_name")
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
        boxes_xywh=annotations.boxes("bbox"),
        areas=annotations.areas("area"),
        crowd=annotations.flags("iscrowd"),
        ignored=np.zeros(len(annotation_ids), bool) if legacy else annotations.flags("ignore"),
        derived=np.zeros(len(annotation_ids), bool),
        roots=categories.roots(),
    )


class _RepeatedKey(dict[str, Any]):
    """An object of the JSON in which a key occurs twice, so that the first value is lost."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        # `add` returns None: the first key that is there already.
        self.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    return values if len(values) == len(pairs) else _RepeatedKey(pairs)


def _sections(content: bytes, file: Path, legacy: bool) -> dict[str, list[Any]]:
    """The three lists of a COCO file."""
    if not content:
        raise DataError(f"{file}: the annotation file is empty (0 bytes); export it again")
    try:
        document = json.loads(content, object_pairs_hook=None if legacy else _object)
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
            f"{file}: not a COCO annotation file: {_kind(document)} instead of an object; export it as COCO JSON"
        )
    if isinstance(document, _RepeatedKey):
        raise DataError(
            f"{file}: '{document.key}' occurs twice, and only one of them would count; put their entries together"
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
            if isinstance(rows[index], _RepeatedKey):
                self._fail(index, f"has the key '{rows[index].key}' twice; keep the right one")
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
        values = self._column(key, {int, float}, "a whole number, without quotes")
        if not set(map(type, values)) <= {int}:  # some programs write 1.0
            bad = (index for index, value in enumerate(values) if isinstance(value, float) and not value.is_integer())
            if (index := next(bad, None)) is not None:
                self._fail(index, f"has the {key} {values[index]!r}; it must be a whole number")
            values = list(map(int, values))
        try:
            return np.array(values, np.int64).reshape(-1)
        except OverflowError:
            index = next(index for index, value in enumerate(values) if not -(2**63) <= value < 2**63)
            return self._fail(index, f"has a '{key}' that does not fit 64 bits; renumber the entries")

    def sizes(self, key: str) -> np.ndarray:
        """Sides in pixels, at least 1; some programs write them as 640.0 or "640"."""
        values = _numbers(self._column(key, {int, float, str}, "a number of pixels"))
        bad = (index for index, value in enumerate(values) if not _is_side(value))
        if (index := next(bad, None)) is not None:
            self._fail(index, f"has the {key} {values[index]!r}; give the image's {key} in pixels")
        return np.array(values, np.int64)

    def strings(self, key: str) -> list[str]:
        values = self._column(key, {str}, "a text")
        if not all(values):
            self._fail(values.index(""), f"has an empty '{key}'")
        return values

    def without_unused_twins(self, names: list[str], used: np.ndarray) -> np.ndarray:
        """Rows to keep, where categories share a name: the used one, else the first.

        Roboflow writes a root without boxes that often has the name of a class.

        Args:
            used: `(K,)` whether a category has annotations.
        """
        kept: dict[str, int] = {}
        for index, name in enumerate(names):
            if name in kept and used[kept[name]] and used[index]:
                self._fail(index, f"has the name {name!r}, which another entry has too; rename or merge them")
            if name not in kept or used[index]:
                kept[name] = index
        return np.array(sorted(kept.values()), np.int64)

    def roots(self) -> frozenset[str]:
        """The names that categories give as the one above them, other than their own."""
        above = ((row.get("supercategory"), row["name"]) for row in self.rows)
        return frozenset(name for name, own in above if isinstance(name, str) and name != own)

    def distinct_files(self, key: str) -> None:
        """Refuse two images that are one file: each would teach the other's objects as background."""
        seen: dict[str, int] = {}
        for index, name in enumerate(map(normpath, self.strings(key))):
            other = self.rows[seen.setdefault(name, index)]
            if seen[name] != index:
                self._fail(
                    index,
                    f"has the file {self.rows[index][key]!r}, which id {other['id']} has too; give each picture one "
                    "entry, and its boxes the id of that entry",
                )

    def areas(self, key: str) -> np.ndarray:
        """`(N,)` float64; nan where there is no number of at least 0."""
        numbers = [value if type(value) in (int, float) else np.nan for value in (row.get(key) for row in self.rows)]
        areas = self._as_float(numbers)
        return np.where(np.isfinite(areas) & (areas >= 0), areas, np.nan)

    def flags(self, key: str) -> np.ndarray:
        """0 or 1, also as 1.0, true or "1"; 0 where the key is missing or null."""
        values = _numbers([0 if value is None else value for value in (row.get(key) for row in self.rows)])
        if not set(map(type, values)) <= {int, bool, float} or not set(values) <= {0, 1}:
            good = (int, bool, float)
            index = next(i for i, v in enumerate(values) if type(v) not in good or v not in (0, 1))
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
            more = f" ({count(others, 'more annotation')} like it)" if others else ""
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
            return np.array([np.inf if abs(value) >= 1e300 else value for value in values], np.float64)

    def _fail(self, index: int, message: str) -> NoReturn:
        row = self.rows[index]
        name = f" (id {row['id']})" if isinstance(row, dict) and isinstance(row.get("id"), int) else ""
        raise DataError(f"{self.file}: {self.section}[{index}]{name} {message}")


def _numbers(values: list[Any]) -> list[Any]:
    """Texts such as "640" as the whole numbers that they hold; other values as they are."""
    if str not in set(map(type, values)):
        return values
    digits = re.compile("[0-9]{1,18}")
    return [int(value) if isinstance(value, str) and digits.fullmatch(value) else value for value in values]


def _is_side(value: Any) -> bool:
    return isinstance(value, int | float) and 1 <= value < 2**31 and value == int(value)


_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    describe: Callable[[Any], str] = lambda other: f"the number {other!r}"  # noqa: E731
    return _KINDS.get(type(value)) or describe(value)
