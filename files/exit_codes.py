"""The exit codes of every command, once: `--help` prints this table, and docs/bad-input.md repeats it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's process ends with."""

    DONE = 0
    INCOMPLETE = 1
    BAD_INPUT = 2
    INTERRUPTED = 130  # 128 + SIGINT, as shells report it
    TERMINATED = 143  # 128 + SIGTERM


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.INCOMPLETE: "some inputs failed, or the work was cut off; what was complete is kept",
    ExitCode.BAD_INPUT: "bad input or a wrong flag; one line says which, and the remedy",
    ExitCode.INTERRUPTED: "ended by Ctrl-C; what was complete is kept",
    ExitCode.TERMINATED: "ended by SIGTERM; what was complete is kept",
}
"""Every code in words. A Python traceback, which ends with 1 too, is a defect of ours."""


def table() -> str:
    """The codes as lines for people."""
    return "\n".join(["exit codes:", *(f"  {code:<3}  {meaning}" for code, meaning in MEANINGS.items())])
