"""What a `--source` means: the pictures, videos and streams that it names, and what was skipped on the way."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from data.errors import DataError
from data.media.animation import is_animation
from data.media.image import PILLOW_SUFFIXES, image_suffixes
from files.words import count

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".ts", ".webm", ".wmv"}
)
"""File name endings, in lower case, that are taken for videos."""
LIST_SUFFIXES = frozenset({".streams", ".txt"})
URL = re.compile(r"^(https?|rtsps?|rtmps?|rtp|udp|tcp)://", re.IGNORECASE)

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
        return re.sub(r"(?<=://)[^/@]*@", "", self.address)


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
    text = source.strip()
    path = Path(text).expanduser()
    if path.suffix.lower() in LIST_SUFFIXES and not URL.match(text):
        return _from_list(path)
    return _resolve(text)


def _resolve(text: str, folder: Path | None = None) -> Found:
    """The entries of anything but a list; a relative path is looked for in `folder` first."""
    if not text:
        raise DataError("the source is empty; name a picture, video, folder, webcam number or stream address")
    if text.isascii() and text.isdecimal():
        return Found([Entry("stream", text)], [])
    if URL.match(text):
        return Found([Entry(_kind_of_url(text), text)], [])
    path = _existing(text, folder)
    if path is None and glob.has_magic(text):
        pattern = Path(text).expanduser()
        return _from_glob(pattern if folder is None or pattern.is_absolute() else folder / pattern)
    if path is None:
        raise DataError(f"{text}: {_why_missing(Path(text).expanduser())}; check --source")
    return _from_folder(path) if path.is_dir() else Found([Entry(_kind_of_file(path), str(path))], [])


def _existing(text: str, folder: Path | None) -> Path | None:
    """The file or folder that a text names, seen from `folder` first."""
    path = Path(text).expanduser()
    if folder is not None and _exists(folder / path):
        return folder / path
    return path if _exists(path) else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a zero character
        return False


def _why_missing(path: Path) -> str:
    try:
        if path.is_symlink():
            return "a link to a file that is not there"
    except (OSError, ValueError):
        pass
    return "no such file or folder"


def _kind_of_url(url: str) -> Kind:
    suffix = Path(urlsplit(url).path).suffix.lower()
    if url.lower().startswith("http") and suffix in image_suffixes():
        return "image"
    return "video" if url.lower().startswith("http") and suffix in VIDEO_SUFFIXES else "stream"


def _kind_of_file(path: Path) -> Kind:
    if not path.is_file():
        raise DataError(f"{path}: not a file but a pipe, a device or a socket; of a webcam, give the number")
    kind = _kind_of(path)
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
        if path.name.startswith(".") or path.is_dir():
            continue
        kind = _kind_of(path) if path.is_file() else None
        if kind is not None:
            entries.append(Entry(kind, str(path)))
        else:
            skipped.append(_kind_skipped(path))
    return Found(entries, skipped)


def _kind_skipped(path: Path) -> str:
    """What a file that is neither picture nor video is, for the summary."""
    if not path.exists():
        return "dangling link"
    if not path.is_file():
        return "pipe or device"
    return path.suffix[1:].upper() or "without an ending"


def _from_folder(folder: Path) -> Found:
    try:
        found = _media(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
    if not found.entries:
        raise DataError(
            f"{folder}: no picture or video in this folder{_aside(found)}; for folders within it use '{folder}/**/*'"
        )
    return found


def _from_glob(pattern: Path) -> Found:
    found = _media(Path(name) for name in glob.glob(str(pattern), recursive=True))  # noqa: PTH207 (absolute too)
    if not found.entries:
        raise DataError(
            f"{pattern}: no picture or video matches{_aside(found)}; check --source and quote it in the shell"
        )
    return found


def _aside(found: Found) -> str:
    return f" ({found.summary()})" if found.skipped else ""


def _from_list(file: Path) -> Found:
    """The entries of a list file; a line that cannot be used becomes a broken entry, the others are kept.

    A line that begins with `#` is a comment, unless there is a file of that name.
    """
    found = Found([], [])
    for number, line in enumerate(_lines(file), 1):
        if not line or (line.startswith("#") and _existing(line, file.parent) is None):
            continue
        try:
            more = _resolve(line, file.parent)
            found.entries.extend(more.entries)
            found.skipped.extend(more.skipped)
        except DataError as error:
            found.entries.append(Entry("image", line, f"{file}, line {number}: {error}"))
    if not found.entries:
        raise DataError(f"{file}: the list is empty; write one picture, video, folder or stream per line")
    return found


def _lines(file: Path) -> Sequence[str]:
    if _exists(file) and not file.is_file() and not file.is_dir():
        raise DataError(f"{file}: not a file but a pipe, a device or a socket; give a list in a file")
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise DataError(f"{file}: {_why_missing(file)}; check --source") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text file in UTF-8; write one source per line") from None
