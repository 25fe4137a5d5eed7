"""Parameter groups: what is decayed, what warms up as a bias, and at which pace each parameter learns."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from engine.errors import EngineError
from engine.training.ema import build_ema
from engine.training.hyperparameters import TrainingHyperparameters
from engine.training.optimizer import build_optimizer, clip_gradients, groups_as_plain, new_groups, stored_groups
from engine.training.rules import Rules
from engine.training.schedule import Schedule
from engine.training.setup import freeze_rows
from models import build_model
from models.losses.targets import Targets
from models.weights.report import Outcome, Transfer, TransferReport
from tests.engine.training.small import small_model

HYP = TrainingHyperparameters()


def optimizer_of(model: nn.Module, name: str = "SGD", taken: TransferReport | None = None) -> torch.optim.Optimizer:
    return build_optimizer(model, new_groups(model, name, Rules.current(), taken), name, HYP, 0.01)


def report(model: nn.Module, outcome: Outcome) -> TransferReport:
    """Everything of the model has the same outcome."""
    return TransferReport((Transfer(0, outcome, "", tuple(model.state_dict()), 0),), (), False)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_only_kernels_are_decayed_and_nothing_is_left_out(name: str) -> None:
    model = small_model()
    optimizer = optimizer_of(model, name)
    decayed = [p for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]]
    assert {id(p) for p in decayed} == {id(model[0].weight), id(model[2].weight)}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out() -> None:
    model = small_model()
    model[0].requires_grad_(False)
    optimizer = optimizer_of(model)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4


def test_unknown_optimizer_is_one_line() -> None:
    with pytest.raises(EngineError, match="--optimizer Lion: unknown; use one of SGD, Adam, AdamW"):
        optimizer_of(small_model(), "Lion")


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
    optimizer = optimizer_of(model, name)
    Schedule(HYP, 100, 50, 16).apply(optimizer, 0, 1000)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    slow = {id(p) for p in (*model[0].context.parameters(), model[0].difference)}
    for key, rate in rates.items():
        assert rate == pytest.approx(HYP.lr0 * (0.1 if key in slow else 1))


@pytest.mark.parametrize(("name", "factors"), [("SGD", (2.0, 30.0)), ("Adam", (0.1, 0.1)), ("AdamW", (0.1, 0.1))])
def test_pretrained_kernels_allow_another_pace_under_sgd(name: str, factors: tuple[float, float]) -> None:
    block = Paced()
    optimizer = optimizer_of(block, name, report(block, Outcome.CONVERTED))
    schedule = Schedule(HYP, 100, 50, 16)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(groups) == len(list(block.parameters()))
    schedule.apply(optimizer, 0, 0)
    assert groups[id(block.conv.bias)]["lr"] == HYP.warmup_bias_lr
    assert groups[id(block.context.bias)]["lr"] == 0
    schedule.apply(optimizer, 0, 1000)
    for parameter, factor in ((block.context.weight, factors[0]), (block.difference, factors[1]), (block.conv.bias, 1)):
        assert groups[id(parameter)]["lr"] == pytest.approx(HYP.lr0 * factor)
    assert groups[id(block.context.bias)]["weight_decay"] == 0


def factor_of_difference(block: Paced, taken: TransferReport | None) -> float:
    groups = new_groups(block, "SGD", Rules.current(), taken)
    return next(group.rate_factor for group in groups if "difference" in group.names)


def test_the_pace_follows_from_what_was_taken_over() -> None:
    block = Paced()
    assert factor_of_difference(block, None) == 0.1
    assert factor_of_difference(block, report(block, Outcome.LEFT)) == 0.1
    assert factor_of_difference(block, report(block, Outcome.CONVERTED)) == 30
    # Trained before, as the same block: the pace is that after a takeover.
    assert factor_of_difference(block, report(block, Outcome.TAKEN)) == 30


def test_a_block_with_one_pace_keeps_it_when_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Paced, "finetune_rate_factors")
    block = Paced()
    for outcome in Outcome:
        assert factor_of_difference(block, report(block, outcome)) == 0.1


def test_biases_without_a_factor_warm_up_from_above() -> None:
    for rule, expected in (("unstated", {"conv.bias"}), ("all", {"conv.bias", "context.bias"})):
        groups = new_groups(Paced(), "SGD", Rules(bias_warmup=rule), None)
        assert {name for group in groups if group.is_bias for name in group.names} == expected


def test_groups_are_stored_as_plain_values() -> None:
    block = Paced()
    groups = new_groups(block, "SGD", Rules.current(), None)
    stored = json.loads(json.dumps(groups_as_plain(groups)))
    assert stored_groups(stored, block, "last.pt") == groups


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda groups: groups[0].update(rate_factor=-1.0), "damaged"),
        (lambda groups: groups[0].update(rate_factor=math.nan), "damaged"),
        (lambda groups: groups[0].update(rate_factor="fast"), "damaged"),
        (lambda groups: groups[0].update(is_bias="yes"), "damaged"),
        (lambda groups: groups[0].update(decayed=None), "damaged"),
        (lambda groups: groups[0].update(names=3), "damaged"),
        (lambda groups: groups[0].update(names=[3]), "damaged"),
        (lambda groups: groups[0].update(extra=3), "damaged"),
        (lambda groups: groups[0].pop("names"), "damaged"),
        (lambda groups: groups.append("conv"), "damaged"),
        (lambda groups: groups.pop(), "do not name the parameters of its model"),
        (lambda groups: groups[0]["names"].append("conv.bias"), "do not name the parameters of its model"),
        (lambda groups: groups[0]["names"].append("other"), "do not name the parameters of its model"),
    ],
)
def test_nonsense_among_stored_groups_is_one_line(change: Callable[[Any], object], message: str) -> None:
    block = Paced()
    stored = groups_as_plain(new_groups(block, "SGD", Rules.current(), None))
    change(stored)
    with pytest.raises(EngineError, match=rf"^a/last\.pt: its optimiser groups .*{message}.*--weights a/last\.pt$"):
        stored_groups(stored, block, "a/last.pt")
    with pytest.raises(EngineError, match="damaged"):
        stored_groups(3, block, "a/last.pt")


def test_gradients_are_clipped() -> None:
    """To a norm of 10 over all parameters; smaller ones stay."""
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(1))]
    for scale, norm in ((1.0, 5.0), (10.0, 10.0)):
        parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0, 0.0]) * scale, torch.tensor([4.0]) * scale
        clip_gradients(iter(parameters))
        gradients = torch.cat([parameter.grad for parameter in parameters])
        torch.testing.assert_close(gradients, torch.tensor([0.6, 0.0, 0.0, 0.8]) * norm)


def test_sgd_looks_ahead() -> None:
    """Nesterov's momentum: the first step is 1 + momentum times the gradient."""
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)  # nothing to decay
    optimizer = optimizer_of(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert -model.weight.item() == pytest.approx(HYP.lr0 * (1 + HYP.momentum), rel=1e-4)


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_the_fixed_kernel_of_distances_takes_no_part(name: str) -> None:
    """It is a parameter, since checkpoints count it as one, but nothing moves it, and its average is itself."""
    rows = [[-1, 1, "Conv", [8, 3, 2]], [-1, 2, "C2f", [8, True], {"conv": "SAConv2d"}], [-1, 1, "Conv", [8, 3, 2]]]
    head = [[[1, 2], 1, "AnchorFreeDetect", ["nc"], {"end2end": True}]]
    model = build_model({"nc": 2, "backbone": rows, "head": head})
    groups = new_groups(model, name, Rules.current(), None)
    named = [each for group in groups for each in group.names]
    everything = {each for each, _ in model.named_parameters()}
    assert set(named) == everything - {"model.3.dfl.conv.weight"}
    assert len(named) == len(set(named))
    by_name = {each: group for group in groups for each in group.names}
    assert by_name["model.3.one2one_cv3.1.2.bias"].is_bias
    assert by_name["model.3.cv2.0.2.weight"].decayed
    assert by_name["model.1.m.1.cv2.weight_diff"].rate_factor == 0.1
    freeze_rows(model, (0, 1, 2))
    frozen = {each for group in new_groups(model, name, Rules.current(), None) for each in group.names}
    assert frozen == {each for each in named if each.startswith("model.3.")}

    optimizer = build_optimizer(model, groups, name, HYP, 0.1)
    average = build_ema(model, 10)
    criterion = model.head.criterion(model.head.hyperparameters().model_dump())
    targets = Targets.of_boxes(torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.5]]), (32, 32))
    model.requires_grad_(True).head.dfl.requires_grad_(False)
    for _ in range(3):
        torch.stack(list(criterion(model(torch.rand(2, 3, 32, 32)), targets, 0.5).values())).sum().backward()
        optimizer.step()
        average.update_parameters(model)
    for detector in (model, average.module):
        assert detector.head.flaw() == ""
    assert not torch.equal(average.module.state_dict()["model.0.conv.weight"], model.model[0].conv.weight)
