"""The errors that become one line: bad input, and a machine that fails under a run."""

from __future__ import annotations


class InputError(ValueError):
    """What a person handed over cannot be used. One line: the file or the flag, the entry, and the remedy.

    The commands turn this error, and no other one of ours, into that line and exit code 2.

    Attributes:
        entry: path of the wrong entry inside what was checked, such as `("mosaic",)`, for callers that know its line;
            empty where the message says it all.
    """

    def __init__(self, message: str = "", *, entry: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.entry = entry


class FaultError(RuntimeError):
    """The machine failed under a run, and no input is to blame: memory, processes, shared memory ran out.

    One line: what failed, what is kept, and the remedy. The commands end with exit code 1.
    """
