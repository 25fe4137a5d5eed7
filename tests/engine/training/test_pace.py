"""The pace of SAConv2d's own parameters, by what each block was really taken from; and as it was at ef925d5."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from torch import nn

from engine.options import TrainOptions
from engine.training.optimizer import Group, groups_before_they_were_stored, new_groups
from engine.training.rules import Rules
from files.classes import Classes
from models import Detector, SAConv2d, build_model
from models.weights.report import TransferReport
from models.weights.source import SourceWeights
from models.weights.transfer import transfer_weights

CLASSES = Classes.of(["cat"])
PLAIN: dict[str, Any] = {
    "nc": 1,
    "anchors": [[10, 13, 16, 30], [50, 60, 90, 80]],
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "C3", [16]]],
    "head": [[-1, 1, "Conv", [32, 3, 2]], [[2, 3], 1, "Detect", ["nc", "anchors"]]],
}
FINETUNED, SLOW = SAConv2d.finetune_rate_factors["weight_diff"], SAConv2d.rate_factors["weight_diff"]


def switchable(**kwargs: Any) -> dict[str, Any]:
    """Rows 1 and 3 and the 3x3 convolution in row 2 are SAConv2d; `kwargs` are for row 3."""
    cfg = copy.deepcopy(PLAIN)
    cfg["backbone"][1][2] = cfg["head"][0][2] = "SAConv2d"
    cfg["backbone"][2].append({"conv": "SAConv2d"})
    cfg["head"][0].append(kwargs)
    return cfg


def taken(cfg: dict[str, Any], source: dict[str, Any]) -> tuple[Detector, TransferReport]:
    """A model of `cfg` that starts from a fresh one of `source`, in its classes."""
    given = build_model(source)
    model = build_model(cfg)
    model.classes = CLASSES
    return model, transfer_weights(model, SourceWeights(given.state_dict(), "test", given.yaml, CLASSES))


def difference_factors(groups: tuple[Group, ...]) -> list[float]:
    """Rate factor of `weight_diff` in rows 1, 2 and 3."""
    found = {name: group.rate_factor for group in groups for name in group.names if name.endswith("weight_diff")}
    assert [name.split(".")[1] for name in sorted(found)] == ["1", "2", "3"]
    return [found[name] for name in sorted(found)]


def test_each_block_by_what_it_was_taken_from() -> None:
    # Row 3 has a kernel of another size in the checkpoint: it stays at random numbers.
    other = copy.deepcopy(PLAIN)
    other["head"][0][3] = [32, 5, 2]
    model, report = taken(switchable(), other)
    assert difference_factors(new_groups(model, "SGD", Rules.current(), report)) == [FINETUNED, FINETUNED, SLOW]
    assert difference_factors(new_groups(model, "AdamW", Rules.current(), report)) == [SLOW] * 3
    assert difference_factors(new_groups(model, "SGD", Rules.current(), None)) == [SLOW] * 3


def test_a_trained_block_has_the_pace_after_a_takeover() -> None:
    source = switchable()
    source["backbone"][1][2] = "Conv"
    # Row 1 is converted, row 2 taken as it is, row 3 too, but now with offsets.
    model, report = taken(switchable(use_deform=True), source)
    groups = new_groups(model, "SGD", Rules.current(), report)
    assert difference_factors(groups) == [FINETUNED] * 3
    offsets = {group.rate_factor for group in groups for name in group.names if ".offset_" in name}
    assert offsets == {0.1}


def test_where_every_block_was_converted_the_groups_are_those_of_ef925d5() -> None:
    model, report = taken(switchable(), PLAIN)
    assert difference_factors(new_groups(model, "SGD", Rules.current(), report)) == [FINETUNED] * 3
    assert new_groups(model, "SGD", Rules.current(), report) == as_ef925d5(model, finetune=True)


@pytest.mark.parametrize("weights", ["", "a.pt"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_positions_of_parameters_in_old_checkpoints(weights: str, optimizer: str) -> None:
    model = build_model(switchable(use_deform=True))
    model.model[0].requires_grad_(False)
    options = TrainOptions(weights=weights, optimizer=optimizer)
    expected = as_ef925d5(model, finetune=bool(weights) and optimizer == "SGD")
    assert groups_before_they_were_stored(model, options) == expected


def as_ef925d5(model: nn.Module, finetune: bool) -> tuple[Group, ...]:
    """What that commit's `build_optimizer` did, read from it and written down once more."""
    factors: dict[str, float] = {}
    for path, module in model.named_modules():
        if isinstance(module, SAConv2d):
            stated = SAConv2d.finetune_rate_factors if finetune else SAConv2d.rate_factors
            for name, _ in module.named_parameters():
                if name.split(".")[0] in stated:
                    factors[f"{path}.{name}"] = stated[name.split(".")[0]]
    members: dict[tuple[str, float], list[str]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = "vector" if parameter.ndim == 1 else "kernel"
            if name.endswith(".bias") and not (finetune and name in factors):
                kind = "bias"
            members.setdefault((kind, factors.get(name, 1.0)), []).append(name)
    return tuple(
        Group(tuple(members[kind, factor]), kind == "bias", kind == "kernel", factor)
        for kind, factor in sorted(members)
    )
