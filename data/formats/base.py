"""What a format of annotations is, and the registry of those that exist.

A format is one file in this folder: a class that says which entries of a data-set YAML are its own, checks them as
fields, and makes an `AnnotationSource` of them. The folder is imported as a whole, so nothing else is edited:

    @register_format
    class CsvFiles(SplitConfig):
        form = "{images: FOLDER, csv: FILE.csv}"
        images: SplitPath
        csv: SplitPath

        @classmethod
        def claims(cls, entry, root):
            return isinstance(entry, dict) and "csv" in entry

        @abstractmethod
    def source(self, names, root):
            return CsvSource(self.csv, self.images)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict

from data.coco.source import AnnotationSource
from data.coco.tables import CocoTables
from files.paths import expanded, find
from files.words import short


def _path_from_root(path: Any, info: Any) -> Any:
    """A path of the YAML, absolute: from the data set's root, which is the validation's context."""
    if isinstance(path, str):
        if not path.strip():
            raise ValueError("is empty; write a path, '.' for the folder of the data set itself")
        refuse_escapes(path)
        return join(info.context, path)
    return path


def refuse_escapes(path: str) -> None:
    """Raises ValueError for a path with what YAML makes of `"images\\train"` and `"data\\new"`: a tab, a line break."""
    if any(0 < ord(letter) < 0x20 for letter in path):
        raise ValueError(
            f"{short(path)} holds an escape of YAML, which in double quotes begins with \\; write / between folders"
        )


SplitPath = Annotated[Path, BeforeValidator(_path_from_root)]
"""A path in a split's entry; absolute once loaded."""


class SplitConfig(BaseModel, ABC):
    """One split of a data set as its YAML describes it. The fields are the entry's keys.

    Attributes:
        form: how such an entry is written, for messages.
        foreign: keys of the whole YAML that other programs write beside such entries, and that mean nothing here.
        needs_names: annotations are numbers of the names in the YAML, which must be there.
        fallback: takes what no other format claims.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: ClassVar[str]
    foreign: ClassVar[frozenset[str]] = frozenset()
    needs_names: ClassVar[bool] = False
    fallback: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def claims(cls, entry: Any, root: Path) -> bool:
        """Whether an entry of the YAML is of this format; `root` is the data set's root folder."""

    @classmethod
    def as_map(cls, entry: Any) -> Any:
        """The entry as a map of fields; most are one already."""
        return entry

    @abstractmethod
    def source(self, names: Sequence[str] | None, root: Path) -> AnnotationSource:
        """Where the annotations are.

        Args:
            names: all names of the YAML, in the order of their numbers; None where it has none.
            root: the data set's root folder.
        """


_FORMATS: list[type[SplitConfig]] = []


def register_format(cls: type[SplitConfig]) -> type[SplitConfig]:
    """Class decorator that makes a format known to data-set YAMLs."""
    _FORMATS.append(cls)
    return cls


def format_of(entry: Any, root: Path) -> type[SplitConfig] | None:
    """The format of a split's entry; None where it is of none."""
    formats = sorted(_FORMATS, key=lambda cls: cls.fallback)  # a stable sort: those that take anything come last
    return next((cls for cls in formats if cls.claims(entry, root)), None)


def split_forms() -> str:
    """How a split may be written, for messages."""
    return " or ".join(cls.form for cls in sorted(_FORMATS, key=lambda cls: not cls.fallback))


def join(base: Path, path: str) -> Path:
    """A path of a YAML, absolute; `~` is the home folder, and the backslashes of Windows are found as `/`."""
    place = base / (find(path, base) or expanded(path))
    try:
        return place.resolve()
    except (OSError, RuntimeError, ValueError):  # a name that no system takes: whoever opens it says so
        return place


def tables_of(
    pictures: Sequence[tuple[str, int, int]],
    names: Sequence[str],
    owners: Sequence[int],
    labels: Sequence[int],
    boxes_xywh: Sequence[tuple[float, float, float, float]],
    *,
    ignored: Sequence[bool] | None = None,
    derived: Sequence[bool] | None = None,
    fractions: bool = False,
    notes: tuple[str, ...] = (),
) -> CocoTables:
    """Tables of annotations that have no ids of their own: images and boxes are numbered from 1, categories from 0.

    Args:
        pictures: name, width and height in pixels of I images; 0 where they are to be those of the file.
        names: of the categories.
        owners, labels: `(N,)` the index of each box's image, and of its category.
        boxes_xywh: `(N, 4)` left, top, width, height.
        ignored, derived, fractions, notes: see `CocoTables`.
    """
    number = len(owners)
    sizes = np.array([size for _, *size in pictures], np.int64).reshape(-1, 2)  # (I, 2)
    none = np.zeros(number, bool)
    return CocoTables(
        image_ids=np.arange(1, len(pictures) + 1),
        file_names=[name for name, *_ in pictures],
        widths=sizes[:, 0],
        heights=sizes[:, 1],
        category_ids=np.arange(len(names)),
        category_names=list(names),
        annotation_ids=np.arange(1, number + 1),
        annotation_images=np.array(owners, np.int64) + 1,
        annotation_categories=np.array(labels, np.int64),
        boxes_xywh=np.array(boxes_xywh, np.float64).reshape(-1, 4),
        areas=np.full(number, np.nan),
        crowd=none,
        ignored=none if ignored is None else np.array(ignored, bool),
        derived=none if derived is None else np.array(derived, bool),
        fractions=fractions,
        notes=notes,
    )
