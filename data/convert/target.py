"""Where a split is written, and how its pictures get there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data.coco.split import CocoSplit, ImageRecord
from data.config import DatasetConfig
from data.errors import DataError
from data.media.image import image_suffixes
from files.classes import Classes


@dataclass(frozen=True)
class Target:
    """The folder in the making, and what all splits share.

    Attributes:
        work: the folder under the name that it has until it is whole.
        folder: the folder as it will be called, absolute, without links.
        split: `train`, `val` or `test`.
        config: the data set that is converted.
        classes: of the training split.
        copy: copy the pictures.
        notes: what was left out, a sentence each.
    """

    work: Path
    folder: Path
    split: str
    config: DatasetConfig
    classes: Classes
    copy: bool
    notes: list[str] = field(default_factory=list)

    @property
    def region_name(self) -> str:
        """The category of regions to ignore; all are put under the first one's name. '' where there is none."""
        return self.config.ignore[0] if self.config.ignore else ""

    def picture_names(self, split: CocoSplit) -> list[str]:
        """A name for each picture below `images/<split>`: that below the folder in which all of the split lie.

        No two differ in nothing but their ending, since YOLO's labels have the picture's name; no folder is called
        `images`, since that is where labels are looked for; none is hidden.

        Raises:
            DataError: a picture has an ending by which nobody would find it in a folder.
        """
        root = Path(os.path.commonpath([record.path.parent for record in split.records]))
        taken: set[str] = set()
        return [self._name(record, root, taken) for record in split.records]

    def place(self, record: ImageRecord, name: str) -> Path:
        """Puts a picture into the folder: a link to it that is relative, or a copy. Returns where, in `work`."""
        relative = Path("images") / self.split / name
        place = self.work / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        if not self.copy:
            source = os.path.relpath(record.path.resolve(), (self.folder / relative).parent)
            try:
                place.symlink_to(source)
                return place
            except NotImplementedError:  # a system without links
                pass
        shutil.copyfile(record.path, place)
        return place

    def _name(self, record: ImageRecord, root: Path, taken: set[str]) -> str:
        if record.path.suffix.lower() not in image_suffixes():
            raise DataError(f"{record.path}: its ending is none of a picture, by which it would be found; rename it")
        parts = record.path.relative_to(root).parts
        parts = tuple(part.lstrip(".") or "_" for part in parts if part not in ("images", ".."))
        wanted = PurePosixPath(*parts)
        name, number = wanted, 1
        while str(name.with_suffix("")).casefold() in taken:
            number += 1
            name = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        taken.add(str(name.with_suffix("")).casefold())
        return str(name)
