"""YOLO: a text beside each picture, a row for each box: class, then cx, cy, w, h as fractions of the picture.

`train: images/train` names a folder, a list of folders, or a text that lists pictures. The labels of
`images/train/a.jpg` are `labels/train/a.txt`: the last folder called `images` is replaced. Where no such text is there,
they are looked for beside the pictures. A picture without a text is background. A row may also be an outline: class,
then x and y of three points or more; its box is the upright one around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator, Field

from data.coco.scan import files_fingerprint
from data.coco.source import AnnotationSource, Reading
from data.coco.tables import CocoTables
from data.errors import DataError
from data.formats.base import SplitConfig, refuse_escapes, register_format, tables_of
from data.formats.pictures import lines_of, names_from, pictures_in, pictures_of_list
from files.paths import exists, expanded, find, is_file, is_folder
from files.words import count

_PIXELS = 2.0
"""A box of more pictures' widths or heights than this is not in fractions."""


def _place(path: Any, info: Any) -> Any:
    """An absolute folder or list. Roboflow writes `../train/images` for what lies beside the YAML."""
    if not isinstance(path, str):
        return path
    if not path.strip():
        raise ValueError("is empty; write the folder of the pictures")
    refuse_escapes(path)
    place, inside = (_absolute(info.context, text) for text in (path, path.removeprefix("../")))
    return inside if not exists(place) and exists(inside) else place


def _absolute(root: Path, path: str) -> Path:
    """A path of the YAML. Links stay as they are: labels are looked for beside the link to a folder of pictures."""
    return Path(normpath(root / (find(path, root) or expanded(path))))


@register_format
class YoloFiles(SplitConfig):
    """Folders of pictures, or texts that list them."""

    form: ClassVar[str] = "FOLDER with labels in YOLO's format"
    foreign: ClassVar[frozenset[str]] = frozenset({"download", "roboflow"})
    needs_names: ClassVar[bool] = True

    images: Annotated[tuple[Annotated[Path, BeforeValidator(_place)], ...], Field(min_length=1)]

    @classmethod
    def claims(cls, entry: Any, root: Path) -> bool:
        """A path, or a list of them."""
        return isinstance(entry, str | list)

    @classmethod
    def as_map(cls, entry: Any) -> Any:
        """The field that a path stands for."""
        return {"images": [entry] if isinstance(entry, str) else entry}

    def source(self, names: Sequence[str] | None, root: Path) -> AnnotationSource:
        """The pictures with their labels; these are numbers of `names`."""
        return YoloSource(self.images, root, tuple(names or ()))


@dataclass(frozen=True)
class YoloSource:
    """Labels in YOLO's format.

    Attributes:
        places: folders of pictures, and lists of them.
        images: the data set's root, to which names of pictures are relative.
        names: of the classes, by number.
    """

    places: tuple[Path, ...]
    images: Path
    names: tuple[str, ...]

    @property
    def file(self) -> Path:
        """The first folder or list."""
        return self.places[0]

    def read(self) -> Reading:
        """Finds pictures and labels; raises DataError where there are none."""
        listed = [picture for place in self.places for picture in self._pictures(place)]
        pictures = list(dict.fromkeys(listed))
        labels = self._labels(pictures)
        state = "\n".join((*map(str, pictures), files_fingerprint(labels), repr(self.names)))
        again = len(listed) - len(pictures)
        notes = (f"{count(again, 'picture is', 'pictures are')} listed twice; each counts once",) if again else ()
        return Reading(state.encode(errors="surrogateescape"), lambda legacy: self._tables(pictures, labels, notes))

    def _pictures(self, place: Path) -> list[Path]:
        is_list = place.suffix.lower() == ".txt" and not is_folder(place)
        return pictures_of_list(place, self.images) if is_list else pictures_in(place)

    def _labels(self, pictures: Sequence[Path]) -> list[Path]:
        """The text of each picture, which may not be there."""
        for place in (label_path, beside):
            labels = [place(picture) for picture in pictures]
            if any(map(is_file, labels)):
                return labels
        raise DataError(
            f"{self.file}: none of the {count(len(pictures), 'picture')} has labels; those of {pictures[0]} are looked "
            f"for in {label_path(pictures[0])}"
        )

    def _tables(self, pictures: Sequence[Path], labels: Sequence[Path], notes: tuple[str, ...]) -> CocoTables:
        rows = [(owner, row) for owner, label in enumerate(labels) for row in self._rows(label)]
        self._refuse_pixels([row for _, row in rows])
        return tables_of(
            [(name, 0, 0) for name in names_from(self.images, pictures)],
            self.names,
            [owner for owner, _ in rows],
            [row.label for _, row in rows],
            [row.xywh for _, row in rows],
            derived=[row.is_outline for _, row in rows],
            fractions=True,
            notes=notes,
        )

    def _rows(self, label: Path) -> Iterator[_Row]:
        if is_file(label):
            for number, line in enumerate(lines_of(label, "a file of labels"), 1):
                if line:
                    try:
                        yield _parsed(line, len(self.names))
                    except ValueError as error:
                        raise DataError(f"{label}, line {number}: {error}") from None

    def _refuse_pixels(self, rows: Sequence[_Row]) -> None:
        """Refuses labels that are all larger than their picture."""
        sizes = [max(row.xywh[2:]) for row in rows if not math.isnan(max(row.xywh[2:]))]
        if sizes and min(sizes) > _PIXELS:
            raise DataError(
                f"{self.file}: all boxes are larger than their pictures: they look like pixels; divide them by width "
                "and height, since YOLO's rows are class, then cx, cy, w, h as fractions of the picture"
            )


class _Row(NamedTuple):
    """A box: its class, and left, top, width, height as fractions of the picture."""

    label: int
    xywh: tuple[float, float, float, float]
    is_outline: bool


def label_path(picture: Path) -> Path:
    """Where the labels of a picture are: the last folder `images` of its path is `labels` there."""
    parts = list(picture.parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def beside(picture: Path) -> Path:
    """Where the labels of a picture are in data sets without a folder for them."""
    return picture.with_suffix(".txt")


def _parsed(line: str, classes: int) -> _Row:
    """One row.

    Raises:
        ValueError: it is none; says why.
    """
    fields = line.split()
    if len(fields) != 5 and (len(fields) < 7 or len(fields) % 2 == 0):
        raise ValueError(
            f"has {count(len(fields), 'column')}; a row is class cx cy w h, or class and x y of three points or more"
        )
    try:
        number, *values = map(float, fields)
    except ValueError:
        raise ValueError(f"{line[:60]!r} is not a row of numbers; correct it") from None
    if not (number.is_integer() and 0 <= number < classes):
        raise ValueError(
            f"has the class {fields[0]}, but the data-set YAML has {count(classes, 'name')}, numbered from 0; correct "
            "either"
        )
    if len(values) > 4:
        return _Row(int(number), _around(values[::2], values[1::2]), True)
    cx, cy, width, height = values
    return _Row(int(number), (cx - width / 2, cy - height / 2, width, height), False)


def _around(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float, float]:
    """The upright box around points; not finite where one of them is not."""
    if not all(map(math.isfinite, (*xs, *ys))):
        return (math.nan, math.nan, 0.0, 0.0)
    return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
