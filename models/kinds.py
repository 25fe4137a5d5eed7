"""Does a value have the kind that a constructor's annotation asks for, and the range that its name stands for?

YAML is generous: `true` counts as 1, `'false'` as true, 1.5 as a size. So a row's values are compared with what the
block's constructor says that it takes. What it says nothing about may be anything.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import nn

from files.problems import short
from models.budget import current_budget
from models.errors import ConfigError

_WINDOWS = frozenset({"k", "s", "d", "kernel_size", "stride", "dilation"})
_AT_LEAST_ONE = _WINDOWS | {"c1", "c2", "n", "g", "groups", "heads", "num_heads", "num_layers", "num_features"}
_FACTORS = frozenset({"e", "mlp", "ratio"})
_AT_LEAST_ZERO = frozenset({"p", "p1", "p2", "output_padding"})


def check_arguments(block: type[nn.Module], arguments: Mapping[str, Any], slots: Iterable[str] = ()) -> None:
    """Checks what a block's constructor is about to get.

    Sizes, strides, dilations and groups are whole numbers from 1, whatever block it is: they are known by the names
    that all blocks, and torch, give them. So are the factors that make inner channels of outer ones, which are above 0.

    Args:
        arguments: by name; further keywords under the name of the constructor's `**` argument.
        slots: arguments that hold a block, which gets the further keywords.

    Raises:
        ConfigError: a value of another kind, or out of range.
        BudgetError: a window larger than the budget allows.
    """
    hints = _hints(block)
    for name, value in arguments.items():
        if _is_further(block, name):
            inner = [arguments[slot] for slot in slots if isinstance(arguments.get(slot), type)]
            for taker in inner:
                known = inspect.signature(taker).parameters
                check_arguments(taker, {key: item for key, item in value.items() if key in known})
        elif name in hints:
            _check(name, value, hints[name])


def _check(name: str, value: Any, hint: Any) -> None:
    if not fits(value, hint):
        raise ConfigError(f"{name} must be {wanted(hint)}, not {short(value)}")
    for number in _numbers(value):
        if not math.isfinite(number):
            raise ConfigError(f"{name} must be finite, not {number}")
        if name in _FACTORS:
            if number <= 0:
                raise ConfigError(f"{name} must be above 0, not {number}")
            current_budget().check("parameters", number, f"{name} of {{}}")  # a layer so wide has as many at least
        if isinstance(number, float):
            continue
        least = 1 if name in _AT_LEAST_ONE else 0 if name in _AT_LEAST_ZERO else None
        if least is not None and number < least:
            raise ConfigError(f"{name} must be at least {least}, not {short(value)}")
        if name in _WINDOWS:
            current_budget().check("window", number, f"{name} of {{}}")
        if name == "n":
            current_budget().check("repeats", number)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the kind that an annotation names. A list stands for a tuple; a bool is no number."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, member) for member in inside)
    if origin is Annotated:
        return fits(value, inside[0])
    if origin is Literal:
        return any(value is member or (type(value) is type(member) and value == member) for member in inside)
    if origin is type:
        return isinstance(value, type)
    if origin is tuple and Ellipsis not in inside:
        matches = isinstance(value, list | tuple) and len(value) == len(inside)
        return matches and all(map(fits, value, inside))
    if isinstance(origin, type) and issubclass(origin, Iterable) and not issubclass(origin, Mapping):
        return isinstance(value, list | tuple) and all(fits(item, inside[0]) for item in value)
    return _fits_class(value, hint)


def _fits_class(value: Any, hint: Any) -> bool:
    if hint is None or hint is type(None):
        return value is None
    if hint is Any or not isinstance(hint, type):
        return True  # or a type variable: everything
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, hint)


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    nn.Module: "a module",
    type(None): "null",
}


def wanted(hint: Any) -> str:
    """An annotation in words: `a whole number, a list of 2 whole numbers or null`."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        *most, last = dict.fromkeys(map(wanted, inside))
        return f"{', '.join(most)} or {last}" if most else last
    if origin is Annotated:
        return wanted(inside[0])
    if origin is Literal:
        return f"one of {', '.join(map(repr, inside))}"
    if origin is type:
        return "the name of a block"
    if origin is not None:
        count = f"{len(inside)} " if origin is tuple and Ellipsis not in inside else ""
        return f"a list of {count}({wanted(inside[0])})" if inside else "a list"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _numbers(value: Any) -> Iterable[int | float]:
    """The numbers in a value, at any depth."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _hints(block: type[nn.Module]) -> Mapping[str, Any]:
    """Annotations of a constructor; of one whose annotations cannot be found out, none."""
    try:
        return get_type_hints(block.__init__, include_extras=True)
    except (AttributeError, NameError, TypeError):
        return {}


def _is_further(block: type[nn.Module], name: str) -> bool:
    parameter = inspect.signature(block).parameters.get(name)
    return parameter is not None and parameter.kind is inspect.Parameter.VAR_KEYWORD
