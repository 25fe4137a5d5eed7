"""Annotated videos: MPEG-4 in MP4 files, within what that can hold, and looked at again before they get their names."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from data.media.containers import missing_bytes
from data.media.image import prepare_decoders
from data.media.live import open_capture
from data.media.opencv import opencv_name
from engine.errors import EngineError
from files.atomic import AtomicFile
from files.faults import OutputError

FALLBACK_FPS = 30.0
_MOST_TICKS = 65_535
"""MPEG-4 counts time in at most this many ticks a second (ISO/IEC 14496-2: vop_time_increment_resolution, 16 bits)."""
_LEAST_FPS = 0.01  # of what OpenCV makes a fraction
_MOST_SIDE = 8190  # 13 bits for a side, and an even number
_LEAST_SIDE = 2
_FRAMES_BETWEEN_LOOKS = 32
_PROBE = bytes(1 << 20)


class VideoFile:
    """An MP4 that is written under a temporary name and gets its own when it is finished and can be read.

    Attributes:
        path: its own name.
        note: in what its frames differ from those that it was given; "" for nothing.

    Raises:
        EngineError: OpenCV cannot write it.
        OutputError: the file cannot be made.
    """

    def __init__(self, path: Path, fps: float, image_hw: tuple[int, int]) -> None:
        prepare_decoders()
        self.path = path
        self._size = fitting_size(image_hw)
        self._frames = 0
        given = (image_hw[1], image_hw[0])
        self.note = "" if self._size == given else _size_note(path, given, self._size)
        self._file = AtomicFile(path)
        writer = _open(self._file.temporary, holdable_fps(fps), self._size)
        if writer is None:
            self._file.discard()
            width, height = self._size
            raise EngineError(f"{path}: OpenCV cannot write this MP4 ({width}x{height} px); use --nosave")
        self._writer = writer

    def write(self, image: np.ndarray) -> None:
        """Appends a frame (H, W, 3) uint8 BGR.

        Raises:
            OutputError: the disk is full. OpenCV would go on without a word.
        """
        # A stream may change its size on the way; a file cannot.
        same = image.shape[1::-1] == self._size
        self._writer.write(image if same else cv2.resize(image, self._size, interpolation=cv2.INTER_AREA))
        self._frames += 1
        if self._frames % _FRAMES_BETWEEN_LOOKS == 0 and shutil.disk_usage(self.path.parent).free == 0:
            self._raise_fault()

    def finish(self) -> None:
        """Gives the file its name.

        Raises:
            OutputError: the system could not write it all.
            EngineError: it cannot be read again, or lacks frames.
        """
        self._writer.release()
        try:
            if not _is_whole(self._file.temporary, self._frames):
                self._raise_fault()
                raise EngineError(f"{self.path}: OpenCV wrote an MP4 that cannot be read; use --nosave")
            self._file.commit()
        finally:
            self._file.discard()

    def _raise_fault(self) -> None:
        """Raises what the system says about a further write; nothing where it takes one."""
        try:
            with self._file.temporary.open("rb+", buffering=0) as temporary:
                temporary.seek(0, 2)
                for _ in range(2):  # the first one may take what still fits
                    temporary.write(_PROBE)
        except OSError as error:
            raise OutputError(self.path, error) from None


def _open(temporary: Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter | None:
    try:
        with opencv_name(temporary) as temporary_name:
            writer = cv2.VideoWriter(temporary_name, cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    except (cv2.error, OSError):
        return None
    return writer if writer.isOpened() else None


def holdable_fps(fps: float) -> float:
    """The nearest frame rate that MPEG-4 holds, in frames per second; `FALLBACK_FPS` for none (0, NaN, infinite).

    OpenCV makes a fraction of it whose denominator is 1, 10, 100 or 1000; the numerator has 16 bits.
    """
    if not 0 < fps < float("inf"):
        return FALLBACK_FPS
    fps = min(max(fps, _LEAST_FPS), float(_MOST_TICKS))
    for decimals in (3, 2, 1):
        rounded = round(fps, decimals)
        if round(rounded * 10**decimals) <= _MOST_TICKS:
            return rounded
    return float(round(fps))


def fitting_size(image_hw: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the nearest frame that MPEG-4 holds, of the same shape where that is possible.

    OpenCV itself leaves the last row and column of odd sizes out.
    """
    height, width = image_hw
    ratio = min(1.0, _MOST_SIDE / max(height, width))
    if ratio == 1 and min(height, width) >= _LEAST_SIDE:
        return width, height
    return max(round(width * ratio), _LEAST_SIDE), max(round(height * ratio), _LEAST_SIDE)


def _size_note(path: Path, given: tuple[int, int], used: tuple[int, int]) -> str:
    return f"{path}: MPEG-4 holds no frames of {given[0]}x{given[1]} px; written with {used[0]}x{used[1]} px"


def _is_whole(file: Path, frames: int) -> bool:
    """Whether an MP4 can be read and has all its frames."""
    if missing_bytes(file):
        return False
    capture = open_capture(str(file))
    try:
        return capture.isOpened() and capture.get(cv2.CAP_PROP_FRAME_COUNT) == frames and capture.grab()
    finally:
        capture.release()
