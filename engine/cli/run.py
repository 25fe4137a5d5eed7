"""What the scripts share: one line and an exit code for bad input and for faults, a clean end on Ctrl-C and SIGTERM."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from engine.cli.signals import terminated_as_interrupted
from files.errors import FaultError, InputError
from files.exit_codes import ExitCode
from files.faults import describe_fault
from files.printable import Lines, one_line, printable
from files.progress import bars_shown
from files.terminal import terminal

Main = Callable[[Sequence[str] | None], int]

_OURS = frozenset({"__main__", "data", "engine", "files", "models"})


def run_cli(main: Main, argv: Sequence[str] | None = None) -> int:
    """Calls `main(argv)` and returns the exit code of the process.

    Only the errors that mean bad input or a failing machine become one line on stderr; anything else is a defect of
    ours and keeps its traceback. Where standard output cannot be written, the work goes on.
    """
    with terminal() as shown:
        try:
            with _logs_shown(), bars_shown(), terminated_as_interrupted() as ending:
                code = _run(main, argv)
        except SystemExit as error:  # argparse: --help, or a flag that does not exist
            raise SystemExit(shown.finish(error.code) if isinstance(error.code, int) else error.code) from None
        if code == ExitCode.INTERRUPTED and ending.terminated:
            print("ended by SIGTERM, as by Ctrl-C", file=sys.stderr)
            code = ExitCode.TERMINATED
        return shown.finish(code)


def _run(main: Main, argv: Sequence[str] | None) -> int:
    code = ExitCode.BAD_INPUT
    try:
        return main(argv)
    except InputError as error:
        message = str(error)
    except FaultError as error:
        message, code = str(error), ExitCode.INCOMPLETE
    except OSError as error:
        message = describe_fault(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    print("error: " + one_line(message), file=sys.stderr)
    return code


@contextmanager
def _logs_shown() -> Iterator[None]:
    """Our lines from level INFO on go to the standard output; those of libraries go nowhere."""
    root, handler = logging.getLogger(), _Lines(logging.INFO)
    level = root.level
    handler.addFilter(lambda record: record.name.partition(".")[0] in _OURS)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class _Lines(logging.Handler):
    """Prints each message. What it was given to fill in is a name or a number, and stays on its line."""

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple):
            record = logging.makeLogRecord({**record.__dict__, "args": tuple(map(_on_one_line, record.args))})
        print(record.getMessage(), flush=True)


def _on_one_line(value: object) -> object:
    """Numbers stay what they are, for formats such as `%.4f`, and so do tables."""
    return value if isinstance(value, int | float | Lines) else printable(str(value))
