"""SIGTERM, by which systems, containers and queues end a process: the work ends as after Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


class Ending:
    """Whether SIGTERM came."""

    terminated = False

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: ends the work once; what comes later finds it ending."""
        self.terminated = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if hasattr(signal, "SIGCHLD"):
            # A loader's workers may have got the signal too. Their death is no news any more.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        raise Terminated


@contextmanager
def terminated_as_interrupted() -> Iterator[Ending]:
    """Inside the `with`, SIGTERM raises a KeyboardInterrupt, unless somebody else already handles or ignores it."""
    ending = Ending()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield ending
        return
    signal.signal(signal.SIGTERM, ending.terminate)
    try:
        yield ending
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
