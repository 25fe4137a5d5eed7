"""Starting a detector from the weights of another one that is built a little differently.

Rows are matched first: in order, at the same stride, and such that as many numbers as possible find a place, so that
rows inserted into the YAML or removed from it shift nothing. Inside a row, units (see `models.weights.units`) are
matched by path. The detection head says itself which of its rows belong to which class.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from models.detector import Detector
from models.heads.takeover import HeadTakeover
from models.weights.conversion import Match, converted, match_units, take_unit
from models.weights.matching import match_rows
from models.weights.report import Outcome, Transfer, TransferReport
from models.weights.source import SourceWeights
from models.weights.units import Rows, Unit, split_rows, split_units

_NO_ROW = Match(Outcome.LEFT, "no row of the checkpoint has these shapes at this stride")


def transfer_weights(model: Detector, source: SourceWeights) -> TransferReport:
    """Takes over into `model` whatever of `source` has a place there; the rest of the model stays as it is.

    `model.classes` must be set: the head's rows of classes that both know are kept.
    """
    own, given = split_rows(model.state_dict()), split_rows(source.state)
    own_head, given_head = len(model.model) - 1, max(given, default=-1)
    own.pop(own_head, None)
    head_units = given.pop(given_head, {})

    state, transfers, used = _take_rows(own, given, match_rows(model, own, source, given))
    head_state, head_transfers, head_taken = _transfer_head(model, source, given_head, head_units)
    if any(transfer.outcome is not Outcome.LEFT for transfer in head_transfers):
        used.update(key for key in source.state if key.startswith(f"model.{given_head}."))
    # Keys are partial: what found nothing keeps its value.
    model.load_state_dict({**state, **head_state}, strict=False)
    unused = tuple(key for key in source.state if key not in used)
    return TransferReport((*transfers, *head_transfers), unused, head_taken)


def _take_rows(
    own: Rows, given: Rows, partners: Mapping[int, int]
) -> tuple[dict[str, Tensor], list[Transfer], set[str]]:
    """Entries for the rows before the head, what became of these rows, and the keys of the checkpoint that are used."""
    state: dict[str, Tensor] = {}
    transfers: list[Transfer] = []
    used: set[str] = set()
    for row, units in own.items():
        partner = partners.get(row)
        for path, unit in units.items():
            there = None if partner is None else given[partner].get(path)
            match, entries = (_NO_ROW, {}) if partner is None else take_unit(there, unit)
            state.update({f"model.{row}.{path}{name}": value for name, value in entries.items()})
            if there is not None and entries:
                used.update(f"model.{partner}.{path}{name}" for name in there.tensors)
            transfers.append(_transfer(row, path, unit, match))
    return state, transfers, used


def _transfer(row: int, path: str, unit: Unit, match: Match) -> Transfer:
    keys = tuple(f"model.{row}.{path}{name}" for name in unit.tensors)
    numbers = sum(tensor.numel() for tensor in unit.tensors.values())
    return Transfer(row, match.outcome, match.how, keys, numbers, match.from_plain)


def _transfer_head(
    model: Detector, source: SourceWeights, source_row: int, source_units: Mapping[str, Unit]
) -> tuple[dict[str, Tensor], list[Transfer], bool]:
    """The entries for the head's state, what they are, and whether classes are among them."""
    row = len(model.model) - 1
    given = {f"{path}{name}": tensor for path, unit in source_units.items() for name, tensor in unit.tensors.items()}
    own = model.head.state_dict()
    given_names = None if source.classes is None else source.classes.names
    taken = model.head.take_over(given, given_names, model.names)
    if taken is None:
        state: dict[str, Tensor] = {}
        transfers = []
        for path, unit in split_units(own).items():
            match = match_units(source_units.get(path), unit)
            transfers.append(_transfer(row, path, unit, match))
            if match.outcome is not Outcome.LEFT:
                state.update({f"{path}{name}": value for name, value in converted(source_units[path], unit).items()})
        return {f"model.{row}.{key}": tensor for key, tensor in state.items()}, transfers, bool(state)
    transfers = [
        Transfer(row, _outcome(taken, key), taken.reasons[key], (f"model.{row}.{key}",), tensor.numel())
        for key, tensor in own.items()
    ]
    return {f"model.{row}.{key}": tensor for key, tensor in taken.entries.items()}, transfers, taken.knows_classes


def _outcome(taken: HeadTakeover, key: str) -> Outcome:
    if key not in taken.entries:
        return Outcome.LEFT
    return Outcome.CONVERTED if key in taken.converted else Outcome.TAKEN
