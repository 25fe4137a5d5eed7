"""What stands at one place of a network, as far as its state dict tells.

A *unit* is the smallest part that makes sense on its own: a convolution together with its BatchNorm (as `Conv`,
`SAConv2d` or `SPConv`), or else the tensors of one module. Statistics of a BatchNorm say nothing without the kernel
that they were measured behind, so a unit is taken as a whole or not at all. Which tensors are a convolution's, its
block says when it registers: see `models.takeover`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.registry import Entry, entries
from models.takeover import Exact, FromPlain, Takeover, ToPlain


@dataclass(frozen=True)
class Unit:
    """The tensors of one unit, by their names inside it.

    Attributes:
        block: registered name of the convolution block; "module" for anything else.
        takes_over: what the block says of itself; None for anything else.
    """

    tensors: Mapping[str, Tensor]
    block: str = "module"
    takes_over: Takeover | None = None

    @property
    def to_plain(self) -> Exact[ToPlain] | None:
        """See `Takeover`; None for anything that is no convolution block."""
        return None if self.takes_over is None else self.takes_over.to_plain

    @property
    def from_plain(self) -> Exact[FromPlain] | None:
        """See `Takeover`; None for anything that is no convolution block."""
        return None if self.takes_over is None else self.takes_over.from_plain

    @property
    def kernel_shape(self) -> tuple[int, ...] | None:
        """Shape of the plain convolution's kernel that this unit is, or stands for; None where there is none."""
        if self.takes_over is None:
            return None
        try:
            return tuple(self.takes_over.kernel_shape(self.tensors))
        except KeyError:  # a state dict with a part of the block only
            return None


Rows = Mapping[int, Mapping[str, Unit]]
"""By row number, the units of the row by path."""


def split_rows(state: Mapping[str, Tensor]) -> dict[int, dict[str, Unit]]:
    """The units of every row that has tensors, from a network's state dict, whose keys are `model.{row}.…`."""
    rows: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in state.items():
        prefix, _, rest = key.partition(".")
        number, _, name = rest.partition(".")
        if prefix == "model" and number.isdecimal():
            rows[int(number)][name] = tensor
    return {number: split_units(rows[number]) for number in sorted(rows)}


def split_units(state: Mapping[str, Tensor]) -> dict[str, Unit]:
    """The units of a row (or of any module) by path, from its state dict."""
    blocks = _block_paths(state)
    tensors: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in state.items():
        path = _unit_path(key, blocks)
        tensors[path][key.removeprefix(path)] = tensor
    return {path: _unit(tensors[path], blocks.get(path)) for path in tensors}


def _unit(tensors: Mapping[str, Tensor], entry: Entry | None) -> Unit:
    return Unit(tensors) if entry is None else Unit(tensors, entry.name, entry.takes_over)


def _block_paths(state: Mapping[str, Tensor]) -> dict[str, Entry]:
    """By path, with its final dot: the convolution block at that place.

    Where the marks of several do, it is the one that owns most of the names, such as a `Conv` with a scale of its own.
    """
    paths: dict[str, tuple[int, Entry]] = {}
    for entry in entries():
        if entry.takes_over is None:
            continue
        parts = entry.takes_over.parts
        for path in _marked(state, entry.takes_over):
            owned = sum(key.startswith(path) and _first_part(key, path) in parts for key in state)
            if path not in paths or owned > paths[path][0]:
                paths[path] = owned, entry
    return {path: entry for path, (_, entry) in paths.items()}


def _marked(state: Mapping[str, Tensor], takes_over: Takeover) -> list[str]:
    """Paths at which all marks of a block stand."""
    first, *others = takes_over.marks
    paths = [key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")]
    return [path for path in paths if all(f"{path}{mark}" in state for mark in others)]


def _first_part(key: str, path: str) -> str:
    return key.removeprefix(path).partition(".")[0]


def _unit_path(key: str, blocks: Mapping[str, Entry]) -> str:
    """Path of the innermost convolution that a tensor belongs to, else of its module.

    What a module has beside the convolution that it is, is a unit for each tensor, whose path is the whole key.
    """
    parts = key.split(".")
    paths = ["".join(f"{part}." for part in parts[:length]) for length in range(len(parts))]
    for path in reversed(paths):
        entry = blocks.get(path)
        if entry is not None and entry.takes_over is not None and _first_part(key, path) in entry.takes_over.parts:
            return path
    return key if paths[-1] in blocks else paths[-1]
