"""Starting a detector from the weights of another one that is built a little differently.

Rows are matched first: in order, at the same stride, and such that as many numbers as possible find a place, so that
rows inserted into the YAML or removed from it shift nothing. Inside a row, units (see `models.weights.units`) are
matched by path. The detection head says itself which of its rows belong to which class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from models.detector import Detector
from models.heads.takeover import HeadTakeover
from models.weights.activations import other_activations
from models.weights.checks import integers_for_floats
from models.weights.conversion import WHOLE_NUMBERS, Match, take_unit
from models.weights.matching import match_rows
from models.weights.report import Outcome, Transfer, TransferReport
from models.weights.source import SourceWeights
from models.weights.units import Rows, Unit, split_rows

_NO_ROW = Match(Outcome.LEFT, "no row of the checkpoint has these shapes at this stride")


@dataclass
class _Taken:
    """What is taken from a checkpoint, while it is collected.

    Attributes:
        state: entries for the detector's state dict.
        transfers: what became of the detector's tensors.
        used: keys of the checkpoint that found a place.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


def transfer_weights(model: Detector, source: SourceWeights) -> TransferReport:
    """Takes over into `model` whatever of `source` has a place there; the rest of the model stays as it is.

    `model.classes` must be set: the head's rows of classes that both know are kept.
    """
    own, given = split_rows(model.state_dict()), split_rows(source.state)
    own_head, given_head = len(model.model) - 1, max(given, default=-1)
    head, given_units = own.pop(own_head, {}), given.pop(given_head, {})

    taken = _Taken()
    partners = match_rows(model, own, source, given)
    _take_rows(taken, own, given, partners)
    rows_by_class = _rows_by_class(model, source, given_units)
    if rows_by_class is None:
        entries = len(taken.state)
        _take_rows(taken, {own_head: head}, {given_head: given_units}, {own_head: given_head})
        head_taken = len(taken.state) > entries
    else:
        _take_head(taken, model, rows_by_class)
        if rows_by_class.entries:
            taken.used.update(key for key in source.state if key.startswith(f"model.{given_head}."))
        head_taken = rows_by_class.knows_classes
    # Keys are partial: what found nothing keeps its value.
    model.load_state_dict(taken.state, strict=False)
    unused = tuple(key for key in source.state if key not in taken.used)
    notes = other_activations(model, source, {**partners, own_head: given_head})
    return TransferReport(tuple(taken.transfers), unused, head_taken, notes)


def _take_rows(taken: _Taken, own: Rows, given: Rows, partners: Mapping[int, int]) -> None:
    """Unit by unit, where a row of the detector has a partner in the checkpoint."""
    for row, units in own.items():
        partner = partners.get(row)
        for path, unit in units.items():
            there = None if partner is None else given[partner].get(path)
            match, entries = (_NO_ROW, {}) if partner is None else take_unit(there, unit)
            taken.state.update({f"model.{row}.{path}{name}": value for name, value in entries.items()})
            if there is not None and entries:
                taken.used.update(f"model.{partner}.{path}{name}" for name in there.tensors)
            keys = tuple(f"model.{row}.{path}{name}" for name in unit.tensors)
            numbers = sum(tensor.numel() for tensor in unit.tensors.values())
            taken.transfers.append(Transfer(row, match.outcome, match.how, keys, numbers))


def _rows_by_class(model: Detector, source: SourceWeights, units: Mapping[str, Unit]) -> HeadTakeover | None:
    """What the head takes of the checkpoint's, if its rows belong to classes."""
    given = {f"{path}{name}": tensor for path, unit in units.items() for name, tensor in unit.tensors.items()}
    own = model.head.state_dict()
    if any(integers_for_floats(given, own)):
        return HeadTakeover(dict.fromkeys(own, WHOLE_NUMBERS))
    names = None if source.classes is None else source.classes.names
    return model.head.take_over(given, names, model.names)


def _take_head(taken: _Taken, model: Detector, rows: HeadTakeover) -> None:
    prefix = f"model.{len(model.model) - 1}."
    taken.state.update({f"{prefix}{key}": tensor for key, tensor in rows.entries.items()})
    for key, tensor in model.head.state_dict().items():
        outcome = Outcome.CONVERTED if key in rows.converted else Outcome.TAKEN
        if key not in rows.entries:
            outcome = Outcome.LEFT
        taken.transfers.append(
            Transfer(len(model.model) - 1, outcome, rows.reasons[key], (f"{prefix}{key}",), tensor.numel())
        )
