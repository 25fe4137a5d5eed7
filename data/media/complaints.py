"""What picture decoders complain about.

libjpeg and libpng report damage as lines on the process's standard error, by C's `fprintf`, and go on: they name no
file, and return a picture with grey or coloured stripes. So file descriptor 2 leads into a temporary file while a
picture is decoded (4 microseconds), and what is found there belongs to that picture.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, TextIO, TypeVar, cast

from files.terminal import PrintableStream

Result = TypeVar("Result")

_DECODERS = re.compile(
    r"Corrupt JPEG data: |Premature end of JPEG file|Inconsistent progression sequence|Invalid SOS parameters"
    r"|Application transferred too many scanlines|Unknown Adobe color transform|Warning: unknown JFIF revision"
    r"|libpng (?:warning|error): |\[ ?(?:ERROR|WARN)"
    r"|tempfile\.tif: |_?TIFF\w+: |(?:LZW|ZIP|PackBits|Fax\d|JPEG|ZSTD|LZMA|WebP|LERC|PixarLog|LogL|Thunder|NeXT)\w*: "
)
"""How the decoders' lines begin (libjpeg's jerror.h, libpng's pngerror.c, OpenCV's log; libtiff's begin with the name
of its function, or of the file, which is that of Pillow's)."""
_HARMLESS = re.compile(
    # A PNG chunk whose name begins with a small letter is an ancillary one: colour profiles, texts, dates.
    r"libpng warning: [a-z][A-Za-z]{3}: |Warning: unknown JFIF revision|Corrupt JPEG data: bad ICC marker"
    r"|\S+: Warning, "  # libtiff's: tags that it does not know, and the like
)
"""What leaves the pixels as they are."""


@dataclass(frozen=True)
class Complaints:
    """What was said while a picture was decoded, each in one line; "" for nothing.

    Attributes:
        damage: the pixels are not what they were meant to be.
        note: the pixels are whole.
    """

    damage: str = ""
    note: str = ""


def hear(decode: Callable[[], Result]) -> tuple[Result, Complaints]:
    """The result of `decode`, and what the decoders complained about meanwhile.

    Lines of others who write to standard error at the same time are passed on. Threads wait for each other, unless
    somebody hears them all together.
    """
    if _together:
        return decode(), Complaints()
    with _LOCK:
        original = _divert()
        if original is None:
            return decode(), Complaints()
        try:
            result = decode()
        finally:
            text = _restore(original)
    return result, _sort(text) if text else Complaints()


@contextmanager
def hear_together() -> Iterator[Together]:
    """Within, threads decode side by side, and `hear` does not know about which picture a decoder complains.

    Afterwards `Together.complained` says whether one did: then the pictures have to be decoded once more. Not for use
    in several threads.
    """
    global _together
    with _LOCK:
        original = _divert()
        together = Together(None if original is None else os.dup(original))
        _together = True  # the lock is ours: nobody may wait for it
        try:
            yield together
        finally:
            _together = False
            text = "" if original is None else _restore(original)
            together.close()
            together.complained = _sort(text) != Complaints()


class Together:
    """See `hear_together`.

    Attributes:
        terminal: where standard error leads meanwhile, for progress bars; None for where they write anyway.
        complained: whether any decoder did.
    """

    def __init__(self, descriptor: int | None) -> None:
        self.complained = False
        self._stream = None if descriptor is None else os.fdopen(descriptor, "w", encoding="utf-8", errors="replace")
        to_terminal = self._stream is not None and _is_descriptor_2(sys.stderr)
        self.terminal = PrintableStream(cast(TextIO, self._stream)).bars if to_terminal else None

    def close(self) -> None:
        """Ends with the pictures."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()


def _is_descriptor_2(stream: Any) -> bool:
    """Whether Python's standard error is the process's, and not a notebook's or a test's."""
    try:
        return bool(stream.fileno() == 2)
    except (AttributeError, OSError, ValueError):
        return False


_together = False
_LOCK = threading.RLock()
_TAPES: dict[int, IO[bytes]] = {}  # by process: a forked one must not share the position in its parent's file


_PADDING = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9$")


def without_padding(complaints: Complaints, encoded: bytes) -> Complaints:
    """Some cameras fill a JPEG up with zeros before its end marker: then all that is damage is a note.

    Args:
        encoded: the whole file.
    """
    padding = _PADDING.match(complaints.damage)
    end = encoded.rfind(b"\xff\xd9")
    if padding is None or any(encoded[end - int(padding[1]) : end]):
        return complaints
    return Complaints(note=complaints.damage)


def _divert() -> int | None:
    """Lets descriptor 2 lead into an empty file; a copy of where it led, or None where it is closed."""
    try:
        tape = _TAPES.get(os.getpid())
        if tape is None:
            _TAPES.clear()
            tape = _TAPES[os.getpid()] = _new_tape()
        original = os.dup(2)
    except OSError:
        return None
    os.dup2(tape.fileno(), 2)
    return original


def _new_tape() -> IO[bytes]:
    """A file in memory where the system has such: a full disk would swallow what a decoder says."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("complaints"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _restore(original: int) -> str:
    """Lets descriptor 2 lead where it led before; what was written to it meanwhile."""
    os.dup2(original, 2)
    tape = _TAPES[os.getpid()]
    written = tape.seek(0, os.SEEK_CUR)
    text = b""
    if written:
        tape.seek(0)
        text = tape.read(written)
        tape.seek(0)
        tape.truncate()
        others = [line for line in text.splitlines(True) if not _DECODERS.match(line.decode(errors="replace"))]
        with suppress(OSError):
            os.write(original, b"".join(others))
    os.close(original)
    return text.decode(errors="replace")


def _sort(text: str) -> Complaints:
    lines = list(dict.fromkeys(line.strip() for line in text.splitlines() if _DECODERS.match(line)))
    notes = [line for line in lines if _HARMLESS.match(line)]
    damages = [line for line in lines if line not in notes]
    return Complaints(_first(damages), _first(notes))


def _first(lines: list[str]) -> str:
    return lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "") if lines else ""


def _forget_lock() -> None:
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
