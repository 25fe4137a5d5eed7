"""How the weights of one unit become those of another one, by what their blocks say of themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.takeover import Approximate
from models.weights.checks import integers_for_floats
from models.weights.report import Outcome
from models.weights.units import Unit

# May be absent from any source: a counter that old files lack.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Match:
    """Whether and how a unit can be taken over.

    Attributes:
        size: how many numbers it brings along, 0 where it cannot be taken over.
    """

    outcome: Outcome
    how: str
    size: int = 0


_PARTIAL = Match(Outcome.LEFT, "the checkpoint has only a part of it")
_OTHER_SHAPE = Match(Outcome.LEFT, "other shape")
WHOLE_NUMBERS = "whole numbers, whose scale is not known"
"""Why integers do not become floating-point numbers."""

_WHOLE_NUMBERS = Match(Outcome.LEFT, WHOLE_NUMBERS)


def match_units(source: Unit | None, target: Unit) -> Match:
    """How `target` can take over `source`, which stands at its place."""
    if source is None:
        return Match(Outcome.LEFT, "the checkpoint has nothing at this place")
    if source.block == target.block:
        return _match_same_block(source, target)
    how = _conversion(source, target)
    if how is None:
        return Match(Outcome.LEFT, f"a {target.block} cannot come from a {source.block}")
    shape = source.kernel_shape
    if shape is None:
        return _PARTIAL
    if not all(name.endswith(_COUNTER) or tensor.is_floating_point() for name, tensor in source.tensors.items()):
        return _WHOLE_NUMBERS
    if shape != target.kernel_shape:
        return _OTHER_SHAPE
    return Match(Outcome.CONVERTED, how, math.prod(shape))


def _match_same_block(source: Unit, target: Unit) -> Match:
    additions = {} if target.takes_over is None else target.takes_over.additions
    added = ""
    for name, tensor in target.tensors.items():
        if name not in source.tensors:
            part = name.partition(".")[0]
            if part not in additions and not name.endswith(_COUNTER):
                return _PARTIAL
            added = added or additions.get(part, "")
        elif source.tensors[name].shape != tensor.shape:
            return _OTHER_SHAPE
    if any(integers_for_floats(source.tensors, target.tensors)):
        return _WHOLE_NUMBERS
    size = sum(tensor.numel() for tensor in target.tensors.values())
    if added:
        return Match(Outcome.CONVERTED, f"{target.block}, {added}: the same function", size)
    return Match(Outcome.TAKEN, "same place, same shape", size)


def _conversion(source: Unit, target: Unit) -> str | None:
    """What the way over a plain convolution does, for people; None where there is none."""
    if source.to_plain is None or target.from_plain is None:
        return None
    for step in (target.from_plain, source.to_plain):
        if isinstance(step, Approximate):
            return f"{source.block} to {target.block}, approximate: {step.how}"
    return f"{source.block} to {target.block}: the same function"


def converted(source: Unit, target: Unit) -> Mapping[str, Tensor]:
    """The entries, by name inside the unit, with which `target` takes over `source`, where `match_units` allows it.

    Raises:
        KeyError: the checkpoint has only a part of the unit.
    """
    if source.block == target.block or source.to_plain is None or target.from_plain is None:
        return {name: source.tensors[name] for name in target.tensors if name in source.tensors}
    return target.from_plain.convert(source.to_plain.convert(source.tensors), target.tensors)


def take_unit(source: Unit | None, target: Unit) -> tuple[Match, Mapping[str, Tensor]]:
    """What becomes of `target`, and its new entries by name inside the unit; none where it stays as it is."""
    match = match_units(source, target)
    if source is None or match.outcome is Outcome.LEFT:
        return match, {}
    try:
        return match, converted(source, target)
    except KeyError:
        return _PARTIAL, {}
