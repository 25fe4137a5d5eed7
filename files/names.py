"""Names of files that a disk takes: without characters that mean something else, and not too long."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

from files.printable import encodable

_LONGEST = 255
"""Bytes of a name, where the disk does not say."""
_DIGITS = 8  # of the hash in a name that was shortened
_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]+')  # what some systems do not take


def safe_name(text: str) -> str:
    """A text as one component of a path. Letters that names of files here cannot have are written as `_u6c49`."""
    return _UNFIT.sub("_", _encodable(text)).strip(" .") or "_"


def fitting_name(folder: Path, stem: str, tail: str = "") -> str:
    """`stem` and `tail`, or a shorter beginning of the stem with a hash of it, where the disk takes no longer name.

    Args:
        folder: where the file is to lie.
        tail: what the name must end with, such as `_12.txt`.

    Returns:
        The same name for the same text; another one for each other text.
    """
    longest = _longest(folder)
    if len(os.fsencode(stem + tail)) <= longest:
        return stem + tail
    digits = hashlib.blake2b(os.fsencode(stem), digest_size=_DIGITS // 2).hexdigest()
    room = longest - len(os.fsencode(tail)) - 1 - _DIGITS
    return f"{_beginning(stem, room)}~{digits}{tail}"


def _encodable(text: str) -> str:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return encodable(text, sys.getfilesystemencoding())
    return text


def _beginning(text: str, most: int) -> str:
    """As many of the first letters as take `most` bytes."""
    while len(os.fsencode(text)) > most:
        text = text[: -max(1, (len(os.fsencode(text)) - most) // 4)]
    return text


def _longest(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows; no such folder; a system that does not say
        return _LONGEST
