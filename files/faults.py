"""Errors of the file system, in one line each: the file, what is wrong, and the remedy.

The system says `[Errno 28] No space left on device`, often without a file. Whoever writes knows the file.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from files.errors import InputError
from files.printable import printable

_ELSEWHERE = "choose another folder"
_REASONS = {
    errno.ENOSPC: ("the disk is full", f"make room, or {_ELSEWHERE}"),
    errno.EDQUOT: ("the quota of this disk is used up", f"make room, or {_ELSEWHERE}"),
    errno.EFBIG: ("the file would be larger than is allowed here", f"see `ulimit -f`, or {_ELSEWHERE}"),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("permission denied", f"change the permissions, or {_ELSEWHERE}"),
    errno.EPERM: ("the operation is not permitted", f"change the permissions, or {_ELSEWHERE}"),
    errno.ENAMETOOLONG: ("the name or the path is too long for this disk", "choose a shorter one"),
    errno.EIO: ("the disk reports an error", f"check it, or {_ELSEWHERE}"),
    errno.EMFILE: ("too many files are open", "raise the limit, see `ulimit -n`"),
    errno.EISDIR: ("is a folder", "remove it, or choose another name"),
}
_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
"""What only a write meets: without a file's name, it is that of the file that is being written."""

_NAMES = frozenset({errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EILSEQ})


class OutputError(InputError, OSError):
    """A file cannot be written. What was there before is still there, and nothing half-written is left.

    It is an `OSError` too, for those who can do without the file.

    Args:
        path: the file, under the name that it was to get.
        cause: what the system said.
    """

    def __init__(self, path: str | Path, cause: OSError) -> None:
        super().__init__(f"{printable(str(path))}: cannot be written: {_why(Path(path), cause)}")
        self.errno, self.strerror, self.filename = cause.errno, cause.strerror, str(path)

    @property
    def is_about_its_name(self) -> bool:
        """Whether only this file cannot be written, because of its name: others can."""
        return self.errno in _NAMES

    def __str__(self) -> str:
        return str(self.args[0])


def concerns(error: OSError, file: Path) -> bool:
    """Whether an error that came up while `file` was written is about `file`, and not about one that was read."""
    if error.filename is None:
        return error.errno in _WRITING
    try:
        return os.fspath(error.filename) == os.fspath(file)
    except TypeError:  # a file descriptor
        return False


def describe_fault(error: OSError) -> str:
    """One line for a file error that nobody described: file, reason, remedy.

    Without a file or a reason, it is what the error says of itself.
    """
    if error.filename is None or error.strerror is None:
        return str(error) or type(error).__name__
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
    reason, remedy = _REASONS.get(error.errno or 0, (error.strerror.lower(), "check the path and its permissions"))
    return f"{printable(str(name))}: {reason}; {remedy}"


def _why(path: Path, cause: OSError) -> str:
    if isinstance(cause, FileNotFoundError | NotADirectoryError) and not path.parent.is_dir():
        return f"its folder is not there any more; make it again, or {_ELSEWHERE}"
    said = " ".join((cause.strerror or str(cause) or type(cause).__name__).lower().split())
    reason, remedy = _REASONS.get(cause.errno or 0, (said, _ELSEWHERE))
    return f"{reason}; {remedy}"
