"""Parameter groups: what is decayed, what warms up as a bias, and at which pace each parameter learns."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

from engine.errors import EngineError
from engine.training.hyperparameters import TrainingHyperparameters
from engine.training.optimizer import build_optimizer
from engine.training.schedule import Schedule

HYP = TrainingHyperparameters()


def small_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_only_kernels_are_decayed_and_nothing_is_left_out(name: str) -> None:
    model = small_model()
    optimizer = build_optimizer(model, name, HYP, 0.01)
    decayed = [p for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]]
    assert {id(p) for p in decayed} == {id(model[0].weight), id(model[2].weight)}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out() -> None:
    model = small_model()
    model[0].requires_grad_(False)
    optimizer = build_optimizer(model, "SGD", HYP, 0.01)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4


def test_unknown_optimizer_is_one_line() -> None:
    with pytest.raises(EngineError, match="--optimizer Lion: unknown; use one of SGD, Adam, AdamW"):
        build_optimizer(small_model(), "Lion", HYP, 0.0)


class Paced(nn.Module):
    """A block with a pace of its own for one of its children and for a parameter."""

    rate_factors: ClassVar = {"context": 0.1, "difference": 0.1}
    finetune_rate_factors: ClassVar = {"context": 2.0, "difference": 30.0}

    def __init__(self) -> None:
        super().__init__()
        self.context = nn.Conv2d(2, 2, 1)
        self.difference = nn.Parameter(torch.zeros(2, 2, 1, 1))
        self.difference_of_others = nn.Parameter(torch.zeros(2, 2, 1, 1))
        self.conv = nn.Conv2d(2, 2, 1)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_block_can_slow_its_parameters_down(name: str) -> None:
    model = nn.Sequential(Paced(), nn.BatchNorm2d(2))
    optimizer = build_optimizer(model, name, HYP, 0.01)
    Schedule(HYP, 100, 50, 16).apply(optimizer, 0, 1000)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    slow = {id(p) for p in (*model[0].context.parameters(), model[0].difference)}
    for key, rate in rates.items():
        assert rate == pytest.approx(HYP.lr0 * (0.1 if key in slow else 1))


@pytest.mark.parametrize(("name", "factors"), [("SGD", (2.0, 30.0)), ("Adam", (0.1, 0.1)), ("AdamW", (0.1, 0.1))])
def test_pretrained_kernels_allow_another_pace_under_sgd(name: str, factors: tuple[float, float]) -> None:
    block = Paced()
    optimizer = build_optimizer(block, name, HYP, 0.01, pretrained=True)
    schedule = Schedule(HYP, 100, 50, 16)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(groups) == len(list(block.parameters()))
    schedule.apply(optimizer, 0, 0)
    warm = HYP.warmup_bias_lr
    assert groups[id(block.conv.bias)]["lr"] == warm
    assert groups[id(block.context.bias)]["lr"] == pytest.approx(0 if name == "SGD" else 0.1 * warm)
    schedule.apply(optimizer, 0, 1000)
    for parameter, factor in ((block.context.weight, factors[0]), (block.difference, factors[1]), (block.conv.bias, 1)):
        assert groups[id(parameter)]["lr"] == pytest.approx(HYP.lr0 * factor)
    assert groups[id(block.context.bias)]["weight_decay"] == 0


def test_a_block_with_one_pace_keeps_it_when_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Paced, "finetune_rate_factors")
    block = Paced()
    optimizer = build_optimizer(block, "SGD", HYP, 0.01, pretrained=True)
    assert {id(p): g["rate_factor"] for g in optimizer.param_groups for p in g["params"]}[id(block.difference)] == 0.1
