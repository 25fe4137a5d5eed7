"""Which row of one network stands for which row of another one that is built a little differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from models.config.reader import load_config
from models.detector import Detector
from models.errors import ConfigError
from models.parser import Row, build_rows
from models.probe import PROBE_SIZE, trace_rows
from models.weights.conversion import match_units
from models.weights.source import SourceWeights
from models.weights.units import Rows, Unit

Strides = Mapping[int, int]
"""By row number, input pixels per cell of the row's output, where it is known."""

Score = tuple[int, int]
"""How good an alignment is: numbers that it brings along, and then rows that keep their index."""


def match_rows(model: Detector, own: Rows, source: SourceWeights, given: Rows) -> dict[int, int]:
    """Rows of a checkpoint by row of the detector; see `align_rows`.

    Args:
        own, given: the rows of the detector and of the checkpoint that have tensors, without the heads.
    """
    strides = _row_strides(model.rows, list(model.model), model.in_channels)
    return align_rows(given, own, _source_strides(source, model.yaml, strides), strides)


def _source_strides(source: SourceWeights, yaml: Mapping[str, Any], strides: Strides) -> Strides:
    """Stride of each row of the checkpoint's network; empty where it cannot be built here.

    Args:
        yaml, strides: of the detector. The same rows for other classes have the same strides, and are not built again.
    """
    if source.yaml is None:
        return {}
    try:
        config = load_config(source.yaml)
        if {**config.plain(), "nc": 0} == {**yaml, "nc": 0}:
            return strides
        with torch.random.fork_rng(devices=[]):
            rows, modules = build_rows(config)
        return _row_strides(rows, modules, config.ch)
    except ConfigError:
        return {}


def _row_strides(rows: Sequence[Row], modules: Sequence[nn.Module], channels: int) -> dict[int, int]:
    """Input pixels per cell of the output of every row but the head, rounded; none for outputs that are no maps."""
    traces = trace_rows(rows, modules, (1, channels, PROBE_SIZE, PROBE_SIZE), limited=True)
    shapes = {row.index: trace.shapes[0] for row, trace in zip(rows[:-1], traces, strict=False)}
    return {index: round(PROBE_SIZE / shape[2]) for index, shape in shapes.items() if len(shape) == 4}


def align_rows(
    source: Rows, target: Rows, source_strides: Strides | None = None, target_strides: Strides | None = None
) -> dict[int, int]:
    """Rows of the source by row of the target: in order, and bringing along as many numbers as possible.

    Where there is a choice, rows keep their index. It is the alignment of Needleman and Wunsch (1970), gaps free.

    Args:
        source, target: the rows that have tensors.
        source_strides, target_strides: rows at different strides see things at different sizes, and are not matched
            even if their shapes agree.
    """
    source_strides, target_strides = source_strides or {}, target_strides or {}
    gains = [
        [
            _gain(i, j, source[i], target[j]) if _may_meet(source_strides.get(i), target_strides.get(j)) else None
            for j in target
        ]
        for i in source
    ]  # (source rows, target rows)
    matches = _best_path(gains)
    sources, targets = list(source), list(target)
    return {targets[j]: sources[i] for i, j in matches}


def _may_meet(source_stride: int | None, target_stride: int | None) -> bool:
    return None in (source_stride, target_stride) or source_stride == target_stride


def _gain(source_row: int, target_row: int, source: Mapping[str, Unit], target: Mapping[str, Unit]) -> Score | None:
    """What a match of two rows adds to the score; None where it would be a coincidence of shapes.

    Rows with the same index need a single number in common, others half of the smaller row.
    """
    common = _common_size(source, target)
    same = source_row == target_row
    enough = 1 if same else min(_size(source), _size(target)) / 2
    return (common, int(same)) if common >= enough else None


def _best_path(gains: Sequence[Sequence[Score | None]]) -> list[tuple[int, int]]:
    """The pairs `(i, j)`, both rising, whose gains have the largest sum.

    Args:
        gains: `(I, J)` what matching i with j adds; None forbids it.
    """
    width = len(gains[0]) if gains else 0
    # (I + 1, J + 1): score of the first i and j rows, and the step that leads there
    table: list[list[tuple[Score, str]]] = [[((0, 0), "")] * (width + 1)]
    for row in gains:
        above, here = table[-1], [((0, 0), "")]
        for j, gain in enumerate(row):
            choices = [(above[j + 1][0], "skip source"), (here[j][0], "skip target")]
            if gain is not None:
                numbers, kept = above[j][0]
                choices.append(((numbers + gain[0], kept + gain[1]), "match"))
            here.append(max(choices, key=lambda choice: choice[0]))  # of equal ones the first
        table.append(here)
    return _walk_back(table)


def _walk_back(table: Sequence[Sequence[tuple[Score, str]]]) -> list[tuple[int, int]]:
    """The matches on the way from the table's last corner to its first."""
    i, j = len(table) - 1, len(table[0]) - 1
    matches = []
    while i and j:
        step = table[i][j][1]
        if step == "match":
            matches.append((i - 1, j - 1))
        i, j = i - (step != "skip target"), j - (step != "skip source")
    return matches


def _common_size(source: Mapping[str, Unit], target: Mapping[str, Unit]) -> int:
    return sum(match_units(source.get(path), unit).size for path, unit in target.items())


def _size(units: Mapping[str, Unit]) -> int:
    return sum(tensor.numel() for unit in units.values() for tensor in unit.tensors.values())
