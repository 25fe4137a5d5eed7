"""Branches on the size of a map, in traces by `torch.jit.trace`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

_ONE_SIZE: ContextVar[bool] = ContextVar("traces are for one size", default=False)


@contextmanager
def for_one_size() -> Iterator[None]:
    """Traces inside the `with` are for the size of their example alone, for readers that know no branches."""
    token = _ONE_SIZE.set(True)
    try:
        yield
    finally:
        _ONE_SIZE.reset(token)


def branches_on_size(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a trace keeps both branches of the function, unless it is `for_one_size`."""
    scripted: Callable[P, R] = torch.jit.script_if_tracing(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs) if _ONE_SIZE.get() else scripted(*args, **kwargs)

    return call
