"""Text files that list sources, one a line."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from data.errors import DataError
from data.media.limits import LIST_BYTES
from files.paths import exists, find, is_file, is_folder, shown, why_missing

_BREAKS = re.compile(r"\r\n|\n|\r")  # `str.splitlines` would also break names at rarer characters
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(file: Path) -> list[str]:
    """The lines of a list without their ends; bytes that are no UTF-8 in names of files that are there stay as such.

    Raises:
        DataError: the list is missing, no file, too large, or no text in UTF-8.
    """
    if exists(file) and not is_file(file) and not is_folder(file):
        raise DataError(f"{file}: not a file but a pipe, a device or a socket; give a list in a file")
    try:
        with file.open("rb") as opened:
            content = opened.read(LIST_BYTES + 1)
    except (OSError, ValueError) as error:
        if not exists(file):
            raise DataError(f"{shown(file)}: {why_missing(file)}; check --source") from None
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{file}: cannot be read ({why}); check its permissions") from None
    if len(content) > LIST_BYTES:
        raise DataError(f"{file}: larger than {LIST_BYTES // 2**20} MiB, more than a list may have; split it")
    if content.startswith(_UTF16):
        raise DataError(f"{file}: not a text file in UTF-8 but in UTF-16; save it as UTF-8")
    if b"\0" in content:
        raise DataError(f"{file}: not a text file, it holds zero bytes; write one source per line, as UTF-8")
    return _decoded(content, file)


def _decoded(content: bytes, file: Path) -> list[str]:
    try:
        return _BREAKS.split(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        lines = _BREAKS.split(content.decode("utf-8", "surrogateescape"))
    for number, line in enumerate(lines, 1):
        # `ls > list.txt` writes names as they are on the disk
        if _is_broken(line) and find(line, file.parent, None) is None:
            raise DataError(f"{file}, line {number}: not a text file in UTF-8; save it as UTF-8, one source per line")
    return lines


def _is_broken(line: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in line)
