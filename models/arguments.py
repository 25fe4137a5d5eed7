"""From what a row's argument says to the value that a constructor gets, by literals and look-ups, never by `eval`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from files.hints import did_you_mean
from models.errors import ConfigError
from models.kinds import check_arguments
from models.registry import Entry, lookup


def resolve_argument(value: Any, names: Mapping[str, Any]) -> Any:
    """`'None'`, `'True'`, `'False'` and the strings in `names` become values; lists are resolved item by item.

    Other strings pass unchanged: what they mean is the block's affair (`'nearest'`, `'nn.ReLU()'`).
    """
    if isinstance(value, list):
        return [resolve_argument(item, names) for item in value]
    if not isinstance(value, str):
        return value
    return {"None": None, "True": True, "False": False, **names}.get(value, value)


def construct(entry: Entry, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> nn.Module:
    """Call a block's constructor, the names in its convolution slots looked up in the registry.

    Raises:
        ConfigError: the arguments do not fit the constructor, or it refuses their values.
        BudgetError: they ask for too much.
    """
    signature = inspect.signature(entry.block)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ConfigError(f"wrong arguments: {_bind_problem(error, signature, kwargs)}") from error
    for slot in entry.conv_slots:
        value = bound.arguments.get(slot)
        if isinstance(value, str):
            bound.arguments[slot] = lookup(value).block
    check_arguments(entry.block, bound.arguments, entry.conv_slots)
    try:
        block = entry.block(*bound.args, **bound.kwargs)
    except ConfigError:
        raise
    except Exception as error:  # a constructor may raise anything on a value that it does not expect
        shown = ", ".join([*(repr(arg) for arg in args), *(f"{key}={value!r}" for key, value in kwargs.items())])
        text = " ".join(str(error).split()) or type(error).__name__
        hint = _near_keyword(signature, kwargs) or "; check the row's arguments"
        raise ConfigError(f"cannot be built with ({shown}): {text}{hint}") from error
    empty = next((name for name, parameter in block.named_parameters() if not parameter.numel()), None)
    if empty is not None:
        raise ConfigError(f"has no numbers in its {empty}: some of its channels are 0; ask for more channels")
    return block


def _bind_problem(error: TypeError, signature: inspect.Signature, kwargs: Mapping[str, Any]) -> str:
    hint = _near_keyword(signature, kwargs)
    shown = ", ".join(str(parameter.replace(annotation=parameter.empty)) for parameter in signature.parameters.values())
    return f"{error}{hint}; the constructor takes ({shown}), the channels of the input being filled in"


def _near_keyword(signature: inspect.Signature, kwargs: Mapping[str, Any]) -> str:
    """A suggestion for the first keyword that the constructor does not name itself; empty where nothing is near."""
    unknown = (key for key in kwargs if key not in signature.parameters)
    hints = (did_you_mean(key, signature.parameters) for key in unknown)
    return next((f"; {hint}" for hint in hints if hint), "")
