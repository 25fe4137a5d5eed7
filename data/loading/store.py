"""Resized images kept between epochs: in memory, or in one file on disk that is mapped into memory."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from data.errors import DataError
from data.media.complaints import hear_together
from files.atomic import LEFTOVER_AGE_S, atomic_path, remove_leftovers
from files.cache import VARIABLE, cache_folder
from files.progress import bar

KINDS = ("ram", "disk")

Reader = Callable[[int], np.ndarray | None]


class ImageStore:
    """All images of a split in one row of bytes, and behind them a byte for each that says whether it is there.

    A damaged image has no pixels; its place is empty.

    Workers that are forked share the memory; those that map the file share the system's page cache.
    """

    def __init__(self, shapes_hw: Sequence[tuple[int, int]], pixels: np.ndarray | None, file: Path | None) -> None:
        self._shapes = shapes_hw
        self._starts = _starts(shapes_hw)
        self._pixels = pixels
        self._file = file

    @classmethod
    def in_memory(cls, shapes_hw: Sequence[tuple[int, int]], read: Reader) -> ImageStore:
        """Read all images now.

        Args:
            shapes_hw: height and width of each image as `read` returns it.
            read: index -> `(H, W, 3)` uint8, or None for a damaged one.

        Raises:
            DataError: they do not fit into the free memory, or an image is broken.
        """
        starts = _starts(shapes_hw)
        free = _free_memory()
        size = int(starts[-1]) + len(shapes_hw)
        if free is not None and size > 0.9 * free:
            raise DataError(
                f"cache 'ram': the images need {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB of memory are "
                "free; use 'disk', or no cache"
            )
        pixels = np.empty(size, np.uint8)
        _fill(pixels, starts, read, "Caching in memory")
        return cls(shapes_hw, pixels, None)

    @classmethod
    def on_disk(cls, shapes_hw: Sequence[tuple[int, int]], read: Reader, key: str) -> ImageStore:
        """Use the file that an earlier run left under `key`, or read all images now and write it.

        Raises:
            DataError: it cannot be written, or an image is broken.
        """
        file = cache_folder() / "images" / f"{key}.bin"
        remove_leftovers(file.parent, LEFTOVER_AGE_S)  # each as large as a data set
        starts = _starts(shapes_hw)
        if not file.is_file() or file.stat().st_size != starts[-1] + len(shapes_hw):
            _write(file, starts, read)
        return cls(shapes_hw, None, file)

    def is_whole(self, index: int) -> bool:
        """Whether there is an image; a damaged one has none."""
        return bool(self._bytes()[self._starts[-1] + index])

    def __getitem__(self, index: int) -> np.ndarray:
        """`(H, W, 3)` uint8, read-only."""
        image = self._bytes()[self._starts[index] : self._starts[index + 1]].reshape(*self._shapes[index], 3)
        image.flags.writeable = False
        return image

    def _bytes(self) -> np.ndarray:
        if self._pixels is None:
            assert self._file is not None
            self._pixels = np.memmap(self._file, np.uint8, "r")
        return self._pixels

    def __getstate__(self) -> dict[str, object]:
        """A mapped file is not sent along: whoever receives the store opens it again."""
        return {**self.__dict__, "_pixels": None if self._file is not None else self._pixels}


def _starts(shapes_hw: Sequence[tuple[int, int]]) -> np.ndarray:
    sizes = np.array(shapes_hw, np.int64).reshape(-1, 2).prod(1) * 3
    return np.concatenate(([0], np.cumsum(sizes)))


def _fill(pixels: np.ndarray, starts: np.ndarray, read: Reader, label: str) -> None:
    def copy(index: int) -> None:
        image = read(index)
        pixels[starts[index] : starts[index + 1]] = 0 if image is None else image.reshape(-1)
        pixels[starts[-1] + index] = image is not None

    count = len(starts) - 1
    shown = partial(bar, label=label, total=count, unit="img", leave=False)
    with hear_together() as decoders, ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for _ in shown(pool.map(copy, range(count)), file=decoders.terminal):
            pass
    if decoders.complained:  # about which of them is heard one by one
        for index in shown(range(count)):
            copy(index)


def _write(file: Path, starts: np.ndarray, read: Reader) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(file.parent).free
        size = int(starts[-1]) + len(starts) - 1
        if size > free:
            raise DataError(
                f"{file.parent}: the images need {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free; "
                "make room, or use no cache"
            )
        with atomic_path(file) as temporary:
            _reserve(temporary, size)
            pixels = np.memmap(temporary, np.uint8, "r+", shape=(size,))
            _fill(pixels, starts, read, "Caching on disk")
            pixels.flush()
            del pixels  # a mapped file has no new name on some systems
    except OSError as error:
        raise DataError(
            f"{file.parent}: cannot write the image cache: {error.strerror}; use 'ram', no cache, or another folder "
            f"({VARIABLE})"
        ) from None


def _reserve(temporary: Path, size: int) -> None:
    """Takes the room on the disk: what a mapped file cannot take later ends the process by a signal, without a word."""
    with temporary.open("rb+") as opened:
        opened.truncate(size)
        if size and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(opened.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some file systems cannot
                    raise


def _free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
