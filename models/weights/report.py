"""What became of every tensor of a network that takes weights over."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import Enum

from tabulate import tabulate


class Outcome(Enum):
    """What became of a tensor of the network that takes over."""

    TAKEN = "taken as is"
    CONVERTED = "converted"
    LEFT = "left at its initial value"


@dataclass(frozen=True)
class Transfer:
    """What became of a few tensors of the detector.

    Attributes:
        row: number of the row that they are in.
        outcome, how: what became of them, and for people how, or why not.
        keys: their names in the detector's state dict.
        numbers: how many numbers they are.
    """

    row: int
    outcome: Outcome
    how: str
    keys: tuple[str, ...]
    numbers: int


@dataclass(frozen=True)
class TransferReport:
    """What a detector took over from a checkpoint: every tensor of its state dict is in exactly one transfer.

    Attributes:
        transfers: by place in the network.
        unused: keys of the checkpoint that found no place.
        head_taken: whether the detection head knows classes of the checkpoint, and so must keep its anchors.
        notes: why the network computes something else although weights were taken, a sentence each.
    """

    transfers: tuple[Transfer, ...]
    unused: tuple[str, ...]
    head_taken: bool
    notes: tuple[str, ...] = ()

    def keys(self, outcome: Outcome) -> list[str]:
        """State-dict keys of the detector with that outcome."""
        return [key for transfer in self.transfers if transfer.outcome is outcome for key in transfer.keys]

    def table(self) -> str:
        """Counts by outcome and reason, and the notes, as text."""
        groups: dict[tuple[Outcome, str], list[Transfer]] = defaultdict(list)
        for transfer in self.transfers:
            groups[transfer.outcome, transfer.how].append(transfer)
        order = list(Outcome)
        lines = [
            [
                outcome.value,
                how,
                _ranges({transfer.row for transfer in group}),
                sum(len(transfer.keys) for transfer in group),
                sum(transfer.numbers for transfer in group),
            ]
            for (outcome, how), group in sorted(groups.items(), key=lambda item: order.index(item[0][0]))
        ]
        if self.unused:
            lines.append(["not used", "no place for it in this network", "", len(self.unused), ""])
        table = tabulate(lines, ["weights", "how, or why", "rows", "tensors", "numbers"])
        return "\n".join((table, *self.notes))


def _ranges(numbers: set[int]) -> str:
    """`{0, 1, 2, 5}` as `0-2, 5`."""
    texts: list[str] = []
    start = None
    for number in sorted(numbers):
        if start is None or number - 1 not in numbers:
            start = number
        if number + 1 not in numbers:
            texts.append(str(number) if number == start else f"{start}-{number}")
    return ", ".join(texts)
