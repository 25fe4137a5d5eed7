"""The activation behind `act=True`, and activations named in text.

The `activation` key of a model YAML holds for that model only. The parser therefore builds the model inside
`default_activation(...)`; nothing is stored on a class, so two models with different activations can be built in one
process, in two threads too.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import nn

from files.hints import near_names, suggestion
from models.errors import ConfigError

ActivationFactory = Callable[[], nn.Module]
Activation = bool | str | nn.Module | None
"""What a block takes as `act`: True = the model's default, False or None = none, text as in a YAML, or a module."""

_default: ContextVar[ActivationFactory] = ContextVar("default_activation", default=nn.SiLU)

_KNOWN: dict[str, type[nn.Module]] = {
    name: cls
    for name, cls in vars(nn).items()
    if isinstance(cls, type) and cls.__module__ == "torch.nn.modules.activation" and name != "MultiheadAttention"
} | {"Identity": nn.Identity}


_LONGEST = 200  # characters of an activation's text


@contextmanager
def default_activation(factory: ActivationFactory) -> Iterator[None]:
    """Blocks built inside the `with` use `factory()` wherever they have `act=True`.

    Args:
        factory: makes a new module at each call: a class such as `nn.ReLU`, or what `parse_activation` returns.
    """
    token = _default.set(factory)
    try:
        yield
    finally:
        _default.reset(token)


def build_activation(act: Activation) -> nn.Module:
    """The module for a block's `act` argument.

    Raises:
        ConfigError: a text that names no activation, or a value of another type.
    """
    if act is True:
        return _default.get()()
    if act is False or act is None:
        return nn.Identity()
    if isinstance(act, nn.Module):
        return act
    if isinstance(act, str):
        return parse_activation(act)()
    raise ConfigError(f"act must be true, false, an activation such as 'nn.ReLU()' or a module, not {act!r}")


def parse_activation(text: str) -> ActivationFactory:
    """Factory for a text such as `nn.LeakyReLU(0.1)`, `nn.SiLU()` or `ReLU`; arguments must be literals.

    Nothing is evaluated: the class is looked up among the activations of `torch.nn`.

    Raises:
        ConfigError: not such a text, an unknown activation (the nearest one is suggested), or wrong arguments.
    """
    if len(text) > _LONGEST:
        raise ConfigError(f"cannot read an activation of {len(text):,} characters; write it as 'nn.LeakyReLU(0.1)'")
    name, args, kwargs = _read_call(text)
    if not all(map(_is_finite, (*args, *kwargs.values()))):
        raise ConfigError(f"activation {text!r} must have finite numbers; change its arguments")
    if name not in _KNOWN:
        near = [f"nn.{each}()" for each in near_names(name, _KNOWN)]
        hint = suggestion(near) or "name one of torch.nn, such as 'nn.SiLU()'"
        raise ConfigError(f"unknown activation {text!r}; {hint}")

    def factory() -> nn.Module:
        return _KNOWN[name](*args, **kwargs)

    try:
        factory()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"activation {text!r} has wrong arguments: {error}") from None
    return factory


def _read_call(text: str) -> tuple[str, list[object], dict[str, object]]:
    """Class name, positional and keyword arguments of `nn.Name(literal, key=literal)`; the call may be left out."""
    try:
        node: ast.expr = ast.parse(text.strip(), mode="eval").body
        args: list[object] = []
        kwargs: dict[str, object] = {}
        if isinstance(node, ast.Call):
            args = [ast.literal_eval(arg) for arg in node.args]
            kwargs = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
            node = node.func
        dotted = ast.unparse(node)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):  # the last one where it nests deeply
        raise ConfigError(f"cannot read the activation {text!r}; write it as 'nn.LeakyReLU(0.1)'") from None
    return dotted.removeprefix("torch.").removeprefix("nn."), args, kwargs


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
