"""Where pictures for detection come from: files, folders, globs, videos, webcams, network streams and lists of these.

Pictures and videos are read in order and completely. Live sources (webcams, rtsp, http streams) are read in a thread of
their own that keeps the newest frame only, so that a slow detector sees the present and not a growing backlog.
"""

from __future__ import annotations

import glob
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import cv2
import numpy as np

from data.errors import DataError, ImageError
from data.media.image import IMAGE_SUFFIXES, decode_picture, read_image
from data.media.live import LiveReader, open_capture, usable_fps

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".ts", ".webm", ".wmv"}
)
"""File name endings, in lower case, that are taken for videos."""
LIST_SUFFIXES = frozenset({".streams", ".txt"})

Kind = Literal["image", "video", "stream"]

_URL = re.compile(r"^(https?|rtsps?|rtmps?|rtp|udp|tcp)://", re.IGNORECASE)
_EXACT_COUNT_SUFFIXES = frozenset({".m4v", ".mov", ".mp4"})
_DOWNLOAD_TIMEOUT_S = 30
_NO_IMAGE = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Entry:
    """One thing to read.

    Attributes:
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


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) uint8 BGR, turned as EXIF or the video says; (0, 0, 3) where `error` is set.
        path: path, or URL without password, or webcam number.
        index: number of the frame in its video or stream, from 0; 0 for a picture.
        entry: number of the source's entry that the frame belongs to, from 0.
        fps: frames per second of the video or stream as yielded (after `vid_stride`); 0 for a picture.
        frame_count: frames of the video as its header says, 0 where unknown; 1 for a picture.
        error: one line that says why the entry cannot be read (further).
    """

    image: np.ndarray
    path: str
    index: int
    kind: Kind
    entry: int
    fps: float = 0.0
    frame_count: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Source:
    """An iterable of frames; may be iterated again, which starts over.

    Files come first and in order, live sources after them and in turns. What is broken yields a frame with `error` set.
    """

    entries: tuple[Entry, ...]
    vid_stride: int = 1

    def __len__(self) -> int:
        """Number of entries, a video counted once."""
        return len(self.entries)

    def __iter__(self) -> Iterator[Frame]:
        live: dict[int, Entry] = {}
        for number, entry in enumerate(self.entries):
            if entry.error is not None:
                yield _broken(entry, number, entry.error)
            elif entry.kind == "image":
                yield _read_picture(entry, number)
            elif entry.kind == "video":
                yield from _read_video(entry, number, self.vid_stride)
            else:
                live[number] = entry
        if live:
            yield from _read_live(live, self.vid_stride)


def open_source(source: str | Path, *, vid_stride: int = 1) -> Source:
    """Finds out what a `--source` means.

    Args:
        source: picture, video, folder (its own files, sorted; others ignored), glob (`*`, `?`, `[]`, `**`), webcam
            number, `rtsp://` or `http(s)://` address, or a `.txt`/`.streams` list of any of these, one a line.
        vid_stride: yield every n-th frame of a video or stream.

    Raises:
        DataError: nothing there, nothing readable in the folder or list, or a file of an unknown kind.
    """
    if vid_stride < 1:
        raise DataError(f"vid_stride {vid_stride}: must be at least 1")
    text = str(source).strip()
    path = Path(text).expanduser()
    entries = _from_list(path) if path.suffix.lower() in LIST_SUFFIXES and not _URL.match(text) else _resolve(text)
    return Source(tuple(entries), vid_stride)


def _resolve(text: str, folder: Path | None = None) -> list[Entry]:
    """The entries of anything but a list; a relative path is looked for in `folder` first."""
    if not text:
        raise DataError("the source is empty; name a picture, video, folder, webcam number or stream address")
    if text.isascii() and text.isdecimal():
        return [Entry("stream", text)]
    if _URL.match(text):
        return [Entry(_kind_of_url(text), text)]
    path = Path(text).expanduser()
    if folder is not None and (folder / path).exists():
        path = folder / path
    if path.is_dir():
        return _from_folder(path)
    if path.exists():
        return [Entry(_kind_of_file(path), str(path))]
    if glob.has_magic(text):
        return _from_glob(path if folder is None or path.is_absolute() else folder / path)
    raise DataError(f"{text}: no such file or folder; check --source")


def _kind_of_url(url: str) -> Kind:
    suffix = Path(urlsplit(url).path).suffix.lower()
    if url.lower().startswith("http") and suffix in IMAGE_SUFFIXES:
        return "image"
    return "video" if url.lower().startswith("http") and suffix in VIDEO_SUFFIXES else "stream"


def _kind_of_file(path: Path) -> Kind:
    kind = _kind_of_suffix(path)
    if kind is None:
        known = " ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
        raise DataError(f"{path}: not a known picture or video format ({known}); convert it")
    return kind


def _kind_of_suffix(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    return "video" if suffix in VIDEO_SUFFIXES else None


def _media(paths: Sequence[Path]) -> list[Entry]:
    """The pictures and videos among `paths`, sorted; hidden files (`._photo.jpg` of macOS) are none."""
    kinds = ((path, _kind_of_suffix(path)) for path in sorted(paths) if not path.name.startswith("."))
    return [Entry(kind, str(path)) for path, kind in kinds if kind is not None and path.is_file()]


def _from_folder(folder: Path) -> list[Entry]:
    try:
        entries = _media(list(folder.iterdir()))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
    if not entries:
        raise DataError(f"{folder}: no picture or video in this folder; for folders within it use '{folder}/**/*'")
    return entries


def _from_glob(pattern: Path) -> list[Entry]:
    entries = _media([Path(name) for name in glob.glob(str(pattern), recursive=True)])  # noqa: PTH207 (absolute too)
    if not entries:
        raise DataError(f"{pattern}: no picture or video matches; check --source and quote it in the shell")
    return entries


def _from_list(file: Path) -> list[Entry]:
    """The entries of a list file; a line that cannot be used becomes a broken entry, the others are kept."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise DataError(f"{file}: no such file or folder; check --source") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text file in UTF-8; write one source per line") from None
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        try:
            entries += _resolve(line, file.parent)
        except DataError as error:
            entries.append(Entry("image", line, f"{file}, line {number}: {error}"))
    if not entries:
        raise DataError(f"{file}: the list is empty; write one picture, video, folder or stream per line")
    return entries


def _broken(entry: Entry, number: int, error: str, index: int = 0) -> Frame:
    return Frame(_NO_IMAGE, entry.label, index, entry.kind, number, error=error)


def _read_picture(entry: Entry, number: int) -> Frame:
    try:
        image = _download(entry) if _URL.match(entry.address) else read_image(entry.address)
    except ImageError as error:
        return _broken(entry, number, str(error))
    return Frame(image, entry.label, 0, "image", number, frame_count=1)


def _download(entry: Entry) -> np.ndarray:
    try:
        with urllib.request.urlopen(entry.address, timeout=_DOWNLOAD_TIMEOUT_S) as response:  # http(s) only, see _URL
            return decode_picture(response.read(), entry.label).image
    except (OSError, ValueError, urllib.error.URLError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{entry.label}: cannot be downloaded ({error}); check the address") from None


def _read_video(entry: Entry, number: int, vid_stride: int) -> Iterator[Frame]:
    capture = open_capture(entry.address)
    try:
        if not capture.isOpened():
            why = "the file is empty (0 bytes)" if _is_empty(entry.address) else "cannot be opened as a video"
            yield _broken(entry, number, f"{entry.label}: {why}; copy or convert it again")
            return
        fps = usable_fps(capture.get(cv2.CAP_PROP_FPS)) / vid_stride
        count = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        index = 0
        while capture.grab():
            if index % vid_stride == 0:
                decoded, image = capture.retrieve()
                if not decoded:
                    break
                yield Frame(image, entry.label, index, "video", number, fps, count)
            index += 1
        if index == 0:
            yield _broken(entry, number, f"{entry.label}: no frame of the video can be decoded; convert it again")
        elif index < 0.9 * count and Path(entry.address).suffix.lower() in _EXACT_COUNT_SUFFIXES:
            message = f"{entry.label}: the video ends after {index} of {count} frames; copy it again"
            yield _broken(entry, number, message, index)
    finally:
        capture.release()


def _is_empty(address: str) -> bool:
    return not _URL.match(address) and os.path.getsize(address) == 0  # noqa: PTH202 (address is a str)


def _read_live(live: dict[int, Entry], vid_stride: int) -> Iterator[Frame]:
    """Newest frames of all live entries in turns, until every one of them has ended."""
    readers = {number: LiveReader(entry.address, entry.label, vid_stride) for number, entry in live.items()}
    try:
        while readers:
            patience = 0.5 if len(readers) == 1 else 0.02
            for number, reader in list(readers.items()):
                newest = reader.take(patience)
                if newest is not None:
                    yield Frame(newest.image, reader.label, newest.index, "stream", number, newest.fps / vid_stride)
                elif reader.ended:
                    del readers[number]
                    if reader.error is not None:
                        yield _broken(live[number], number, reader.error)
    finally:
        for reader in readers.values():
            reader.close()
