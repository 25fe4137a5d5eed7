"""What the scripts share: one line and exit code 2 for bad input, and a clean end on Ctrl-C."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence

from files.errors import InputError
from files.exit_codes import ExitCode
from files.progress import bars_shown

Main = Callable[[Sequence[str] | None], int]


def run_cli(main: Main, argv: Sequence[str] | None = None) -> int:
    """Calls `main(argv)` and returns the exit code of the process.

    Only the errors that mean bad input become one line on stderr and exit code 2; anything else is a defect of ours and
    keeps its traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        with bars_shown():
            return main(argv)
    except InputError as error:
        message = str(error)
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
    return ExitCode.BAD_INPUT


def _describe(error: OSError) -> str:
    """One line for a file error: which file, what is wrong."""
    if error.filename is None or error.strerror is None:
        return str(error) or type(error).__name__
    return f"{error.filename}: {error.strerror.lower()}; check the path and its permissions"
