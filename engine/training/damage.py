"""What may be wrong with the training that a `last.pt` holds: every entry is looked at before anything is done with it.

All functions raise `DamageError`, whose text begins with the entry, such as `training.progress.epoch: ...`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from files.errors import InputError
from files.problems import first_problem
from files.words import short
from models.weights.checks import check_kinds, check_numbers, integers_for_floats

_CUDA_STATE_BYTES = 16
_SETTINGS = {"is_bias", "rate_factor", "weight_decay", "dampening", "nesterov", "betas", "eps"}
_MOMENTS = {
    "SGD": ("momentum_buffer",),
    "Adam": ("step", "exp_avg", "exp_avg_sq"),
    "AdamW": ("step", "exp_avg", "exp_avg_sq"),
}


class DamageError(InputError):
    """An entry is missing, or is not what a training writes."""


class Facts(BaseModel):
    """Plain values, no other ones, of the very type; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ProgressFacts(Facts):
    """See `engine.training.state.Progress`."""

    epoch: int = Field(ge=1)
    best_fitness: float = Field(ge=-1, le=1)
    best_epoch: int = Field(ge=0)
    finished: bool
    extended_at: int = Field(default=0, ge=0)


class ScheduleFacts(Facts):
    """See `engine.training.schedule.Schedule`."""

    epochs: int = Field(ge=1)
    batches: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    cosine: bool


class ScalerFacts(Facts):
    """The state of torch's GradScaler."""

    scale: float = Field(gt=0)
    growth_factor: float = Field(gt=1)
    backoff_factor: float = Field(gt=0, lt=1)
    growth_interval: int = Field(ge=1)
    growth_tracker: int = Field(ge=0, alias="_growth_tracker")


class SplitFacts(Facts):
    """See `engine.training.same_data`."""

    images: int = Field(ge=0)
    boxes: int = Field(ge=0)
    pictures: str
    annotations: str


class DataFacts(Facts):
    """See `engine.training.same_data`."""

    train: SplitFacts
    val: SplitFacts


def entry_of(content: Mapping[str, Any], key: str, entry: str) -> Any:
    """The value of a key that must be there; `entry` is its name in messages."""
    if key not in content:
        raise DamageError(f"{entry}: is missing")
    return content[key]


def mapping_of(value: Any, entry: str) -> Mapping[str, Any]:
    """The value, which must be a map with texts as keys."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise DamageError(f"{entry}: {short(value)} is not a map of entries")
    return value


def check_facts(facts: type[Facts], value: Any, entry: str) -> None:
    """Compares a map with the plain values that it must hold."""
    try:
        facts.model_validate(mapping_of(value, entry))
    except ValidationError as error:
        problem = first_problem(error)
        raise DamageError(f"{entry}.{problem.sentence()}") from None


def check_count(value: Any, entry: str) -> None:
    """A number of things."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise DamageError(f"{entry}: {short(value)} is not a whole number of at least 0")


def check_names(names: Any, ids: Any) -> None:
    """Class names and the ids that belong to them."""
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DamageError(f"names: {short(names)} is not a list of names")
    numbers = isinstance(ids, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in ids)
    if not numbers or len(ids) != len(names):
        raise DamageError(f"category_ids: {short(ids)} is not a list of {len(names)} numbers")


def check_weights(state: Any, entry: str) -> None:
    """A state dict: tensors by name, finite."""
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise DamageError(f"{entry}: is not a map of tensors")
    try:
        check_kinds(state)
        check_numbers(state)
    except InputError as error:
        raise DamageError(f"{entry}: {error}") from None


def check_fit(state: Mapping[str, Tensor], own: Mapping[str, Tensor], entry: str) -> None:
    """A state dict against that of the network that it is for."""
    for name in sorted(own.keys() ^ state.keys()):
        raise DamageError(f"{entry}: {name}: is {'missing' if name in own else 'not of its network'}")
    for name, tensor in own.items():
        if state[name].shape != tensor.shape:
            raise DamageError(f"{entry}: {name}: has the shape {[*state[name].shape]}, not {[*tensor.shape]}")
    for name in integers_for_floats(state, own):
        raise DamageError(f"{entry}: {name}: holds whole numbers")


def check_random(states: Any) -> None:
    """The states of the generators: each is tried on a generator of its own."""
    entry = "training.random"
    states = mapping_of(states, entry)
    for name, take in (("python", _take_python), ("numpy", _take_numpy), ("torch", _take_torch)):
        state = entry_of(states, name, f"{entry}.{name}")
        with _told(f"{entry}.{name}: is no state of that generator"):
            take(state)
    cuda = states.get("cuda")
    if cuda is not None and not (_is_bytes(cuda) and cuda.numel() == _CUDA_STATE_BYTES):
        raise DamageError(f"{entry}.cuda: is no state of that generator")


@contextmanager
def _told(text: str) -> Iterator[None]:
    """What a generator raises becomes a DamageError with this text."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError):
        raise DamageError(text) from None


def _take_python(state: Any) -> None:
    random.Random().setstate(state)


def _take_numpy(state: Any) -> None:
    name, keys, *rest = state
    values = keys.numpy()
    if values.min() < 0 or values.max() >= 2**32:
        raise ValueError("no 32-bit numbers")
    np.random.RandomState().set_state((name, values.astype(np.uint32), *rest))


def _take_torch(state: Any) -> None:
    torch.Generator().set_state(state)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.uint8 and value.ndim == 1


def check_optimizer(saved: Any, own: torch.optim.Optimizer, names: Sequence[Sequence[str]]) -> None:
    """The state of an optimiser against one that was built for the same groups.

    Args:
        names: of the parameters, by group.
    """
    entry = "training.optimizer"
    groups = entry_of(mapping_of(saved, entry), "param_groups", f"{entry}.param_groups")
    if not isinstance(groups, list) or len(groups) != len(own.param_groups):
        raise DamageError(f"{entry}.param_groups: is not a list of {len(own.param_groups)} groups")
    for number, (group, built) in enumerate(zip(groups, own.param_groups, strict=True)):
        _check_group(group, built, f"{entry}.param_groups[{number}]")
    numbers = [number for group in groups for number in group["params"]]
    if len({*numbers}) != len(numbers):
        raise DamageError(f"{entry}.param_groups: a parameter stands in two groups")
    parameters = [parameter for group in own.param_groups for parameter in group["params"]]
    flat = [name for group in names for name in group]
    known = {number: (name, value) for number, name, value in zip(numbers, flat, parameters, strict=True)}
    state = entry_of(saved, "state", f"{entry}.state")
    if not isinstance(state, Mapping) or not state.keys() <= known.keys():
        raise DamageError(f"{entry}.state: is not a map of the parameters' states")
    if type(own) is torch.optim.SGD and not any(group["momentum"] for group in groups):
        return  # without momentum, it remembers nothing
    if not state:
        raise DamageError(f"{entry}.state: is empty")
    for number, moments in state.items():
        name, parameter = known[number]
        _check_moments(moments, parameter, _MOMENTS[type(own).__name__], f"{entry}.state of {name}")


def _check_group(group: Any, built: Mapping[str, Any], entry: str) -> None:
    group = mapping_of(group, entry)
    for key in {"params", "lr"} | ((_SETTINGS | {"momentum"}) & built.keys()):
        entry_of(group, key, f"{entry}.{key}")
    numbers = group["params"]
    if not isinstance(numbers, list) or len(numbers) != len(built["params"]):
        raise DamageError(f"{entry}.params: is not a list of {len(built['params'])} parameters")
    for number in numbers:
        check_count(number, f"{entry}.params")
    for key, value in group.items():
        if key in built and key != "params" and not _is_like(value, built[key]):
            raise DamageError(f"{entry}.{key}: {short(value)} is not a value of that setting")
    for key in _SETTINGS & built.keys():  # the rate and the momentum follow the schedule
        if _plain(group[key]) != _plain(built[key]):
            raise DamageError(f"{entry}.{key}: {short(group[key])} is not {built[key]}, as training.hyp and groups say")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_like(value: Any, own: Any) -> bool:
    """Whether a setting of an optimiser is of the kind of the own one: numbers are finite and not negative."""
    if isinstance(own, tuple):
        return isinstance(value, tuple | list) and len(value) == len(own) and all(map(_is_like, value, own))
    if isinstance(own, bool) or own is None:
        return value is None or isinstance(value, bool)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def _check_moments(moments: Any, parameter: Tensor, wanted: Iterable[str], entry: str) -> None:
    moments = mapping_of(moments, entry)
    for key in wanted:
        value = entry_of(moments, key, f"{entry}.{key}")
        if key == "momentum_buffer" and value is None:  # of a parameter that has made no step yet
            continue
        shape = () if key == "step" else parameter.shape
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.shape != shape:
            raise DamageError(f"{entry}.{key}: is not a tensor of numbers of the shape {[*shape]}")
        if not torch.isfinite(value).all():
            raise DamageError(f"{entry}.{key}: has numbers that are NaN or infinite")
        if key in ("step", "exp_avg_sq") and bool((value < 0).any()):
            raise DamageError(f"{entry}.{key}: has negative numbers")
