"""Arrays in one file that is mapped into memory: for what is expensive to make, large, and read by many processes.

The file: a line that names the format; the size of the header, eight bytes; a digest of all that follows, 32 bytes; the
header, JSON with each array's name, type, shape and place, and the owner's facts; the arrays, each at a multiple of 64
bytes, little-endian. Nothing in it is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from files.atomic import atomic_path

_FORMAT = b"saconv-yolo arrays 1\n"
MAPPED_FROM = 1 << 20
"""Bytes from which on a file is mapped. Little is won with a smaller one, and whoever cuts a mapped file short ends the
processes that use it."""

_ALIGNMENT = 64
_DIGEST_BYTES = 32
_DIGEST_AT = len(_FORMAT) + 8
_HEADER_AT = _DIGEST_AT + _DIGEST_BYTES
_KINDS = "biuf"  # booleans, whole numbers, floating-point numbers


class DamagedArraysError(ValueError):
    """The file is not what `write_arrays` left."""


@dataclass(frozen=True, eq=False)
class StoredArrays:
    """What a file holds.

    Attributes:
        arrays: by name; read-only views of the file.
        facts: the owner's JSON values.
        digest: of the content, as hexadecimal digits.
    """

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    digest: str


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Writes the file, whole or not at all.

    Args:
        arrays: by name, of booleans or numbers.
        facts: whatever JSON can hold.

    Raises:
        OSError: it cannot be written.
    """
    packed = {name: _little_endian(array) for name, array in arrays.items()}
    entries, end = {}, 0
    for name, array in packed.items():
        start = _aligned(end)
        entries[name] = {"type": array.dtype.str, "shape": array.shape, "start": start}
        end = start + array.nbytes
    header = json.dumps({"arrays": entries, "facts": dict(facts), "size": end}).encode()
    padding = bytes(_aligned(_HEADER_AT + len(header)) - _HEADER_AT - len(header))
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_FORMAT + len(header).to_bytes(8, "little") + bytes(_DIGEST_BYTES))
        for part in (header + padding, *_with_gaps(packed.values())):
            digest.update(part)
            file.write(part)
        file.seek(_DIGEST_AT)
        file.write(digest.digest())


def read_arrays(path: Path, *, digest: str | None = None) -> StoredArrays:
    """Maps a file into memory, or reads a small one, and checks it.

    Args:
        digest: the file must have this one, which somebody checked; then its content is not read for it again. None
            reads all of it.

    Raises:
        OSError: there is none, or it cannot be read.
        DamagedArraysError: it is damaged, of another format, or has another digest.
    """
    memory = _contents(path)
    if memory[: len(_FORMAT)] != _FORMAT or len(memory) < _HEADER_AT:
        raise DamagedArraysError(f"{path}: is of another format")
    stated = memory[_DIGEST_AT:_HEADER_AT].hex()
    found = digest if digest is not None else _digest_of(memory)
    if stated != found:
        raise DamagedArraysError(f"{path}: is damaged")
    size = int.from_bytes(memory[len(_FORMAT) : _DIGEST_AT], "little")
    try:
        header = json.loads(memory[_HEADER_AT : _HEADER_AT + size])
        start = _aligned(_HEADER_AT + size)
        if len(memory) != start + header["size"]:
            raise DamagedArraysError(f"{path}: is not as long as it says")
        views = {name: _view(memory, start, entry) for name, entry in header["arrays"].items()}
        return StoredArrays(views, header["facts"], stated)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        raise DamagedArraysError(f"{path}: is damaged") from None


def _with_gaps(arrays: Iterable[np.ndarray]) -> Iterator[Any]:
    """The arrays' bytes, and between them as many zeros as the alignment asks for."""
    end = 0
    for array in arrays:
        yield bytes(_aligned(end) - end)
        yield array.reshape(-1).view(np.uint8)
        end = _aligned(end) + array.nbytes


def _contents(path: Path) -> bytes | mmap.mmap:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < MAPPED_FROM:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _digest_of(memory: bytes | mmap.mmap) -> str:
    with memoryview(memory) as view:
        return hashlib.blake2b(view[_HEADER_AT:], digest_size=_DIGEST_BYTES).hexdigest()


def _view(memory: bytes | mmap.mmap, start: int, entry: Mapping[str, Any]) -> np.ndarray:
    kind, shape = np.dtype(entry["type"]), tuple(entry["shape"])
    if kind.kind not in _KINDS:
        raise ValueError(f"an array of {kind}")
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(memory, kind, count, start + entry["start"]).reshape(shape)


def _little_endian(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array, order="C")
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"arrays hold booleans and numbers, not {array.dtype}")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT
