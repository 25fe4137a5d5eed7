"""Animated pictures (GIF, WebP, PNG, AVIF) and files of several pages (TIFF), read by Pillow."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

ANIMATED_SUFFIXES = frozenset({".apng", ".avif", ".avifs", ".gif", ".png", ".webp"})
"""Endings of pictures that may be animations."""
PILLOW_ERRORS = (
    *(OSError, EOFError, ValueError, SyntaxError, struct.error),
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError),
)
"""What Pillow raises for files that it cannot read; the second line for some that are broken inside."""

_HEAD_BYTES = 65536
_STILL_MS = 100.0  # browsers show a frame of duration 0 for so long
_TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def is_animation(path: Path) -> bool:
    """Whether a file is a picture of several frames; False for everything else, broken files included."""
    if path.suffix.lower() not in ANIMATED_SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            return _may_be_animated(head) and _count(file) > 1
    except PILLOW_ERRORS:
        return False


def count_frames(encoded: np.ndarray) -> int:
    """Frames of an animation, or pages of a TIFF, `(N,)` uint8; 1 for everything else."""
    head = encoded[:_HEAD_BYTES].tobytes()
    if not _may_be_animated(head) and not head.startswith(_TIFF_STARTS):
        return 1
    try:
        return _count(io.BytesIO(encoded.tobytes()))
    except PILLOW_ERRORS:
        return 1


def frames_per_second(path: Path) -> tuple[float, int]:
    """The mean rate of an animation, whose frames may differ in how long they are shown, and their number."""
    with Image.open(path) as image:
        durations = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()  # some formats know a frame's duration only then
            durations.append(float(image.info.get("duration", 0) or _STILL_MS))
    return 1000 * len(durations) / sum(durations), len(durations)


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """The frames of an animation, each as it is shown, `(H, W, 3)` uint8 BGR.

    Raises:
        One of `PILLOW_ERRORS`: the file is broken from here on.
    """
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            yield np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def _may_be_animated(head: bytes) -> bool:
    """A quick look that tells the still pictures: most folders hold nothing else."""
    if head.startswith(b"GIF8"):
        return True
    if head.startswith(b"RIFF") and head[8:16] == b"WEBPVP8X":
        return len(head) > 20 and bool(head[20] & 2)
    if head.startswith(b"\x89PNG"):
        control = head.find(b"acTL")
        return control >= 0 and (head.find(b"IDAT") < 0 or control < head.find(b"IDAT"))
    return head[4:8] == b"ftyp" and b"avis" in head[8:64]


def _count(file: BinaryIO) -> int:
    with Image.open(file) as image:
        return int(getattr(image, "n_frames", 1))
