"""Names of files in `configs/`: `yolov5s`, `coco.yaml`, `scratch`, found from any working folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from files.errors import InputError
from files.hints import near_names, suggestion
from files.paths import exists, expanded, find, is_file, is_folder, why_missing
from files.paths import shown as printable

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Shelf:
    """A folder in `configs/`, whose files may be named without their path.

    Attributes:
        folder: where they lie.
        what: what such a file is, for messages.
        error: class of what is raised.
        earlier: folders in which they once lay. Paths into them stay valid.
    """

    folder: Path
    what: str
    error: type[InputError]
    earlier: tuple[Path, ...] = ()

    def find(self, name: str | os.PathLike[str]) -> Path:
        """The file that is meant: an existing path comes first, then a name in the folder, with or without `.yaml`.

        Raises:
            InputError: of the class `error`; there is none. The message suggests near names.
        """
        found = self.existing(name) or self.named(name)
        if found is None:
            raise self.missing(name)
        return found

    def existing(self, name: str | os.PathLike[str]) -> Path | None:
        """`name` as a path, if a file lies there.

        Raises:
            InputError: of the class `error`; a folder lies there.
        """
        path = find(str(name))
        if path is not None and is_folder(path) and self.named(name) is None:
            raise self.error(f"{name}: is a folder; give a file: a {self.what}")
        if path is not None and not is_folder(path) and not is_file(path):
            raise self.error(f"{name}: not a file but a pipe, a device or a socket; give a file: a {self.what}")
        return path if path is not None and is_file(path) else None

    def named(self, name: str | os.PathLike[str]) -> Path | None:
        """The file in the folder that `name` means, if there is one."""
        stem = self.stem(name)
        return next((file for file in self.files() if file.stem == stem), None)

    def stem(self, name: str | os.PathLike[str]) -> str | None:
        """`name` without its ending, if it is a bare name, or a path into the folder or an earlier one; else None."""
        path = expanded(name)
        if path.name != str(name) and _resolved(path.parent) not in (self.folder, *self.earlier):
            return None
        return path.stem if path.suffix in _SUFFIXES else path.name

    def files(self) -> list[Path]:
        """All files of the folder, by name."""
        return sorted(self.folder.glob("*.yaml"))

    def missing(
        self, name: str | os.PathLike[str], known: Iterable[str] = (), examples: Iterable[str] = ()
    ) -> InputError:
        """The error that says that there is no such file.

        Args:
            known: all names that are known, without ending (default: the folder's).
            examples: some of them, which are listed where none is near (default: all).
        """
        stems = list(known) or [file.stem for file in self.files()]
        wanted = Path(name).stem if Path(name).suffix in _SUFFIXES else Path(name).name
        listed = ", ".join(f"{stem}.yaml" for stem in list(examples) or stems)
        # compared without their endings, which would make all of them alike
        near = [f"{stem}.yaml" for stem in near_names(wanted, stems, most=3)]
        why = f"no such {self.what}" if exists(name) else why_missing(name, self.what)
        return self.error(f"{printable(name)}: {why}; {suggestion(near) or f'give a path, or one of {listed}'}")


def shown(path: Path) -> str:
    """A path as messages show it: from the working folder where it lies below that, else absolute."""
    path = path.resolve()
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that no system takes
        return None
