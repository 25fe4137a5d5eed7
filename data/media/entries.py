"""What a `--source` means: the pictures, videos and streams that it names, and what was skipped on the way."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from data.errors import DataError
from data.media.addresses import URL, require_known_scheme, usable, without_password
from data.media.animation import is_animation
from data.media.globs import is_pattern, matches, why_nothing
from data.media.image import PILLOW_SUFFIXES, image_suffixes
from data.media.lists import read_lines
from files.paths import exists, expanded, find, is_file, is_folder, shown, unquoted, why_missing
from files.words import count

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".ts", ".webm", ".wmv"}
)
"""File name endings, in lower case, that are taken for videos."""
LIST_SUFFIXES = frozenset({".streams", ".txt"})
_MOST_SEEN = 20_000  # things in folders that are looked at for a hint: somebody may have named a whole disk
_LONGEST_NUMBER = 9  # digits; longer ones are no number for OpenCV, let alone of a webcam

Kind = Literal["image", "video", "stream"]


@dataclass(frozen=True)
class Entry:
    """One thing to read.

    Attributes:
        kind: an animated picture is a video.
        address: path, URL or webcam number, as OpenCV opens it.
        error: why it cannot be read, when that is known before trying.
    """

    kind: Kind
    address: str
    error: str | None = None

    @property
    def label(self) -> str:
        """The address without user name and password, fit for messages and file names."""
        return without_password(self.address) if URL.match(self.address) else self.address


class Found(NamedTuple):
    """What a source holds, and what else lies there: `skipped` are kinds of files, one for each file."""

    entries: list[Entry]
    skipped: list[str]

    def summary(self) -> str:
        """`5 files skipped: 2 HEIC, AVIF, DNG, JXL`; "" for none."""
        if not self.skipped:
            return ""
        kinds = sorted(Counter(self.skipped).items(), key=lambda item: (-item[1], item[0]))
        text = ", ".join(kind if number == 1 else f"{number} {kind}" for kind, number in kinds)
        return f"{count(len(self.skipped), 'file')} skipped: {text}"


def find_entries(source: str) -> Found:
    """The entries of a source.

    Raises:
        DataError: see `data.media.sources.open_source`.
    """
    path = find(source)
    if path is None and Path(source.strip()).suffix.lower() in LIST_SUFFIXES and not _is_none_of_paths(source.strip()):
        path = expanded(source.strip())  # `_from_list` says why there is none
    if path is not None and not is_folder(path) and path.suffix.lower() in LIST_SUFFIXES:
        return _from_list(path)
    return _resolve(source)


def _is_none_of_paths(text: str) -> bool:
    return bool(URL.match(text)) or is_pattern(text)


def _resolve(text: str, folder: Path | None = None) -> Found:
    """The entries of anything but a list; a relative path is looked for in `folder` first.

    What is there comes first: a folder `2024` is no webcam, a file `a[1].png` no pattern.
    """
    path = find(text, *dict.fromkeys((folder, None)))
    text = unquoted(text)
    if not text:
        raise DataError("the source is empty; name a picture, video, folder, webcam number or stream address")
    if text.isascii() and text.isdecimal() and (path is None or _is_none_to_read(path)):
        return _webcam(text)
    if path is not None:
        return _from_folder(path) if is_folder(path) else Found([Entry(_kind_of_file(path), str(path))], [])
    if URL.match(text):
        return Found([Entry(_kind_of_url(usable(text)), text)], [])
    require_known_scheme(text)
    if is_pattern(text):
        return _from_glob(text, folder)
    raise DataError(f"{shown(without_password(text))}: {why_missing(expanded(text))}; check --source")


def _webcam(number: str) -> Found:
    if len(number) > _LONGEST_NUMBER:
        raise DataError(f"{shown(number)}: no webcam has such a number; count from 0, or check the path")
    return Found([Entry("stream", number)], [])


def _is_none_to_read(path: Path) -> bool:
    """Whether a path is a file of no known format, such as a `0` that a shell's redirection left."""
    return is_file(path) and _kind_of(path) is None


def _kind_of_url(url: str) -> Kind:
    suffix = Path(urlsplit(url).path).suffix.lower()
    if url.lower().startswith("http") and suffix in image_suffixes():
        return "image"
    return "video" if url.lower().startswith("http") and suffix in VIDEO_SUFFIXES else "stream"


def _kind_of_file(path: Path) -> Kind:
    if not is_file(path):
        raise DataError(f"{path}: not a file but a pipe, a device or a socket; of a webcam, give the number")
    kind = _kind_of(path)
    if kind is None and path.suffix.lower() in LIST_SUFFIXES:
        raise DataError(f"{path}: a list within a list is not followed; write its lines here")
    if kind is None:
        known = " ".join(sorted(image_suffixes() | VIDEO_SUFFIXES))
        plugin = "; Pillow reads it with the package pillow-heif" if path.suffix.lower() in PILLOW_SUFFIXES else ""
        raise DataError(f"{path}: not a known picture or video format ({known}); convert it{plugin}")
    return kind


def _kind_of(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    if suffix in image_suffixes():
        return "video" if is_animation(path) else "image"
    return "video" if suffix in VIDEO_SUFFIXES else None


def _media(paths: Iterable[Path]) -> Found:
    """The pictures and videos among `paths`, sorted; hidden files (`._photo.jpg` of macOS) and folders are nothing."""
    entries, skipped = [], []
    for path in sorted(paths):
        if path.name.startswith(".") or is_folder(path):
            continue
        kind = _kind_of(path) if is_file(path) else None
        if kind is not None:
            entries.append(Entry(kind, str(path)))
        else:
            skipped.append(_kind_skipped(path))
    return Found(entries, skipped)


def _kind_skipped(path: Path) -> str:
    """What a file that is neither picture nor video is, for the summary."""
    if not exists(path):
        return "dangling link"
    if not is_file(path):
        return "pipe or device"
    return path.suffix[1:].upper() or "without an ending"


def _from_folder(folder: Path) -> Found:
    try:
        found = _media(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
    if not found.entries:
        raise DataError(f"{folder}: no picture or video in this folder{_aside(found)}; {_elsewhere(folder)}")
    return found


def _elsewhere(folder: Path) -> str:
    """Where to look instead of in a folder without pictures."""
    pattern, known = folder / "**" / "*", image_suffixes() | VIDEO_SUFFIXES
    within = islice(matches(pattern), _MOST_SEEN)
    if any(path.suffix.lower() in known and is_file(path) for path in within):
        return f"for those in folders within it use {shlex.quote(str(pattern))}"
    return "check --source"


def _from_glob(text: str, folder: Path | None) -> Found:
    """What a pattern matches; it may be written with the backslashes of Windows."""
    readings = dict.fromkeys((text, text.replace("\\", "/")))
    patterns = [(folder or Path()) / expanded(reading) for reading in readings]
    found = Found([], [])
    for pattern in patterns:
        found = _media(matches(pattern))
        if found.entries:
            return found
    why = why_nothing(patterns[-1])
    aside = f" ({why})" if why else _aside(found)
    raise DataError(f"{shown(text)}: no picture or video matches{aside}; check --source and quote it in the shell")


def _aside(found: Found) -> str:
    return f" ({found.summary()})" if found.skipped else ""


def _from_list(file: Path) -> Found:
    """The entries of a list file; a line that cannot be used becomes a broken entry, the others are kept.

    A line that begins with `#` is a comment, unless there is a file of that name.
    """
    found = Found([], [])
    for number, line in enumerate(read_lines(file), 1):
        if not line.strip() or (line.lstrip().startswith("#") and find(line, file.parent, None) is None):
            continue
        try:
            more = _resolve(line, file.parent)
            found.entries.extend(more.entries)
            found.skipped.extend(more.skipped)
        except DataError as error:
            where = f"{file}, line {number}"
            garbled = "" if line.isascii() else ", and that the list is saved as UTF-8"
            found.entries.append(Entry("image", where, f"{where}: {error}{garbled}"))
    if not found.entries:
        raise DataError(f"{file}: the list is empty; write one picture, video, folder or stream per line")
    return found
