"""Pictures that two splits share: figures on those say nothing about pictures that are new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.coco.split import CocoSplit, ImageRecord

_SAMPLE = 4096  # bytes at the beginning, in the middle and at the end that are compared


def shared_pictures(first: Sequence[ImageRecord], second: Sequence[ImageRecord]) -> list[Path]:
    """Files of `second` that are in `first` too, as the same file or as a copy.

    Two files of one size are taken for copies where their beginning, middle and end are equal.
    """
    places = _Places()
    files = {places[path]: path for path in _paths(first)}
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in files.values():
        by_size[_size(path)].append(path)
    samples: dict[int, set[tuple[bytes, ...]]] = {}
    shared = []
    for path in _paths(second):
        size = _size(path)
        if places[path] in files:
            shared.append(path)
        elif candidates := by_size.get(size):
            if size not in samples:
                samples[size] = {_sample(candidate, size) for candidate in candidates}
            if size > 0 and _sample(path, size) in samples[size]:
                shared.append(path)
    return shared


def shared_pictures_line(train: CocoSplit, val: CocoSplit) -> str:
    """One line for people; '' where the splits share no picture."""
    shared = shared_pictures(train.records, val.records)
    if not shared:
        return ""
    which = "all pictures are" if len(shared) == len(val.records) else f"{len(shared)} of {len(val.records)} are"
    if len(shared) == 1 < len(val.records):
        which = "1 picture is"
    return f"{which} in the training as well, such as {shared[0].name}: figures flatter"


class _Places:
    """One name for each file, whatever way leads to its folder; a folder is looked up once."""

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}

    def __getitem__(self, path: Path) -> Path:
        if path.parent not in self._folders:
            self._folders[path.parent] = path.parent.resolve()
        return self._folders[path.parent] / path.name


def _paths(records: Sequence[ImageRecord]) -> Iterator[Path]:
    return (record.path for record in records)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _sample(path: Path, size: int) -> tuple[bytes, ...]:
    """Some of the content; of a file that cannot be read, its name."""
    parts = []
    try:
        with path.open("rb") as file:
            for start in (0, size // 2, max(size - _SAMPLE, 0)):
                file.seek(start)
                parts.append(file.read(_SAMPLE))
    except OSError:
        return (str(path).encode(errors="surrogateescape"),)
    return tuple(parts)
