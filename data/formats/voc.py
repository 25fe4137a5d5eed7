"""Pascal VOC: a folder of XML, one for each picture (Everingham et al., The PASCAL VOC Challenge, IJCV 2010).

A box is its first and its last pixel, counted from 1: `xmin` 1 and `xmax` 1 are the first column. An XML belongs to the
picture that has its name; where there is none, to that of `<filename>`. What is `<difficult>` is treated as a crowd: it
is not learnt from, need not be found, and is no false alarm.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from data.coco.scan import files_fingerprint
from data.coco.source import AnnotationSource, Reading, require_images
from data.coco.tables import CocoTables
from data.errors import DataError
from data.formats.base import SplitConfig, SplitPath, join, register_format, tables_of
from data.formats.pictures import files_in, lines_of, names_from, pictures_in
from data.media.image import image_suffixes
from files.paths import is_file, is_folder
from files.words import count

_MOST_BYTES = 1 << 24
"""Of one XML."""
_MOST_SIDE = 1 << 31
"""Pixels; no picture has so many, so one that states it states nothing."""
_NO_BOX = (math.nan, math.nan, math.nan, math.nan)


@register_format
class VocFiles(SplitConfig):
    """The folder of a split's pictures, the folder of its XML, and on request the list of which of these it has."""

    form: ClassVar[str] = "{images: FOLDER, annotations: FOLDER of XML}"

    images: SplitPath
    annotations: SplitPath
    ids: SplitPath | None = None

    @classmethod
    def claims(cls, entry: Any, root: Path) -> bool:
        """A map whose annotations are a folder, or with a list of ids."""
        if not isinstance(entry, dict):
            return False
        annotations = entry.get("annotations")
        return "ids" in entry or (
            isinstance(annotations, str) and bool(annotations.strip()) and is_folder(join(root, annotations))
        )

    def source(self, names: Sequence[str] | None, root: Path) -> AnnotationSource:
        """The folders; names are found by their text."""
        return VocFolder(self.annotations, self.images, self.ids, tuple(names or ()))


@dataclass(frozen=True)
class VocFolder:
    """Annotations in Pascal VOC's format.

    Attributes:
        file: the folder of XML.
        images: the folder of pictures.
        ids: a text that lists which XML there are, one a line, without ending; None for all.
        names: of classes, which are numbered first and in this order.
    """

    file: Path
    images: Path
    ids: Path | None
    names: tuple[str, ...]

    def read(self) -> Reading:
        """Finds XML and pictures; raises DataError where there are none."""
        files = self._files()
        require_images(self.images)
        pictures = pictures_in(self.images)
        state = "\n".join((*map(str, pictures), files_fingerprint(files), repr(self.names)))
        return Reading(state.encode(errors="surrogateescape"), lambda legacy: self._tables(files, pictures))

    def _files(self) -> list[Path]:
        if self.ids is not None:
            listed = [self._listed(number, line) for number, line in enumerate(lines_of(self.ids, "a list"), 1) if line]
            if not listed:
                raise DataError(f"{self.ids}: the list is empty; write the name of one XML per line, without ending")
            return listed
        files = sorted(path for path in files_in(self.file) if path.suffix.lower() == ".xml")
        if not files:
            raise DataError(f"{self.file}: no XML in this folder; give a folder of Pascal VOC's XML, or a COCO JSON")
        return files

    def _listed(self, number: int, line: str) -> Path:
        """The XML of a list's line; the lists of one class have 1, 0 or -1 behind the name."""
        ending = Path(line).suffix  # some lists have a.xml, or a.jpg
        bare = [line.removesuffix(ending)] if ending.lower() in {".xml", *image_suffixes()} else []
        for name in (line, line.rsplit(maxsplit=1)[0], *bare):
            if is_file(file := self.file / f"{name}.xml"):
                return file
        raise DataError(f"{self.ids}, line {number}: there is no {self.file / line}.xml; correct the list")

    def _tables(self, files: Sequence[Path], pictures: Sequence[Path]) -> CocoTables:
        found = _Pictures(self.images, pictures)
        entries = [_parsed(file) for file in files]
        stated = [entry.filename for entry in entries]
        places = [found.of(file.relative_to(self.file), name) for file, name in zip(files, stated, strict=True)]
        _refuse_twins(files, places)
        known = {item.name for entry in entries for item in entry.objects}
        names = [*(name for name in self.names if name in known), *sorted(known - {*self.names})]
        numbers = {name: index for index, name in enumerate(names)}
        rows = [(owner, item) for owner, entry in enumerate(entries) for item in entry.objects]
        alone = {*pictures} - {*places}
        left_out = count(len(alone), "picture without an XML is", "pictures without an XML are")
        return tables_of(
            [(name, *entry.size_wh) for name, entry in zip(names_from(self.images, places), entries, strict=True)],
            names,
            [owner for owner, _ in rows],
            [numbers[item.name] for _, item in rows],
            [item.xywh for _, item in rows],
            ignored=[item.difficult for _, item in rows],
            notes=(f"{left_out} left out",) if alone and self.ids is None else (),
        )


@dataclass(frozen=True)
class _Object:
    """A box: left, top, width, height in pixels, counted from 0; all nan where none is stated."""

    name: str
    xywh: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class _Entry:
    """What an XML says of its picture."""

    filename: str
    size_wh: tuple[int, int]
    objects: list[_Object] = field(default_factory=list)


class _Pictures:
    """Pictures by what an XML may know of them."""

    def __init__(self, folder: Path, pictures: Sequence[Path]) -> None:
        self._folder = folder
        self._by_stem: dict[Path, list[Path]] = {}
        self._by_name: dict[str, list[Path]] = {}
        for picture in pictures:
            self._by_stem.setdefault(picture.relative_to(folder).with_suffix(""), []).append(picture)
            self._by_name.setdefault(picture.name, []).append(picture)

    def of(self, file: Path, filename: str) -> Path:
        """The picture of an XML, whose place in its folder is `file`, or where it would be if it were there."""
        stated = Path(filename.replace("\\", "/"))
        same_name = self._by_stem.get(file.with_suffix(""), [])
        if len(same_name) > 1:
            same_name = [path for path in same_name if path.suffix == stated.suffix] or same_name
        elsewhere = self._by_name.get(stated.name, [])
        near = [path for path in (self._folder / stated, self._folder / file.parent / stated) if path in elsewhere]
        candidates = same_name or near or (elsewhere if len(elsewhere) == 1 else [])
        return candidates[0] if candidates else self._folder / (filename or file.with_suffix(".jpg"))


def _refuse_twins(files: Sequence[Path], places: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for file, place in zip(files, places, strict=True):
        if seen.setdefault(place, file) != file:
            raise DataError(f"{file}: annotates {place}, as {seen[place]} does; keep one of the two")


class _PlainTree(ET.TreeBuilder):
    """Builds no document that declares entities: these can make gigabytes of a few lines, or name other files."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ET.ParseError("it declares a document type, <!DOCTYPE ...>, which annotations do not need")


def _parsed(file: Path) -> _Entry:
    """One XML.

    Raises:
        DataError: it cannot be read, is broken, or lacks something.
    """
    try:
        root = _tree(file)
        if root.tag != "annotation":
            raise ValueError(f"is no Pascal VOC: it begins with <{root.tag[:40]}>, not <annotation>")
        items = [_object(item, number) for number, item in enumerate(root.findall("object"), 1)]
        return _Entry(_text(root, "filename"), _size(root.find("size")), items)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{file}: {error}") from None


def _tree(file: Path) -> ET.Element:
    """The document of a file; raises DataError."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise DataError(f"{file}: has {file.stat().st_size} bytes, too many for one picture's XML; check it")
        return ET.fromstring(file.read_bytes(), ET.XMLParser(target=_PlainTree()))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check its permissions") from None
    except ET.ParseError as error:
        raise DataError(f"{file}: broken XML: {error}; export the annotations again") from None
    except DataError:
        raise
    except (ValueError, LookupError) as error:  # an encoding of several bytes, or one that nobody knows
        raise DataError(f"{file}: cannot be read as XML: {error}; save it as UTF-8") from None


def _size(size: ET.Element | None) -> tuple[int, int]:
    """Width and height in pixels; 0 where nothing of use is stated."""
    if size is None:
        return 0, 0
    try:
        width, height = (int(float(_text(size, side))) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return 0, 0
    return (width, height) if 0 < width < _MOST_SIDE and 0 < height < _MOST_SIDE else (0, 0)


def _object(item: ET.Element, number: int) -> _Object:
    name = _text(item, "name")
    if not name:
        raise ValueError(f"object {number} has no <name>; add it")
    difficult = _text(item, "difficult").lower() in ("1", "true", "yes")
    box = item.find("bndbox")
    if box is None:
        return _Object(name, _NO_BOX, difficult)
    try:
        left, top, right, bottom = (float(_text(box, side)) for side in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        raise ValueError(
            f"object {number} ({name!r}): its <bndbox> needs <xmin>, <ymin>, <xmax>, <ymax>, a number each; correct it"
        ) from None
    # The pixel with number 1 covers 0 to 1, so a box of one pixel has width 1.
    return _Object(name, (left - 1, top - 1, right - left + 1, bottom - top + 1), difficult)


def _text(element: ET.Element, tag: str) -> str:
    """The text of a child without the space around it; '' where there is none."""
    return (element.findtext(tag) or "").strip()
