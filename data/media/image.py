"""Pictures from files: decoded by OpenCV, turned as EXIF says, and refused in one line where a file is broken.

OpenCV fills what is missing or damaged in a JPEG with grey and says nothing that a program could see. So the end of the
file's structure is looked for first (`structure`), and what the decoder says on standard error is heard (`complaints`).
"""

from __future__ import annotations

import functools
import io
import logging
import os
import stat
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from data.errors import DamagedImageError, ImageError
from data.media.animation import PILLOW_ERRORS, count_frames
from data.media.complaints import hear, without_padding
from data.media.limits import MAX_PIXELS
from data.media.structure import (
    JPEG_END,
    JPEG_START,
    PNG_START,
    declared_size,
    is_complete,
    jpeg_scans_are_complete,
)

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".apng", ".tif", ".tiff", ".webp"}
)
"""File name endings, in lower case, that are taken for pictures when a folder is listed; see also `image_suffixes`."""

PILLOW_SUFFIXES = frozenset({".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"})
"""Endings of pictures that Pillow reads where it was built for them, or has a plug-in."""
_TIFF_STARTS = (b"II*\x00", b"MM\x00*")
_SIZE_IN_HEADER = {"JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF"}
_ORIENTATION_TAG = 0x0112


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        image: `(H, W, 3)` uint8, BGR, contiguous, EXIF orientation applied.
        note: what the decoder complained about that leaves the pixels whole, such as a colour profile, or that
            frames or pages were not read; "" for nothing.
    """

    image: np.ndarray
    note: str = ""


@functools.cache
def image_suffixes() -> frozenset[str]:
    """`IMAGE_SUFFIXES`, and those of AVIF and HEIC where this Pillow reads them."""
    prepare_decoders()
    return IMAGE_SUFFIXES | (PILLOW_SUFFIXES & {*Image.registered_extensions()})


def read_image(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Decode a picture as it is meant to be seen.

    16-bit samples are scaled to 8, grey and palette pictures get three channels, alpha is dropped, CMYK is converted.
    Of an animation, it is the first frame.

    Args:
        max_pixels: larger pictures are refused before they are decoded; None for those whose header was checked.

    Returns:
        `(H, W, 3)` uint8, BGR, contiguous, EXIF orientation applied.

    Raises:
        ImageError: the file is missing, empty, truncated, damaged, too large or not a picture.
    """
    return read_picture(path, max_pixels).image


def read_picture(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> Picture:
    """`read_image`, with what its decoder noted."""
    path = Path(path)
    return decode_picture(_read_bytes(path), path, max_pixels)


def decode_picture(encoded: bytes | np.ndarray, path: str | Path, max_pixels: int | None = MAX_PIXELS) -> Picture:
    """`read_picture` for bytes that are already in memory; `path` only names them in messages."""
    prepare_decoders()
    encoded = np.frombuffer(encoded, np.uint8) if isinstance(encoded, bytes) else encoded
    if max_pixels is not None:
        _check_header(encoded, path, max_pixels)
    whole = is_complete(encoded)
    is_jpeg = encoded[:2].tobytes() == JPEG_START
    if not whole and not is_jpeg:
        raise DamagedImageError(_truncated(path))
    if not whole:
        # Perhaps nothing but the end marker is missing: with one, the decoder tells.
        encoded = np.concatenate((encoded, np.frombuffer(JPEG_END, np.uint8)))
    image, said = hear(lambda: _decode(encoded, path))
    said = without_padding(said, encoded.tobytes()) if said.damage else said
    if not whole and (image is None or said.damage or not jpeg_scans_are_complete(encoded.tobytes())):
        raise DamagedImageError(_truncated(path))
    if image is None or image.size == 0:
        why = f" ({said.damage})" if said.damage else ""
        raise DamagedImageError(
            f"{path}: not an image that can be decoded{why}; convert it to JPEG or PNG, or take it out"
        )
    if said.damage:
        raise DamagedImageError(
            f"{path}: the image is damaged ({said.damage}); copy or download it again, or take it out of the data"
        )
    return Picture(np.ascontiguousarray(image), said.note or _unread(encoded))


def stored_size(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> tuple[int, int, bool]:
    """Height and width of the pixels as they are stored, and whether EXIF says to swap the two for display.

    Raises:
        ImageError: the file is missing, empty, too large or not a picture.
    """
    path = Path(path)
    prepare_decoders()
    try:
        with Image.open(path) as header:
            check_pixels(header.width, header.height, path, max_pixels)
            if header.format in _SIZE_IN_HEADER:
                return header.height, header.width, _is_turned(header, path)
    except ImageError:
        raise
    except PILLOW_ERRORS:
        pass  # what Pillow cannot open OpenCV may decode; if not, it has the better message
    height, width = read_image(path, max_pixels).shape[:2]
    return height, width, False


def check_image(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> None:
    """Refuse a file that `read_image` would refuse, without decoding JPEG and PNG files that have their ends.

    Damage inside of these shows only when they are decoded.

    Raises:
        ImageError: the file is missing, empty, truncated, too large or not a picture.
    """
    path = Path(path)
    require_regular(path)
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(-min(path.stat().st_size, 12), io.SEEK_END)
            tail = file.read()
    except OSError as error:
        raise ImageError(_cannot_read(path, error)) from None
    if head.startswith(JPEG_START) and tail.endswith(JPEG_END):
        return
    if head == PNG_START and tail[4:8] == b"IEND":
        return
    encoded = _read_bytes(path)
    if head.startswith((JPEG_START, PNG_START)) and is_complete(encoded):
        return
    decode_picture(encoded, path, max_pixels)


def require_regular(path: Path) -> None:
    """Refuse pipes, devices, sockets and links to them: reading these waits for ever, or never ends.

    Raises:
        ImageError: the path is one of these, or there is nothing.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ImageError(_cannot_read(path, error)) from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder, the system itself has the message
        raise ImageError(f"{path}: not a file but a pipe, a device or a socket; give a picture file")


def check_pixels(width: int, height: int, path: str | Path, max_pixels: int | None) -> None:
    """Refuse a picture that is larger than somebody expected.

    Raises:
        ImageError: it has more than `max_pixels` pixels.
    """
    pixels = width * height
    if max_pixels is not None and pixels > max_pixels:
        raise ImageError(
            f"{path}: has {width}x{height} = {pixels / 1e6:.0f} million pixels, more than the limit of "
            f"{max_pixels / 1e6:g} million; scale it down, or raise the limit (--max-pixels)"
        )


def _unread(encoded: np.ndarray) -> str:
    count = count_frames(encoded)
    return f"only the first of its {count} frames or pages is read" if count > 1 else ""


def _decode(encoded: np.ndarray, path: str | Path) -> np.ndarray | None:
    """`(H, W, 3)` uint8 BGR; None for what no decoder takes."""
    head = encoded[:12].tobytes()
    try:
        # TIFFs with alpha go to Pillow: OpenCV would multiply their colours with it. AVIF and HEIC are its own.
        image = None
        if head.startswith(_TIFF_STARTS):
            image = _decode_by_pillow(encoded, {"RGBA"})
        elif head[4:8] == b"ftyp":
            image = _decode_by_pillow(encoded)
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR) if image is None else image
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            raise ImageError(f"{path}: the image has more pixels than OpenCV accepts; scale it down") from None
        return None


def _decode_by_pillow(encoded: np.ndarray, modes: set[str] | None = None) -> np.ndarray | None:
    """Pixels `(H, W, 3)` BGR of a picture in one of Pillow's modes, of all with None; None for every other one."""
    try:
        with Image.open(io.BytesIO(encoded.tobytes())) as image:
            if modes is not None and image.mode not in modes:
                return None
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[..., ::-1]
    except PILLOW_ERRORS:
        return None


def _check_header(encoded: np.ndarray, path: str | Path, max_pixels: int) -> None:
    try:
        with Image.open(io.BytesIO(encoded.tobytes())) as header:
            size: tuple[int, int] | None = header.size
    except PILLOW_ERRORS:
        size = declared_size(encoded)
    if size is not None:
        check_pixels(*size, path, max_pixels)


def _is_turned(header: Image.Image, path: Path) -> bool:
    """Whether the EXIF orientation is one of the four that swap height and width."""
    if header.format == "PNG" and "exif" not in header.info and not _png_has_exif_chunk(path):
        return False  # without this Pillow would decode the whole picture to find out
    return header.getexif().get(_ORIENTATION_TAG, 1) in (5, 6, 7, 8)


def _png_has_exif_chunk(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(len(PNG_START))
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            if head[4:] == b"eXIf":
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, io.SEEK_CUR)
    return False


def _read_bytes(path: Path) -> np.ndarray:
    """Contents of a file; by way of numpy, because `cv2.imread` fails on some names outside ASCII."""
    require_regular(path)
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ImageError(_cannot_read(path, error)) from None
    if encoded.size == 0:
        raise DamagedImageError(f"{path}: the image file is empty (0 bytes); copy it again, or take it out of the data")
    return encoded


def _cannot_read(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        where = "a link to a file that is not there" if path.is_symlink() else "no such image file"
        return f"{path}: {where}; check the path"
    remedy = "give a picture file" if isinstance(error, IsADirectoryError) else "check its permissions and the disk"
    return f"{path}: cannot read the image: {error.strerror or error}; {remedy}"


def _truncated(path: str | Path) -> str:
    return f"{path}: the image is truncated; copy or download it again, or take it out of the data"


@functools.cache
def prepare_decoders() -> None:
    """Once per process: broken files are reported by exceptions, and the limit on pixels is ours alone.

    Also those of videos: FFmpeg reads its level when OpenCV first opens or writes one.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    Image.MAX_IMAGE_PIXELS = None
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]

        pillow_heif.register_heif_opener()
    except ImportError:
        pass
    # OpenCV 5 moved the function; 0 is "silent" in either place.
    set_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
    set_level(0)
