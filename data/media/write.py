"""Pictures to files: whole or not at all, in a format that can hold them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.errors import DataError
from data.media.complaints import hear
from data.media.image import prepare_decoders
from files.atomic import write_bytes

WRITABLE_SUFFIXES = frozenset({".bmp", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Endings, in lower case, of the formats that `write_picture` writes."""
_LARGER_FORMATS = (".png", ".tif")
"""What holds more, one after the other: JPEG 65,500 px a side, WebP 16,383, PNG a million."""


class Written(NamedTuple):
    """Where a picture lies, and why that is another format than was asked for; "" where it is not."""

    path: Path
    note: str = ""


def write_picture(path: Path, image: np.ndarray, *, quality: int | None = None) -> Written:
    """Writes a picture; one with a side that its format cannot hold becomes a PNG, or a TIFF.

    Args:
        path: with one of `WRITABLE_SUFFIXES`.
        image: (H, W, 3) uint8 BGR.
        quality: of a JPEG, 1 to 100; OpenCV's own (95) without.

    Raises:
        DataError: no format holds it.
        OutputError: it cannot be written.
    """
    height, width = image.shape[:2]
    for suffix in dict.fromkeys((path.suffix, *_LARGER_FORMATS)):
        encoded = _encode(suffix, image, quality)
        if encoded is not None:
            target = path.with_suffix(suffix)
            write_bytes(target, encoded)
            kind = path.suffix[1:].upper()
            note = f"{width}x{height} px are more than a {kind} file holds; written as {target.name}"
            return Written(target, "" if target == path else f"{path}: {note}")
    raise DataError(f"{path}: no format holds a picture of {width}x{height} px; scale it down")


def _encode(suffix: str, image: np.ndarray, quality: int | None) -> bytes | None:
    """The file's content; None where the format cannot hold the picture."""
    prepare_decoders()
    settings = () if quality is None or suffix not in (".jpg", ".jpeg", ".jpe") else (cv2.IMWRITE_JPEG_QUALITY, quality)
    try:
        (done, encoded), _ = hear(lambda: cv2.imencode(suffix, image, settings))
    except cv2.error:
        return None
    return encoded.tobytes() if done else None
