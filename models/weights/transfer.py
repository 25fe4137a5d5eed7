"""Starting a detector from the weights of another one that is built a little differently.

Rows are matched first: in order, at the same stride, and such that as many numbers as possible find a place, so that
rows inserted into the YAML or removed from it shift nothing. Inside a row, units (see `models.weights.units`) are
matched by path. The detection head is matched by class names.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.detector import Detector
from models.heads.detect import Detect
from models.weights.conversion import Match, converted, match_units, take_unit
from models.weights.matching import match_rows
from models.weights.report import Outcome, Transfer, TransferReport
from models.weights.source import SourceWeights
from models.weights.units import Rows, Unit, split_rows, split_units

_SAME = (Outcome.TAKEN, "same place, same shape")
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
    state: dict[str, Tensor] = {}
    if not isinstance(model.head, Detect):
        transfers = []
        for path, unit in split_units(own).items():
            match = match_units(source_units.get(path), unit)
            transfers.append(_transfer(row, path, unit, match))
            if match.outcome is not Outcome.LEFT:
                state.update({f"{path}{name}": value for name, value in converted(source_units[path], unit).items()})
        classes_taken = bool(state)
    else:
        given_names = None if source.classes is None else list(source.classes.names)
        state, outcomes, classes_taken = _detect_rows(model.head, model.names, given, given_names)
        transfers = [
            Transfer(row, outcome, how, (f"model.{row}.{key}",), own[key].numel())
            for key, (outcome, how) in outcomes.items()
        ]
    return {f"model.{row}.{key}": tensor for key, tensor in state.items()}, transfers, classes_taken


def _detect_rows(
    head: Detect, names: list[str], given: Mapping[str, Tensor], given_names: list[str] | None
) -> tuple[dict[str, Tensor], dict[str, tuple[Outcome, str]], bool]:
    """Entries for a `Detect` head from the tensors `given` of another one, an outcome for each of its tensors, and
    whether there are classes among the entries.

    Without a class in common, the box and objectness rows are still a better start than random ones: what they say
    of a cell is relative to its anchor.
    """
    own = head.state_dict()
    anchors = given.get("anchors")
    if anchors is None or anchors.shape != head.anchors.shape:
        how = "the checkpoint's head has other levels or anchors"
        return {}, dict.fromkeys(own, (Outcome.LEFT, how)), False
    classes = given["m.0.bias"].shape[0] // head.na - 5
    pairs = _shared_classes(given_names, classes, names)
    same = classes == head.nc and all(index == other for index, other in pairs) and len(pairs) == head.nc
    kept = f"box, objectness and the {len(pairs)} classes that both know"
    if not pairs:
        kept = "box and objectness; no class in common with the checkpoint"
    state: dict[str, Tensor] = {}
    outcomes: dict[str, tuple[Outcome, str]] = {}
    for level in range(head.nl):
        keys = (f"m.{level}.weight", f"m.{level}.bias")
        if any(key not in given or given[key].shape[1:] != own[key].shape[1:] for key in keys):
            outcomes.update(dict.fromkeys(keys, (Outcome.LEFT, "other shape")))
            continue
        state.update({key: given[key] if same else _join_classes(own[key], given[key], head.na, pairs) for key in keys})
        outcomes.update(dict.fromkeys(keys, _SAME if same else (Outcome.CONVERTED, kept)))
    if not state:
        return {}, {**outcomes, "anchors": (Outcome.LEFT, "belongs to the head's kernels")}, False
    return {**state, "anchors": anchors}, {**outcomes, "anchors": _SAME}, bool(pairs)


def _join_classes(own: Tensor, given: Tensor, anchors: int, pairs: list[tuple[int, int]]) -> Tensor:
    """Kernel or bias `(anchors * (5 + classes), ...)` with the box and objectness rows and the shared classes given."""
    joined = own.detach().cpu().unflatten(0, (anchors, -1)).clone()
    rows = given.to(joined.dtype).unflatten(0, (anchors, -1))
    source, target = (torch.tensor([*range(5), *(5 + pair[side] for pair in pairs)]) for side in (0, 1))
    joined[:, target] = rows[:, source]
    return joined.flatten(0, 1)


def _shared_classes(given: list[str] | None, count: int, names: list[str]) -> list[tuple[int, int]]:
    """Pairs of class indices, in the checkpoint and here. Names are compared without regard to case.

    A checkpoint without names has the classes of this detector, if it has as many.
    """
    if given is None or len(given) != count:
        return [(index, index) for index in range(count)] if count == len(names) else []
    index_of = {name.strip().casefold(): index for index, name in reversed(list(enumerate(given)))}
    found = [(index_of.get(name.strip().casefold()), index) for index, name in enumerate(names)]
    return [(source, index) for source, index in found if source is not None]
