"""Where pictures for detection come from: files, folders, globs, videos, webcams, network streams and lists of these.

Pictures and videos are read in order and completely. Live sources (webcams, rtsp, http streams) are read in a thread of
their own that keeps the newest frame only, so that a slow detector sees the present and not a growing backlog.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data.errors import DataError, ImageError
from data.media.addresses import URL
from data.media.animation import ANIMATED_SUFFIXES, PILLOW_ERRORS, frames_per_second, read_frames
from data.media.containers import missing_bytes
from data.media.download import download, refusal
from data.media.entries import Entry, Kind, find_entries
from data.media.image import check_pixels, decode_picture, read_picture, stored_size
from data.media.limits import ANIMATION_COPIES, MAX_PIXELS
from data.media.live import LiveReader, open_capture, usable_fps
from files.paths import shown

_EXACT_COUNT_SUFFIXES = frozenset({".avi", ".m4v", ".mov", ".mp4"})
_MOST_FILE_FPS = 60_000  # cameras for slow motion write hundreds and thousands
NO_IMAGE = np.zeros((0, 0, 3), np.uint8)


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
        note: what the decoder complained about that leaves the picture as it is, or what of the file was not read.
    """

    image: np.ndarray
    path: str
    index: int
    kind: Kind
    entry: int
    fps: float = 0.0
    frame_count: int = 0
    error: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Source:
    """An iterable of frames; may be iterated again, which starts over.

    Files come first and in order, live sources after them and in turns. What is broken yields a frame with `error` set.

    Attributes:
        entries: what is read.
        vid_stride: every n-th frame of a video or stream is yielded.
        max_pixels: larger pictures are broken; of animations, those with an eighth of it (`ANIMATION_COPIES`).
        skipped: how many files of which kinds a folder holds that are none of these; "" for none.
    """

    entries: tuple[Entry, ...]
    vid_stride: int = 1
    max_pixels: int = MAX_PIXELS
    skipped: str = ""

    def __len__(self) -> int:
        """Number of entries, a video counted once."""
        return len(self.entries)

    def __iter__(self) -> Iterator[Frame]:
        live: dict[int, Entry] = {}
        for number, entry in enumerate(self.entries):
            if entry.kind == "stream" and entry.error is None:
                live[number] = entry
            else:
                yield from self._read_file(entry, number)
        if live:
            yield from _read_live(live, self.vid_stride)

    def _read_file(self, entry: Entry, number: int) -> Iterator[Frame]:
        """The frames of a picture or video; whatever goes wrong ends this one, not those after it."""
        try:
            if entry.error is not None:
                yield _broken(entry, number, entry.error)
            elif entry.kind == "image":
                yield _read_picture(entry, number, self.max_pixels)
            else:
                read = _read_animation if _is_animation(entry) else _read_video
                yield from read(entry, number, self.vid_stride, self.max_pixels)
        except Exception as error:
            why = shown(" ".join(f"{type(error).__name__}: {error}".split()))
            yield _broken(entry, number, f"{entry.label}: cannot be read ({why}); convert it, or take it out")


def open_source(source: str | Path, *, vid_stride: int = 1, max_pixels: int = MAX_PIXELS) -> Source:
    """Finds out what a `--source` means.

    Args:
        source: picture, video, folder (its own files, sorted; others skipped), glob (`*`, `?`, `[]`, `**`), webcam
            number, `rtsp://` or `http(s)://` address, or a `.txt`/`.streams` list of any of these, one a line.
        vid_stride: yield every n-th frame of a video or stream.
        max_pixels: pictures with more are not decoded.

    Raises:
        DataError: nothing there, nothing readable in the folder or list, or a file of an unknown kind.
    """
    if vid_stride < 1:
        raise DataError(f"vid_stride {vid_stride}: must be at least 1")
    found = find_entries(str(source))
    return Source(tuple(found.entries), vid_stride, max_pixels, found.summary())


def _broken(entry: Entry, number: int, error: str, index: int = 0) -> Frame:
    return Frame(NO_IMAGE, entry.label, index, entry.kind, number, error=error)


def _read_picture(entry: Entry, number: int, max_pixels: int) -> Frame:
    try:
        if URL.match(entry.address):
            picture = decode_picture(download(entry.address, entry.label), entry.label, max_pixels)
        else:
            picture = read_picture(entry.address, max_pixels)
    except ImageError as error:
        return _broken(entry, number, str(error))
    return Frame(picture.image, entry.label, 0, "image", number, frame_count=1, note=picture.note)


def _is_animation(entry: Entry) -> bool:
    return not URL.match(entry.address) and Path(entry.address).suffix.lower() in ANIMATED_SUFFIXES


def _read_animation(entry: Entry, number: int, vid_stride: int, max_pixels: int) -> Iterator[Frame]:
    path, index = Path(entry.address), 0
    try:
        stored_size(path, max_pixels // ANIMATION_COPIES)
        fps, count = frames_per_second(path)
        for index, image in enumerate(read_frames(path)):
            if index % vid_stride == 0:
                yield Frame(image, entry.label, index, "video", number, usable_fps(fps) / vid_stride, count)
    except ImageError as error:
        yield _broken(entry, number, str(error))
    except PILLOW_ERRORS as error:
        why = " ".join(str(error).split()) or type(error).__name__
        yield _broken(
            entry, number, f"{entry.label}: frame {index + 1} cannot be decoded ({why}); copy it again", index
        )


def _read_video(entry: Entry, number: int, vid_stride: int, max_pixels: int) -> Iterator[Frame]:
    capture = open_capture(entry.address)
    try:
        if not capture.isOpened():
            yield _broken(entry, number, _why_closed(entry))
            return
        fps = usable_fps(capture.get(cv2.CAP_PROP_FPS), _MOST_FILE_FPS) / vid_stride
        count = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        check_pixels(int(width), int(height), entry.label, max_pixels)
        index = 0
        while capture.grab():
            if index % vid_stride == 0:
                decoded, image = capture.retrieve()
                if not decoded:
                    break
                yield Frame(image, entry.label, index, "video", number, fps, count)
            index += 1
        if problem := _early_end(entry, index, count):
            yield _broken(entry, number, problem, index)
    except ImageError as error:
        yield _broken(entry, number, str(error))
    finally:
        capture.release()


def _early_end(entry: Entry, frames: int, count: int) -> str:
    """Why a video ended before its end, "" where it did not; its header says `count` frames, 0 where unknown."""
    if frames == 0:
        return f"{entry.label}: no frame of the video can be decoded; convert it again"
    if frames >= count > 0:
        return ""  # a file may have lost what is no frame, such as its index
    total = f" of {count}" if count else ""
    if not URL.match(entry.address) and (missing := missing_bytes(Path(entry.address))):
        return f"{entry.label}: the video ends after {frames}{total} frames: {missing} bytes are missing; copy it again"
    # Some files hold a frame less than they say. In other containers the count is an estimate.
    if frames < 0.9 * count and Path(entry.address).suffix.lower() in _EXACT_COUNT_SUFFIXES:
        return f"{entry.label}: the video ends after {frames} of {count} frames; copy it again"
    return ""


def _why_closed(entry: Entry) -> str:
    """Why a video cannot be opened, in one line."""
    if URL.match(entry.address):
        refused = refusal(entry.address)
        return f"{entry.label}: cannot be opened as a video{f' ({refused})' if refused else '; check the address'}"
    path = Path(entry.address)
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        return f"{entry.label}: cannot be read ({error.strerror}); check the path and its permissions"
    why = "the file is empty (0 bytes)" if is_empty else "cannot be opened as a video"
    return f"{entry.label}: {why}; copy or convert it again"


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
