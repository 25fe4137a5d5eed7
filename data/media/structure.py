"""What the structure of picture files says, found without decoding them: where JPEG and PNG end, how large they are.

Bytes behind that end are legal and common. The JPEG markers: ITU-T T.81, annex B; the chunks of PNG: ISO/IEC 15948; the
fields of TIFF: Adobe, TIFF 6.0, section 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np

JPEG_START = b"\xff\xd8"
JPEG_END = b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The marker behind a scan's data, in which FF is followed by 00 or stands for a restart."""


def is_complete(encoded: np.ndarray) -> bool:
    """Whether a JPEG or PNG has its end; True for other formats, whose decoders notice by themselves.

    Args:
        encoded: `(N,)` uint8, the whole file.
    """
    head, tail = encoded[:8].tobytes(), encoded[-8:].tobytes()
    if head.startswith(JPEG_START):
        return tail.endswith(JPEG_END) or _jpeg_end(encoded.tobytes())
    if head == PNG_START:
        return _png_end(encoded.tobytes())
    return True


def jpeg_scans_are_complete(data: bytes) -> bool:
    """Whether the scans of a JPEG hold every coefficient of every component to its last bit.

    A progressive file that ends between two of its scans decodes without a complaint, only blurred.
    """
    components: set[int] = set()
    missing: dict[tuple[int, int], int] = {}  # (component, coefficient): bits that no scan has brought yet
    for marker, segment in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            components = {*segment[6::3]}
            missing = {(component, k): 14 for component in components for k in range(64)}
        elif marker == 0xDA:  # start of scan: number of components, two bytes for each, Ss, Se, Ah and Al
            count = segment[0]
            first, last, low = segment[1 + 2 * count], segment[2 + 2 * count], segment[3 + 2 * count] & 15
            missing.update({(c, k): low for c in segment[1 : 1 + 2 * count : 2] for k in range(first, last + 1)})
    return bool(components) and not any(missing.values())


def declared_size(encoded: np.ndarray) -> tuple[int, int] | None:
    """Width and height of a JPEG, PNG, BMP or TIFF whose header Pillow refuses; None if unknown.

    Perhaps OpenCV does not refuse it.

    Args:
        encoded: `(N,)` uint8, the whole file.
    """
    head = encoded[:26].tobytes()
    if head.startswith(PNG_START):
        header = encoded[: 1 << 16].tobytes()
        start = header.find(b"IHDR") + 4  # OpenCV finds it behind other chunks, too
        return int.from_bytes(header[start : start + 4], "big"), int.from_bytes(header[start + 4 : start + 8], "big")
    if head.startswith(b"BM"):
        return int.from_bytes(head[18:22], "little"), abs(int.from_bytes(head[22:26], "little", signed=True))
    if head.startswith(JPEG_START):
        for marker, segment in _jpeg_segments(encoded.tobytes()):
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                return int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big")
    return _tiff_size(encoded) if head.startswith((b"II*\0", b"MM\0*")) else None


def _tiff_size(encoded: np.ndarray) -> tuple[int, int] | None:
    """From the fields ImageWidth (256) and ImageLength (257) of the first directory: tag, type, count, value."""
    order: Literal["little", "big"] = "little" if encoded[0] == ord("I") else "big"
    start = int.from_bytes(encoded[4:8].tobytes(), order)
    count = int.from_bytes(encoded[start : start + 2].tobytes(), order)
    sides = {}
    for position in range(start + 2, min(start + 2 + 12 * count, len(encoded) - 11), 12):
        field = encoded[position : position + 12].tobytes()
        size = 2 if int.from_bytes(field[2:4], order) == 3 else 4  # SHORT or LONG
        sides[int.from_bytes(field[:2], order)] = int.from_bytes(field[8 : 8 + size], order)
    return (sides[256], sides[257]) if {256, 257} <= sides.keys() else None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers with what their segments hold, those of all scans included, up to the end or to what is no marker."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : position + 2 + length]
        if len(segment) < length - 2:
            return
        yield marker, segment
        position += 2 + length
        if marker == 0xDA:
            following = _AFTER_SCAN.search(data, position)
            if following is None:
                return
            position = following.start()


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
            return data.find(JPEG_END, position) >= 0
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _png_end(data: bytes) -> bool:
    """Step from chunk to chunk until IEND. OpenCV reserves memory for one that claims to be longer than the file."""
    position = len(PNG_START)
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False
