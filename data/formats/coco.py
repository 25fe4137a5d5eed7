"""COCO: one JSON for all images of a split (https://cocodataset.org/#format-data)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from data.coco.source import AnnotationSource, CocoFile
from data.formats.base import SplitConfig, SplitPath, register_format


@register_format
class CocoFiles(SplitConfig):
    """The folder of a split's images and its COCO annotation file."""

    form: ClassVar[str] = "{images: FOLDER, annotations: FILE.json}"
    fallback: ClassVar[bool] = True

    images: SplitPath
    annotations: SplitPath

    @classmethod
    def claims(cls, entry: Any, root: Path) -> bool:
        """Any map that no other format wants."""
        return isinstance(entry, dict)

    def source(self, names: Sequence[str] | None, root: Path) -> AnnotationSource:
        """The file with its folder; it has names of its own."""
        return CocoFile(self.annotations, self.images)
