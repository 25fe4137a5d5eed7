"""Taking over the rows of a head's kernels class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

SAME = "same place, same shape"
"""Why a tensor is taken as it is."""


@dataclass(frozen=True)
class HeadTakeover:
    """What a head takes from the head of a checkpoint.

    Attributes:
        reasons: for each tensor of the head's state dict how it is taken, or why it is not.
        entries: the tensors to load, by their names in the head; the others keep their initial values.
        converted: names of those entries that differ from the checkpoint's tensors.
        knows_classes: whether classes are among the entries, so that the head is no longer a new one.
    """

    reasons: Mapping[str, str]
    entries: Mapping[str, Tensor] = field(default_factory=dict)
    converted: frozenset[str] = frozenset()
    knows_classes: bool = False


def shared_classes(given: Sequence[str] | None, count: int, names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of class indices, in the checkpoint and here. Names are compared without regard to case.

    Args:
        given: class names of the checkpoint; without names it has the classes of this detector, if it has as many.
        count: number of classes of the checkpoint.
        names: class names of this detector.

    Returns:
        At most one pair for each of `names`, in their order.
    """
    if given is None or len(given) != count:
        return [(index, index) for index in range(count)] if count == len(names) else []
    index_of = {name.strip().casefold(): index for index, name in reversed(list(enumerate(given)))}
    found = [(index_of.get(name.strip().casefold()), index) for index, name in enumerate(names)]
    return [(source, index) for source, index in found if source is not None]


def join_classes(own: Tensor, given: Tensor, groups: int, common: int, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """A kernel or bias with the given rows where both know what they stand for, and its own rows elsewhere.

    Args:
        own: `(groups * (common + classes), ...)`, and `given` likewise with other classes.
        groups: how often the rows repeat (once per anchor).
        common: rows of a group that belong to no class (box, objectness); they come first.
        pairs: class indices in `given` and in `own`.

    Returns:
        A new tensor of `own`'s shape and type, on the CPU.
    """
    joined = own.detach().cpu().unflatten(0, (groups, -1)).clone()  # (groups, common + classes, ...)
    rows = given.to(joined.dtype).unflatten(0, (groups, -1))  # (groups, common + given classes, ...)
    source = [*range(common), *(common + pair[0] for pair in pairs)]
    target = [*range(common), *(common + pair[1] for pair in pairs)]
    joined[:, target] = rows[:, source]
    return joined.flatten(0, 1)
