"""What stands at one place of two networks, and how the weights of one become those of the other.

A *unit* is the smallest part that makes sense on its own: a convolution together with its BatchNorm (as `Conv`,
`SAConv2d` or `SPConv`), or else the tensors of one module. Statistics of a BatchNorm say nothing without the kernel
that they were measured behind, so a unit is taken as a whole or not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from models.blocks.saconv.standardise import standardise


class Kind(Enum):
    """How a unit computes."""

    CONV = "Conv"
    SACONV = "SAConv2d"
    SPCONV = "SPConv"
    OTHER = "module"


class Outcome(Enum):
    """What became of a tensor of the network that takes over."""

    TAKEN = "taken as is"
    CONVERTED = "converted"
    LEFT = "left at its initial value"


# The tensor by whose name a kind is known, and the first parts of all names that belong to it.
_MARKS = {
    Kind.SACONV: "weight_gamma",
    Kind.SPCONV: "core.gwc.weight",
    Kind.CONV: "conv.weight",
}
_PARTS = {
    Kind.SACONV: {
        *("weight", "weight_gamma", "weight_beta", "weight_diff", "bias", "bn"),
        *("switch", "pre_context", "post_context", "offset_s", "offset_l"),
    },
    Kind.SPCONV: {"core", "bn"},
    Kind.CONV: {"conv", "bn"},
}
# May be absent from the source: a counter that old files lack, and what is neutral at its initial value.
_OPTIONAL = ("num_batches_tracked", "offset_s.weight", "offset_s.bias", "offset_l.weight", "offset_l.bias")


@dataclass(frozen=True)
class Unit:
    """The tensors of one unit, by their names inside it."""

    kind: Kind
    tensors: Mapping[str, Tensor]

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Shape of the plain convolution's kernel that this unit is, or stands for; () where there is none."""
        if self.kind is Kind.CONV:
            return tuple(self.tensors["conv.weight"].shape)
        if self.kind is Kind.SACONV:
            return tuple(self.tensors["weight"].shape)
        if self.kind is Kind.SPCONV:
            c2, split = self.tensors["core.pwc.weight"].shape[:2]
            return (c2, split + self.tensors["core.conv1x1.weight"].shape[1], 3, 3)
        return ()


@dataclass(frozen=True)
class Match:
    """Whether and how a unit can be taken over: `size` counts the numbers that it brings along, 0 where it cannot."""

    outcome: Outcome
    how: str
    size: int = 0


def split_units(state: Mapping[str, Tensor]) -> dict[str, Unit]:
    """The units of a row (or of any module) by path, from its state dict."""
    kinds = _unit_paths(state)
    groups: dict[tuple[str, Kind], dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in state.items():
        path, kind = _owner(key, kinds)
        groups[path, kind][key.removeprefix(path)] = tensor
    return {path: Unit(kind, tensors) for (path, kind), tensors in groups.items()}


def _unit_paths(state: Mapping[str, Tensor]) -> dict[str, Kind]:
    """Paths, each with its final dot, of the convolutions with BatchNorm."""
    paths = {}
    for kind, mark in _MARKS.items():
        for key in state:
            path = key.removesuffix(mark)
            if path != key and (not path or path.endswith(".")) and f"{path}bn.weight" in state:
                paths[path] = kind
    return paths


def _owner(key: str, kinds: Mapping[str, Kind]) -> tuple[str, Kind]:
    parts = key.split(".")
    for length in range(len(parts) - 1, -1, -1):
        path = "".join(f"{part}." for part in parts[:length])
        kind = kinds.get(path)
        if kind is not None and parts[length] in _PARTS[kind]:
            return path, kind
    return "".join(f"{part}." for part in parts[:-1]), Kind.OTHER


def match_units(source: Unit | None, target: Unit) -> Match:
    """How `target` can take over `source`, which stands at its place."""
    if source is None:
        return Match(Outcome.LEFT, "nothing stands there in the checkpoint")
    if source.kind is target.kind:
        return _match_same_kind(source, target)
    convertible = (source.kind, target.kind) in _CONVERSIONS
    if not convertible:
        return Match(Outcome.LEFT, f"a {target.kind.value} cannot come from a {source.kind.value}")
    if source.kernel_shape != target.kernel_shape:
        return Match(Outcome.LEFT, "other shape")
    size = source.tensors["conv.weight" if source.kind is Kind.CONV else "weight"].numel()
    return Match(Outcome.CONVERTED, _CONVERSIONS[source.kind, target.kind], size)


def _match_same_kind(source: Unit, target: Unit) -> Match:
    for name, tensor in target.tensors.items():
        if name not in source.tensors:
            if name.endswith(_OPTIONAL):
                continue
            return Match(Outcome.LEFT, "the checkpoint has only a part of it")
        if source.tensors[name].shape != tensor.shape:
            return Match(Outcome.LEFT, "other shape")
    size = sum(tensor.numel() for tensor in target.tensors.values())
    if any(name.startswith("offset_") and name not in source.tensors for name in target.tensors):
        return Match(Outcome.CONVERTED, "SAConv2d, now deformable with offsets of 0: the same function", size)
    return Match(Outcome.TAKEN, "same place, same shape", size)


_CONVERSIONS = {
    (Kind.CONV, Kind.SACONV): "Conv to SAConv2d: the same function",
    (Kind.SACONV, Kind.CONV): "SAConv2d to Conv, approximate: the small branch without switch and context",
    (Kind.CONV, Kind.SPCONV): "Conv to SPConv, approximate: its kernel projected, outer BatchNorm kept",
    (Kind.SACONV, Kind.SPCONV): "SAConv2d to SPConv, approximate: its kernel projected, outer BatchNorm kept",
}


def converted(source: Unit, target: Unit) -> dict[str, Tensor]:
    """The entries, by name inside the unit, with which `target` takes over `source`, where `match_units` allows it.

    A `Conv`'s entries go to an SAConv2d as they are: it knows how to load them.
    """
    if source.kind is target.kind:
        return {name: source.tensors[name] for name in target.tensors if name in source.tensors}
    entries = {name: tensor for name, tensor in source.tensors.items() if name.startswith("bn.")}
    kernel = _plain_kernel(source)
    if target.kind is Kind.SPCONV:
        return entries | split_kernel(kernel, target.tensors["core.pwc.weight"].shape[1])
    return entries | {"conv.weight": kernel}


def _plain_kernel(unit: Unit) -> Tensor:
    if unit.kind is Kind.CONV:
        return unit.tensors["conv.weight"]
    return standardise(unit.tensors["weight"], unit.tensors["weight_gamma"], unit.tensors["weight_beta"])


def split_kernel(kernel: Tensor, split: int) -> dict[str, Tensor]:
    """A plain 3x3 kernel `(C2, C1, 3, 3)` projected onto SPConv's kernels; exact where the input is locally constant.

    What has a 3x3 kernel in SPConv keeps its own: the first half of the output channels from the first half of the
    `split` representative channels, the second from the second. Everything else has a 1x1 kernel there and gets the
    sum over the 3x3. SPConv averages its two results where `Conv` adds them: both are doubled for that.
    """
    c2 = kernel.shape[0]
    representative, uncertain = kernel[:, :split], kernel[:, split:]
    pointwise = representative.sum((2, 3), keepdim=True)
    grouped = torch.empty_like(representative[:, : split // 2])
    for rows, columns in (
        (slice(0, c2 // 2), slice(0, split // 2)),
        (slice(c2 // 2, c2), slice(split // 2, split)),
    ):
        grouped[rows] = representative[rows, columns]
        pointwise[rows, columns] = 0
    return {
        "core.gwc.weight": 2 * grouped,
        "core.pwc.weight": 2 * pointwise,
        "core.conv1x1.weight": 2 * uncertain.sum((2, 3), keepdim=True),
        "core.conv1x1.bias": kernel.new_zeros(c2),
    }
