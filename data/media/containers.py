"""Whether a video file is as long as its own structure says.

A copy that broke off plays up to the break and then ends like a whole one: for a player, the end of the file is the end
of the film. AVI, MP4, Matroska, ASF and most FLV files say in their headers how many bytes belong to them.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_MATROSKA = b"\x1a\x45\xdf\xa3"
_BOXES = frozenset(
    {b"ftyp", b"styp", b"pdin", b"moov", b"moof", b"mfra", b"mdat", b"free", b"skip", b"wide", b"sidx", b"ssix"}
    | {b"prft", b"emsg", b"meta", b"uuid", b"udta"}
)
"""Those of the outermost level."""
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_SEGMENT = b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """How many bytes a video file lacks at its end; 0 where it is whole, or does not say."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(12)
            if head.startswith(b"RIFF"):
                promised = _riff_end(head)
            elif head.startswith(_MATROSKA):
                promised = _matroska_end(file)
            elif head.startswith(_ASF):
                promised = _asf_end(head + file.read(4096))
            elif head.startswith(b"FLV"):
                promised = _flv_end(head + file.read(4096))
            elif head[4:8] in _BOXES:
                promised = _boxes_end(file, size)
            else:
                return 0
    except OSError:
        return 0
    return max(promised - size, 0)


def _riff_end(head: bytes) -> int:
    """Resource Interchange File Format: four letters, and a length that does not count these eight bytes."""
    length = int.from_bytes(head[4:8], "little")
    return 0 if length == 0xFFFFFFFF else 8 + length  # a recorder that was killed leaves this, or 0


def _boxes_end(file: BinaryIO, size: int) -> int:
    """ISO/IEC 14496-12: boxes one after the other, each with its length; 1 means that 64 bits follow, 0 to the end."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8 or header[4:8] not in _BOXES:
            return 0
        position += length
    return position


def _matroska_end(file: BinaryIO) -> int:
    """RFC 8794: an element is its name, its length and its content; the second element is the whole film."""
    file.seek(len(_MATROSKA))
    header = _variable_number(file)
    if header is None:
        return 0
    file.seek(header, 1)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return 0
    length = _variable_number(file)
    return 0 if length is None else file.tell() + length


def _asf_end(head: bytes) -> int:
    """Advanced Systems Format (.wmv, .asf): the object "File Properties" has the file's size, behind two fields."""
    start = head.find(_FILE_PROPERTIES) + len(_FILE_PROPERTIES) + 8 + 16
    return int.from_bytes(head[start : start + 8], "little") if _FILE_PROPERTIES in head else 0


def _flv_end(head: bytes) -> int:
    """Flash Video: its metadata may have a `filesize`, a number of type 0 (AMF0: a float64, most significant first)."""
    name = b"filesize\0"
    value = head[head.find(name) + len(name) :][:8]
    if name not in head or len(value) < 8:
        return 0
    size = struct.unpack(">d", value)[0]
    return int(size) if 0 <= size < 2**53 else 0


def _variable_number(file: BinaryIO) -> int | None:
    """A number whose leading zero bits say how many bytes it has; None for "unknown", all its bits set."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    bits = 7 * (extra + 1)
    number = int.from_bytes(first + file.read(extra), "big") & ((1 << bits) - 1)
    return None if number == (1 << bits) - 1 else number
