"""Pictures from files: decoded by OpenCV, turned as EXIF says, and refused in one line where a file is broken.

OpenCV fills what is missing of a truncated JPEG with grey and says nothing that a program could see, so the end of the
file's structure is looked for first: the end-of-image marker behind the first scan (an EXIF thumbnail has one of its
own), or the IEND chunk of a PNG. Bytes behind that end are legal and common, and ignored.
"""

from __future__ import annotations

import functools
import io
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from data.errors import ImageError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)
"""File name endings, in lower case, that are taken for pictures when a folder is listed."""

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_TIFF_STARTS = (b"II*\x00", b"MM\x00*")
_SIZE_IN_HEADER = {"JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF"}
_ORIENTATION_TAG = 0x0112


def read_image(path: str | Path) -> np.ndarray:
    """Decode a picture as it is meant to be seen.

    16-bit samples are scaled to 8, grey and palette pictures get three channels, alpha is dropped, CMYK is converted.

    Returns:
        `(H, W, 3)` uint8, BGR, contiguous, EXIF orientation applied.

    Raises:
        ImageError: the file is missing, empty, truncated or not a picture.
    """
    path = Path(path)
    return decode_image(_read_bytes(path), path)


def decode_image(encoded: bytes | np.ndarray, path: str | Path) -> np.ndarray:
    """`read_image` for bytes that are already in memory; `path` only names them in messages."""
    silence_decoders()
    encoded = np.frombuffer(encoded, np.uint8) if isinstance(encoded, bytes) else encoded
    head = encoded[:8].tobytes()
    if not is_complete(encoded):
        raise ImageError(_truncated(path))
    image = None
    try:
        # TIFFs with alpha go to Pillow: OpenCV would multiply their colours with it.
        image = _decode_tiff_with_alpha(encoded) if head.startswith(_TIFF_STARTS) else None
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if image is None else image
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            raise ImageError(f"{path}: the image has more pixels than OpenCV accepts; scale it down") from None
    if image is None or image.size == 0:
        raise ImageError(f"{path}: not an image that can be decoded; convert it to JPEG or PNG, or take it out")
    return np.ascontiguousarray(image)


def stored_size(path: str | Path) -> tuple[int, int, bool]:
    """Height and width of the pixels as they are stored, and whether EXIF says to swap the two for display.

    Raises:
        ImageError: the file is missing, empty or not a picture.
    """
    path = Path(path)
    silence_decoders()
    try:
        with Image.open(path) as header:
            if header.format in _SIZE_IN_HEADER:
                return header.height, header.width, _is_turned(header, path)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        pass  # what Pillow cannot open OpenCV may decode; if not, it has the better message
    height, width = read_image(path).shape[:2]
    return height, width, False


def check_image(path: str | Path) -> None:
    """Refuse a file that `read_image` would refuse, without decoding JPEG and PNG files.

    Raises:
        ImageError: the file is missing, empty, truncated or not a picture.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(-min(path.stat().st_size, 12), io.SEEK_END)
            tail = file.read()
    except OSError as error:
        raise ImageError(_cannot_read(path, error)) from None
    if head.startswith(_JPEG_START) and tail.endswith(_JPEG_END):
        return
    if head == _PNG_START and tail[4:8] == b"IEND":
        return
    encoded = _read_bytes(path)
    if head.startswith((_JPEG_START, _PNG_START)):
        if not is_complete(encoded):
            raise ImageError(_truncated(path))
        return
    decode_image(encoded, path)


def is_complete(encoded: np.ndarray) -> bool:
    """Whether a JPEG or PNG is complete; True for other formats, whose decoders notice by themselves.

    Args:
        encoded: `(N,)` uint8, the whole file.
    """
    head, tail = encoded[:8].tobytes(), encoded[-8:].tobytes()
    if head.startswith(_JPEG_START):
        return tail.endswith(_JPEG_END) or _jpeg_end(encoded.tobytes())
    if head == _PNG_START:
        return tail[:4] == b"IEND" or _png_end(encoded.tobytes())
    return True


def _jpeg_end(data: bytes) -> bool:
    """Step over the segments up to the first scan, then look for the end-of-image marker behind it."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return True  # no marker where one must be: damaged, not truncated; the decoder judges
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker == 0xDA:  # start of scan: in what follows, FF D9 cannot be anything else
            return data.find(_JPEG_END, position) >= 0
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _is_turned(header: Image.Image, path: Path) -> bool:
    """Whether the EXIF orientation is one of the four that swap height and width."""
    if header.format == "PNG" and "exif" not in header.info and not _png_has_exif_chunk(path):
        return False  # without this Pillow would decode the whole picture to find out
    return header.getexif().get(_ORIENTATION_TAG, 1) in (5, 6, 7, 8)


def _png_has_exif_chunk(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(len(_PNG_START))
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            if head[4:] == b"eXIf":
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, io.SEEK_CUR)
    return False


def _png_end(data: bytes) -> bool:
    """Step from chunk to chunk until IEND."""
    position = len(_PNG_START)
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def _decode_tiff_with_alpha(encoded: np.ndarray) -> np.ndarray | None:
    """Pixels of a TIFF that has an alpha channel; None for every other one."""
    try:
        with Image.open(io.BytesIO(encoded.tobytes())) as image:
            if image.mode != "RGBA":
                return None
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[..., ::-1]
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        return None


def _read_bytes(path: Path) -> np.ndarray:
    """Contents of a file; by way of numpy, because `cv2.imread` fails on some names outside ASCII."""
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ImageError(_cannot_read(path, error)) from None
    if encoded.size == 0:
        raise ImageError(f"{path}: the image file is empty (0 bytes); copy it again, or take it out of the data")
    return encoded


def _cannot_read(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such image file; check the path"
    return f"{path}: cannot read the image: {error.strerror or error}"


def _truncated(path: str | Path) -> str:
    return f"{path}: the image is truncated; copy or download it again, or take it out of the data"


@functools.cache
def silence_decoders() -> None:
    """Once per process: broken files are reported by exceptions, not by the decoders' own lines on stderr."""
    warnings.filterwarnings("ignore", module="PIL")
    # OpenCV 5 moved the function; 0 is "silent" in either place.
    set_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
    set_level(0)
