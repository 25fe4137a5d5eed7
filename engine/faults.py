"""A machine that fails under a run: which exceptions mean that, and the line that says so.

torch tells most of it by a RuntimeError with a text, which may come up anywhere in the main process: the death of a
loader's worker interrupts whatever runs there.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from files.errors import FaultError, InputError

_NO_WORKERS = "use fewer --workers; 0 loads in the main process"
_NO_MEMORY = "no memory is left; use a smaller --batch-size or --imgsz, or fewer --workers"
_TOO_MANY_FILES = "too many files are open; use fewer --workers, or raise the limit (ulimit -n)"
_SHARED_MEMORY = (
    "no shared memory is left for the processes that load images; use --workers 0, or give the machine more (/dev/shm; "
    "--shm-size of a container)"
)
_KILLED = f"a process that loads images was ended from outside ({{signal}}), as where memory runs out; {_NO_WORKERS}"
_LINES = (
    # (what the exception says, the line)
    (r"worker .*killed by signal: Bus error|shared memory|\bshm\b|/torch_\d", _SHARED_MEMORY),
    (r"Too many open files|ancdata", _TOO_MANY_FILES),
    (r"worker .*killed by signal: (?P<signal>[\w ]+)", _KILLED),
    (r"DataLoader worker .*exited unexpectedly", f"a process that loads images has ended; {_NO_WORKERS}"),
    (r"DefaultCPUAllocator: |out of memory|Insufficient memory|Unable to allocate", _NO_MEMORY),
)


@contextmanager
def faults_told(kept: Callable[[], str] = str) -> Iterator[None]:
    """Inside the `with`, a failure of the machine becomes one line; all other exceptions pass as they are.

    Args:
        kept: what is kept of the work, as the end of the line; asked for when it is needed.

    Raises:
        FaultError: in place of such a failure.
    """
    try:
        yield
    except Exception as error:
        line = None if isinstance(error, InputError | FaultError) else fault_line(error)
        if line is None:
            raise
        raise FaultError(f"{line}{kept()}") from None


def fault_line(error: BaseException) -> str | None:
    """What failed, and the remedy; None where the exception means something else."""
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, OSError):
        return _system_line(error)
    text = " ".join(str(error).split())
    for pattern, line in _LINES:
        if found := re.search(pattern, text):
            return line.format(**found.groupdict())
    return None


def _system_line(error: OSError) -> str | None:
    """What failed where the system says so; what it says of a file is not meant."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return _TOO_MANY_FILES
    if error.errno in (errno.EAGAIN, errno.ENOMEM) and error.filename is None:
        return f"the system starts no more processes ({error.strerror}); {_NO_WORKERS}"
    return _SHARED_MEMORY if str(error.filename).startswith("/torch_") else None
