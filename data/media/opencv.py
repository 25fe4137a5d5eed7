"""Names of files as OpenCV takes them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def opencv_name(path: Path) -> Iterator[str]:
    """A name that OpenCV can be given while it opens a file, to read or to write; the file stays open afterwards.

    OpenCV ends the process on a name that is no text: then it is that of a link. FFmpeg would take `12:30.mp4` for an
    address that begins with `12:`; a whole path begins with a slash.

    Raises:
        OSError: no link can be made.
    """
    path = path.absolute()
    if _is_text(str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"video{path.suffix if _is_text(path.suffix) else ''}"
        link.symlink_to(path)
        yield str(link)


def _is_text(name: str) -> bool:
    """Whether a name can be written in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
