"""How large a model may be that a file describes: one budget, looked at before memory is touched.

A few characters in a YAML or in a checkpoint can ask for more than any machine has. The limits leave room for several
times the largest model of this project; whoever needs more raises all of them at once by a factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode

from models.errors import BudgetError

FLAG = "--model-budget"

IMAGE_SIDE = 256
"""Side in pixels of the image that a model's maps are measured for."""


@dataclass(frozen=True)
class Budget:
    """The most that a model may have.

    Attributes:
        rows: of its YAML.
        modules: of torch, those inside of blocks included.
        parameters: trained numbers.
        bytes: of parameters and buffers.
        channels: of the output of a row.
        repeats: of a row's block.
        window: side of a kernel or of a pooling window, stride, and dilation.
        anchors: for each level.
        activations: numbers in one map, for one image of side `IMAGE_SIDE`.
    """

    rows: int = 1_000
    modules: int = 3_000
    parameters: int = 200_000_000
    bytes: int = 1_000_000_000
    channels: int = 100_000
    repeats: int = 1_000
    window: int = 255
    anchors: int = 1_000
    activations: int = 100_000_000

    def times(self, factor: int) -> Budget:
        """Every limit that many times as high."""
        return Budget(**{field.name: getattr(self, field.name) * factor for field in fields(self)})

    def check(self, what: str, value: float, words: str = "") -> None:
        """Compares a value with the limit `what`.

        Args:
            words: the value in a message, such as "{} channels"; by default the name of the limit follows it.

        Raises:
            BudgetError: the value is larger.
        """
        limit = getattr(self, what)
        if not value <= limit:
            asked = f"{value:,}" if isinstance(value, int) and value < 10**15 else _rounded(value)
            factor = math.ceil(value / limit) if value < 10**6 * limit else "N"
            raise BudgetError(
                f"asks for {(words or '{} ' + what).format(asked)}, but a model may have {limit:,}; ask for less, or "
                f"raise all limits with {FLAG} {factor}"
            )


def _rounded(value: float) -> str:
    try:
        return f"{float(value):.3g}"
    except OverflowError:  # a whole number of hundreds of digits
        return "more than 1e308"


_current: ContextVar[Budget] = ContextVar("model_budget", default=Budget())  # noqa: B039 (it is frozen)


def current_budget() -> Budget:
    """The budget that models are built within now."""
    return _current.get()


@contextmanager
def model_budget(factor: int) -> Iterator[None]:
    """Inside the `with`, models may be `factor` times as large as usual."""
    token = _current.set(Budget().times(factor))
    try:
        yield
    finally:
        _current.reset(token)


_counts: ContextVar[dict[str, int] | None] = ContextVar("counts_of_the_model_that_is_built", default=None)


@contextmanager
def counted() -> Iterator[None]:
    """Counts the modules, parameters and buffers that are made inside the `with`, and stops at the budget.

    torch announces a parameter before it is filled: memory that was only reserved costs nothing yet.

    Raises:
        BudgetError: at the first one too many.
    """
    token = _counts.set(dict.fromkeys(("modules", "parameters", "bytes"), 0))
    handles = (
        hooks.register_module_module_registration_hook(_count_module),
        hooks.register_module_parameter_registration_hook(_count_parameter),
        hooks.register_module_buffer_registration_hook(_count_buffer),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        _counts.reset(token)


def _count_module(parent: nn.Module, name: str, child: nn.Module | None) -> None:
    _count("modules", int(child is not None))


def _count_parameter(parent: nn.Module, name: str, parameter: Tensor | None) -> None:
    if parameter is not None:
        _count("parameters", parameter.numel())
        _count("bytes", parameter.numel() * parameter.element_size())


def _count_buffer(parent: nn.Module, name: str, buffer: Tensor | None) -> None:
    if buffer is not None:
        _count("bytes", buffer.numel() * buffer.element_size())


def _count(what: str, more: int) -> None:
    counts = _counts.get()
    if counts is not None:  # the hooks hear of other threads too, which build nothing that a file describes
        counts[what] += more
        current_budget().check(
            what, counts[what], "{} bytes of weights or more" if what == "bytes" else f"{{}} {what} or more"
        )


class ActivationLimit(TorchDispatchMode):
    """Inside the `with`, an operation whose result is larger than the budget allows raises BudgetError."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                current_budget().check("activations", tensor.numel(), "{} numbers in a map of one image")
        return result
