"""Blocks that turn out, after training, to compute what a simpler block computes.

A block that may has a method `simpler()`: the module that it is where what it has beyond that does nothing, or None
where there is none. What must hold besides equal outputs it says in a method `departures(x)`: how far it is from it on
an input, each by its name, as SAConv2d does of its switch. Nothing outside the block's file names the block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from models.detector import Detector

OUTPUT = "output"
"""The name of the departure that every block has: that of its output."""


class Simplifiable(Protocol):
    """See the module."""

    def simpler(self) -> nn.Module | None:
        """A module with the same inputs and outputs, in evaluation mode; the block itself stays as it is."""


@dataclass
class Simplified:
    """A block that could be simpler, and what it departs by.

    Attributes:
        row: of the model.
        place: in the detector, as in a state dict: `model.2.m.0.cv2`.
        block, simpler: names of both classes.
        departures: largest one by name, over all pictures. `output` is the largest change of a value of the block's
            output, in units of the output's root mean square on that picture.
        replaced: whether the detector now has the simpler module there.
    """

    row: int
    place: str
    block: str
    simpler: str
    departures: dict[str, float] = field(default_factory=dict)
    replaced: bool = False

    def observe(self, found: Mapping[str, float]) -> None:
        """Keeps the larger of each; NaN stays."""
        for name, value in found.items():
            known = self.departures.get(name, 0.0)
            self.departures[name] = known if value <= known or math.isnan(known) else value

    def is_within(self, tolerance: float) -> bool:
        """Whether the simpler module is the same one: at least one picture was seen, and nothing departs further."""
        return bool(self.departures) and all(value <= tolerance for value in self.departures.values())


@torch.no_grad()
def simplify(detector: Detector, images: Iterable[Tensor], tolerance: float) -> list[Simplified]:
    """Replaces, in place, every block that is a simpler one on all pictures.

    Args:
        detector: in evaluation mode, not fused.
        images: `(B, C, H, W)` in [0, 1] each.
        tolerance: largest departure of a block.

    Returns:
        Every block that could be simpler, in the detector's order.
    """
    measured = list(_measured(detector, images))
    for found, simpler in measured:
        found.replaced = found.is_within(tolerance)
        if found.replaced:
            parent, _, name = found.place.rpartition(".")
            setattr(detector.get_submodule(parent), name, simpler)
    return [found for found, _ in measured]


def _measured(detector: Detector, images: Iterable[Tensor]) -> Iterator[tuple[Simplified, nn.Module]]:
    blocks = list(_blocks(detector))
    with ExitStack() as hooks:
        for found, block, simpler in blocks:
            handle = block.register_forward_hook(_observer(found, simpler))
            hooks.callback(handle.remove)
        for batch in images if blocks else ():
            detector.logits(batch)
    for found, _, simpler in blocks:
        yield found, simpler


def _blocks(detector: Detector) -> Iterator[tuple[Simplified, nn.Module, nn.Module]]:
    for place, module in detector.named_modules():
        if callable(getattr(module, "simpler", None)):
            simpler = cast(Simplifiable, module).simpler()
            if simpler is not None:
                row = int(place.split(".")[1])
                yield Simplified(row, place, type(module).__name__, type(simpler).__name__), module, simpler.eval()


def _observer(found: Simplified, simpler: nn.Module) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
    """A forward hook that compares a block's output with the simpler module's."""

    def observe(block: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        departures = getattr(block, "departures", None)
        own = departures(*inputs) if callable(departures) else {}
        found.observe({**own, OUTPUT: _change(output, simpler(*inputs))})

    return observe


def _change(expected: Tensor, actual: Tensor) -> float:
    """Largest change of a value, in root mean squares of its picture; both `(B, C, H, W)`."""
    level = expected.square().mean((1, 2, 3)).sqrt()  # (B,)
    change = (actual - expected).abs().amax((1, 2, 3))  # (B,)
    return float((change / level.clamp_min(torch.finfo(level.dtype).tiny)).max())
