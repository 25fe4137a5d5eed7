"""Progress bars, on stderr, for people who run a command. Who calls a function from Python sees none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from files.printable import printable
from files.terminal import bar_stream

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

_SHOWN: ContextVar[bool] = ContextVar("bars are shown", default=False)


@contextmanager
def bars_shown() -> Iterator[None]:
    """Bars that are made inside the `with` are drawn."""
    token = _SHOWN.set(True)
    try:
        yield
    finally:
        _SHOWN.reset(token)


def bar(items: Iterable[T], label: str, **style: Any) -> tqdm[T]:
    """The items, with a bar while they are gone through.

    Args:
        style: goes to `tqdm`.
    """
    from tqdm import tqdm

    drawn = {"file": bar_stream(), **{key: value for key, value in style.items() if value is not None}}
    return tqdm(items, desc=printable(label), disable=not _SHOWN.get(), dynamic_ncols=True, **drawn)


@contextmanager
def bar_put_aside() -> Iterator[None]:
    """What is written inside the `with` stands on lines of its own, above the bar that is being drawn."""
    from tqdm import tqdm

    with tqdm.external_write_mode():
        yield
