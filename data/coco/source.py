"""Where the annotations of a split come from, whatever their format, and what is asked of a scan of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from data.coco.names import located
from data.coco.tables import CocoTables, parse_coco, read_coco_bytes
from data.errors import DataError
from data.media.limits import MAX_PIXELS
from files.classes import Classes
from files.paths import exists, is_folder, shown, why_missing


@dataclass(frozen=True)
class ScanSettings:
    """What decides on the result of a scan, beside the files; its text is a part of the cache's key.

    Attributes:
        names: categories to use, in class order; boxes of others are dropped and counted. None: all, by ascending id.
        classes: whose names to use in place of the file's own, found by name; the file may lack some.
        ignore: categories whose boxes are regions in which nothing is right or wrong.
        legacy: read the file as trainings did that began before `engine.training.rules.Rules.truth`: `ignore` means
            nothing, a box may be listed twice, and mistakes are taken that are errors now.
        roots: without `names`, a category that only stands above others, and has no box, is a class as well.
        max_pixels: larger pictures are taken for broken.
    """

    names: tuple[str, ...] | None = None
    classes: Classes | None = None
    ignore: tuple[str, ...] = ()
    legacy: bool = False
    roots: bool = False
    max_pixels: int = MAX_PIXELS

    def text(self) -> bytes:
        """All of it, for a key."""
        return repr(self).encode(errors="surrogatepass")


@dataclass(frozen=True)
class Reading:
    """Annotations that have been read, and not yet understood.

    Attributes:
        state: other bytes wherever the annotations are others.
        tables: makes tables of them, given `ScanSettings.legacy`; raises DataError.
    """

    state: bytes
    tables: Callable[[bool], CocoTables]


class AnnotationSource(Protocol):
    """The annotations of one split in some format; see `data.formats`."""

    @property
    def file(self) -> Path:
        """The file or folder that messages name."""

    @property
    def images(self) -> Path:
        """The folder that the names of image files are relative to, absolute."""

    def read(self) -> Reading:
        """Finds and reads them.

        Raises:
            DataError: they are not there, or cannot be read.
        """


@dataclass(frozen=True)
class CocoFile:
    """A COCO annotation file, and the folder of its images, absolute."""

    file: Path
    images: Path

    def read(self) -> Reading:
        """Raises DataError: the file cannot be read, or there is no such folder."""
        content = read_coco_bytes(self.file)
        require_images(self.images)
        return Reading(
            content, lambda legacy: located(parse_coco(content, self.file, legacy=legacy), self.images, self.file)
        )


def require_images(folder: Path) -> None:
    """Raises DataError where the folder of images is not there."""
    if not is_folder(folder):
        why = "a file, no folder" if exists(folder) else why_missing(folder, "folder of images")
        raise DataError(f"{shown(folder)}: {why}; correct 'images' in the data-set YAML")
