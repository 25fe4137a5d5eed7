"""Standard output and standard error of a command: whatever is printed can be shown, and none of it can stop the work.

The two may be closed, full (`/dev/full`, a disk), or lead to a reader that is gone (`| head -1`); a name may hold what
the terminal cannot show. The files that a command writes are worth more than its lines: it goes on, and says in the end
that lines are missing.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from files.exit_codes import ExitCode
from files.printable import encodable, printable_lines

_QUIET = {"PYTHONWARNINGS": "ignore", "TORCH_CPP_LOG_LEVEL": "ERROR"}
"""Of the processes that a command starts, and of libraries that it has not loaded yet. Who sets them is obeyed."""


class PrintableStream:
    """A stream that takes any text and never fails.

    Attributes:
        fault: why lines were lost; None for none.
        bars: the same stream for progress bars, which move the cursor.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.fault: OSError | ValueError | None = None
        self.bars = _Bars(self)

    def write(self, text: str) -> int:
        """As of a text stream."""
        self.write_as_it_is(printable_lines(text))
        return len(text)

    def write_as_it_is(self, text: str) -> None:
        """With what moves the cursor."""
        if self.fault is None:
            try:
                self._stream.write(encodable(text, self._stream.encoding))
            except (OSError, ValueError) as error:  # closed streams are ValueErrors
                self.fault = error

    def flush(self) -> None:
        """As of a text stream."""
        if self.fault is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self.fault = error

    def abandon(self) -> None:
        """After a fault: what is still waiting to be written leads nowhere, else Python would try it again and fail."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Bars:
    """What bars are drawn on."""

    def __init__(self, stream: PrintableStream) -> None:
        self._of = stream
        self.write = stream.write_as_it_is

    def __eq__(self, other: object) -> bool:
        # tqdm asks whether a bar is drawn where lines are printed, to put it aside meanwhile
        return other is self or other is self._of

    def __hash__(self) -> int:
        return id(self._of)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


class Terminal:
    """The two streams of a command."""

    def __init__(self, output: PrintableStream, errors: PrintableStream) -> None:
        self._output, self._errors = output, errors

    def finish(self, code: int) -> int:
        """Ends the output; says so where lines of it were lost. Returns the exit code, given that of the work."""
        self._output.flush()
        fault = self._output.fault
        if fault is None or isinstance(fault, BrokenPipeError):
            return code  # whoever stops reading has read enough
        why = getattr(fault, "strerror", None) or str(fault)
        self._errors.write(f"error: standard output cannot be written: {why.lower()}; lead it elsewhere\n")
        return code or ExitCode.BAD_INPUT


@contextmanager
def terminal() -> Iterator[Terminal]:
    """Inside the `with`, `sys.stdout` and `sys.stderr` are streams that take any text and never fail.

    Warnings of libraries are silent meanwhile, unless `-W` or `PYTHONWARNINGS` asks for them.
    """
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    streams = [PrintableStream(stream or _nowhere()) for stream in before]
    variables = {name: value for name, value in _QUIET.items() if name not in os.environ}
    sys.stdout, sys.stderr = cast("list[TextIO]", streams)
    os.environ.update(variables)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield Terminal(*streams)
    finally:
        for stream in streams:
            stream.flush()
            if stream.fault is not None:
                stream.abandon()
        sys.stdout, sys.stderr = before
        for name in variables:
            os.environ.pop(name, None)


def reader_is_gone() -> bool:
    """Whether nobody reads the standard output any more, as after `| head -1`."""
    return isinstance(getattr(sys.stdout, "fault", None), BrokenPipeError)


def bar_stream() -> Any:
    """Where bars are drawn: on the standard error."""
    return getattr(sys.stderr, "bars", sys.stderr)


def _open_closed_descriptors() -> None:
    """A closed descriptor would be given to the next file that is opened, and libraries would print into that."""
    for descriptor in filter(_is_closed, (0, 1, 2)):
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 (lives with the process)
