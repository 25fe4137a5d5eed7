"""What the scripts share: one line and an exit code for bad input and for faults, a clean end on Ctrl-C and SIGTERM."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence

from engine.cli.signals import terminated_as_interrupted
from files.errors import FaultError, InputError
from files.exit_codes import ExitCode
from files.progress import bars_shown

Main = Callable[[Sequence[str] | None], int]


def run_cli(main: Main, argv: Sequence[str] | None = None) -> int:
    """Calls `main(argv)` and returns the exit code of the process.

    Only the errors that mean bad input or a failing machine become one line on stderr; anything else is a defect of
    ours and keeps its traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with terminated_as_interrupted() as ending:
        code = _run(main, argv)
    if code == ExitCode.INTERRUPTED and ending.terminated:
        print("ended by SIGTERM, as by Ctrl-C", file=sys.stderr)
        return ExitCode.TERMINATED
    return code


def _run(main: Main, argv: Sequence[str] | None) -> int:
    code = ExitCode.BAD_INPUT
    try:
        with bars_shown():
            return main(argv)
    except InputError as error:
        message = str(error)
    except FaultError as error:
        message, code = str(error), ExitCode.INCOMPLETE
    except BrokenPipeError:
        # The reader of our output (`| head`) is gone: nothing to report, and nowhere to report it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INCOMPLETE
    except OSError as error:
        message = _describe(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code


def _describe(error: OSError) -> str:
    """One line for a file error: which file, what is wrong."""
    if error.filename is None or error.strerror is None:
        return str(error) or type(error).__name__
    return f"{error.filename}: {error.strerror.lower()}; check the path and its permissions"
