"""Parameter groups, the schedule as a function of the iteration, and the moving average."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from torch import nn

from engine.errors import EngineError
from engine.training.hyperparameters import TrainingHyperparameters
from engine.training.optimizer import Schedule, build_ema, build_optimizer

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


def test_schedule_ends() -> None:
    linear, cosine = (Schedule(HYP, 10, 5, 16, cosine) for cosine in (False, True))
    for schedule in (linear, cosine):
        assert schedule.factor(0) == 1
        assert schedule.factor(10) == pytest.approx(HYP.lrf)
    assert linear.factor(5) == pytest.approx((1 + HYP.lrf) / 2)
    assert cosine.factor(2) > linear.factor(2)
    assert cosine.factor(8) < linear.factor(8)


def test_warmup_raises_kernels_and_lowers_biases() -> None:
    optimizer = build_optimizer(small_model(), "SGD", HYP, 0.01)
    schedule = Schedule(HYP, 100, 50, 16)
    assert schedule.warmup == 150
    history = []
    for iteration in (0, 75, 150, 1000):
        schedule.apply(optimizer, 0, iteration)
        bias = next(g for g in optimizer.param_groups if g["is_bias"])
        kernel = next(g for g in optimizer.param_groups if g["weight_decay"])
        history.append((bias["lr"], kernel["lr"], kernel["momentum"]))
    assert history[0] == (HYP.warmup_bias_lr, 0.0, HYP.warmup_momentum)
    assert history[1] == pytest.approx((0.055, 0.005, (0.8 + 0.937) / 2))
    assert history[2] == history[3] == pytest.approx((HYP.lr0, HYP.lr0, HYP.momentum))


@pytest.mark.parametrize(("batch_size", "expected"), [(16, 4), (64, 1), (128, 1), (1, 64), (24, 3)])
def test_accumulation_reaches_the_nominal_batch(batch_size: int, expected: int) -> None:
    schedule = Schedule(HYP, 10, 1000, batch_size)
    assert schedule.accumulate == expected
    assert schedule.accumulate_at(0) == 1
    assert schedule.accumulate_at(schedule.warmup) == expected
    # Decay follows the images that really make up a step.
    assert schedule.weight_decay == pytest.approx(HYP.weight_decay * batch_size * expected / 64)


def test_updates_count_every_step() -> None:
    assert Schedule(HYP, 60, 13, 16).updates == 60 * 4  # 4 + 4 + 4 + 1 batches
    assert Schedule(HYP, 10, 5, 64).updates == 50


def test_no_warmup() -> None:
    schedule = Schedule(HYP.model_copy(update={"warmup_epochs": 0.0}), 10, 5, 16)
    optimizer = build_optimizer(small_model(), "SGD", HYP, 0.01)
    schedule.apply(optimizer, 0, 0)
    assert {group["lr"] for group in optimizer.param_groups} == {HYP.lr0}
    assert schedule.accumulate_at(0) == 4


@pytest.mark.parametrize(("updates", "ramp"), [(100_000, 2000), (300, 100)])
def test_ema_follows_its_formula_and_copies_counters(updates: int, ramp: int) -> None:
    torch.manual_seed(0)
    model = small_model()
    ema = build_ema(model, updates)
    expected = None
    for step in range(5):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model(torch.randn(2, 3, 8, 8))  # moves the running statistics
        ema.update_parameters(model)
        weight = model[0].weight.detach().clone()
        decay = 0.9999 * (1 - math.exp(-(step + 1) / ramp))
        expected = weight if expected is None else decay * expected + (1 - decay) * weight
    torch.testing.assert_close(ema.module[0].weight, expected)
    assert ema.module[1].num_batches_tracked == 5
    assert not ema.module.training
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())


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
