"""Rates, momentum and accumulation as functions of the iteration."""

from __future__ import annotations

import pytest
import torch

from engine.training.hyperparameters import TrainingHyperparameters
from engine.training.optimizer import build_optimizer, new_groups
from engine.training.rules import Rules
from engine.training.schedule import Schedule
from tests.engine.training.small import small_model

HYP = TrainingHyperparameters()


def small_optimizer() -> torch.optim.Optimizer:
    model = small_model()
    return build_optimizer(model, new_groups(model, "SGD", Rules.current(), None), "SGD", HYP, 0.01)


def test_schedule_ends() -> None:
    linear, cosine = (Schedule(HYP, 10, 5, 16, cosine) for cosine in (False, True))
    for schedule in (linear, cosine):
        assert schedule.factor(0) == 1
        assert schedule.factor(10) == pytest.approx(HYP.lrf)
    assert linear.factor(5) == pytest.approx((1 + HYP.lrf) / 2)
    assert cosine.factor(2) > linear.factor(2)
    assert cosine.factor(8) < linear.factor(8)


def test_warmup_raises_kernels_and_lowers_biases() -> None:
    optimizer = small_optimizer()
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
    optimizer = small_optimizer()
    schedule.apply(optimizer, 0, 0)
    assert {group["lr"] for group in optimizer.param_groups} == {HYP.lr0}
    assert schedule.accumulate_at(0) == 4


def test_a_short_warm_up_takes_100_iterations() -> None:
    """Three epochs of two batches would be over before the moving averages have settled."""
    assert Schedule(HYP, 10, 2, 16).warmup == 100
