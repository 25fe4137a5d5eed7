"""How many pictures that cannot be used a data set may hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.errors import DataError

_SHARE, _ALWAYS = 100, 3


def check_unusable(messages: Sequence[str], images: int, annotations: Path, *, strict: bool = False) -> None:
    """One bad picture among thousands stops nothing; more than 1 % of them, and more than 3, or any with `strict`, do.

    Args:
        messages: what is wrong with each of them, in one line; those found so far.
        images: of the whole annotation file.

    Raises:
        DataError: there are too many; the message begins with the first one's.
    """
    allowed = 0 if strict else max(images // _SHARE, _ALWAYS)
    if len(messages) <= allowed:
        return
    others = len(messages) - 1
    more = f"; {others} more of the {images} images of {annotations.name} cannot be used either" if others else ""
    if strict:
        raise DataError(f"{messages[0]} (--strict lets no such image pass{more})")
    raise DataError(f"{messages[0]} (left out are up to 1 % of the images, or {_ALWAYS}{more})")
