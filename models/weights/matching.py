"""Which row of one network stands for which row of another one that is built a little differently."""

from __future__ import annotations

from collections.abc import Mapping

from models.weights.conversion import match_units
from models.weights.units import Unit

Rows = Mapping[int, Mapping[str, Unit]]
"""By row number, the units of the row by path."""


def align_rows(
    source: Rows,
    target: Rows,
    source_strides: Mapping[int, int] | None = None,
    target_strides: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Rows of the source by row of the target: in order, and bringing along as many numbers as possible.

    Where there is a choice, rows keep their index. It is the alignment of Needleman and Wunsch (1970), gaps free.

    Args:
        source, target: the rows that have tensors.
        source_strides, target_strides: stride of each row's output, where known. Rows at different strides see things
            at different sizes, and are not matched even if their shapes agree.
    """
    source_strides, target_strides = source_strides or {}, target_strides or {}
    sources, targets = list(source), list(target)
    # best[i][j]: (numbers, rows at their own index) of the first i source rows and j target rows, and the last step
    best = [[((0, 0), "") for _ in range(len(targets) + 1)] for _ in range(len(sources) + 1)]
    for i, source_row in enumerate(sources, 1):
        for j, target_row in enumerate(targets, 1):
            choices = [(best[i - 1][j][0], "skip source"), (best[i][j - 1][0], "skip target")]
            strides = source_strides.get(source_row), target_strides.get(target_row)
            size = _common_size(source[source_row], target[target_row])
            # Less than half of the smaller row is a coincidence of shapes, unless the rows have the same name.
            enough = 1 if source_row == target_row else min(_size(source[source_row]), _size(target[target_row])) / 2
            if size >= enough and (None in strides or strides[0] == strides[1]):
                numbers, kept = best[i - 1][j - 1][0]
                choices.append(((numbers + size, kept + (source_row == target_row)), "match"))
            best[i][j] = max(choices, key=lambda choice: choice[0])
    pairs = {}
    i, j = len(sources), len(targets)
    while i and j:
        step = best[i][j][1]
        if step == "match":
            pairs[targets[j - 1]] = sources[i - 1]
        i, j = i - (step != "skip target"), j - (step != "skip source")
    return pairs


def _common_size(source: Mapping[str, Unit], target: Mapping[str, Unit]) -> int:
    return sum(match_units(source.get(path), unit).size for path, unit in target.items())


def _size(units: Mapping[str, Unit]) -> int:
    return sum(tensor.numel() for unit in units.values() for tensor in unit.tensors.values())
