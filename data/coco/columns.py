"""The lists of a COCO annotation file, column by column: each checked as a whole, and made an array.

A file like COCO's training annotations has 860,000 boxes. So a column's types are checked as the set of those that
occur, and single rows are looked at only to say which of them is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain
from os.path import normpath
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from data.coco.outlines import surrounding_box
from data.errors import DataError
from files.words import count


class RepeatedKey(dict[str, Any]):
    """An object of the JSON in which a key occurs twice, so that the first value is lost."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        # `add` returns None: the first key that is there already.
        self.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    return values if len(values) == len(pairs) else RepeatedKey(pairs)


class Table:
    """One list of a COCO file and its columns."""

    def __init__(self, file: Path, section: str, rows: list[Any]) -> None:
        self.file, self.section, self.rows = file, section, rows
        if not set(map(type, rows)) <= {dict}:
            index = next(index for index, row in enumerate(rows) if type(row) is not dict)
            if isinstance(rows[index], RepeatedKey):
                self._fail(index, f"has the key '{rows[index].key}' twice; keep the right one")
            self._fail(index, f"is {kind_of(rows[index])}; it must be an object")

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
        """Sides in pixels, at least 1; some programs write them as 640.0 or "640". 0 for null, which is the file's."""
        values = _numbers(self._column(key, {int, float, str, type(None)}, "a number of pixels"))
        bad = (index for index, value in enumerate(values) if value is not None and not _is_side(value))
        if (index := next(bad, None)) is not None:
            self._fail(index, f"has the {key} {values[index]!r}; give the image's {key} in pixels")
        return np.array([0 if value is None else value for value in values], np.int64)

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

    def boxes(self, key: str, outline: str) -> tuple[np.ndarray, np.ndarray]:
        """Boxes `(N, 4)` float64, and which of them are those around an outline `(N,)` bool, for want of a stated one.

        One that has neither is nan.
        """
        lacking = np.array([row.get(key) in (None, []) and row.get(outline) is not None for row in self.rows], bool)
        if not lacking.any():
            return self._stated_boxes(key), lacking
        rows = [
            {**row, key: self._surrounding(index, outline)} if lacks else row
            for index, (row, lacks) in enumerate(zip(self.rows, lacking.tolist(), strict=True))
        ]
        return Table(self.file, self.section, rows)._stated_boxes(key), lacking

    def _surrounding(self, index: int, key: str) -> list[float]:
        try:
            return list(surrounding_box(self.rows[index][key]))
        except ValueError as error:
            return self._fail(index, f"has no 'bbox', and a '{key}' that is none: {error}; export it again")

    def _stated_boxes(self, key: str) -> np.ndarray:
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
            self._fail(index, f"has a '{key}' that is {kind_of(values[index])}; it must be {expected}")
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
    """Texts such as "640" and "640.0" as the whole numbers that they hold; other values as they are."""
    if str not in set(map(type, values)):
        return values
    digits = re.compile(r"([0-9]{1,18})(\.0+)?")
    found = [digits.fullmatch(value) if isinstance(value, str) else None for value in values]
    return [value if match is None else int(match[1]) for value, match in zip(values, found, strict=True)]


def _is_side(value: Any) -> bool:
    return isinstance(value, int | float) and 1 <= value < 2**31 and value == int(value)


_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    describe: Callable[[Any], str] = lambda other: f"the number {other!r}"  # noqa: E731
    return _KINDS.get(type(value)) or describe(value)
