"""Tiny trainings whose criterion, optimiser and networks are recorded: what reaches them, by number.

Every part has tests of its own elsewhere; here it is seen that the training uses it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.metrics.coco import CocoMetrics, GroundTruth
from engine.training.loop import fitness
from models.blocks.saconv import SAConv2d
from tests.engine.training.conftest import BATCH, COUNT, HYP, IMGSZ, Recorded, side_of, train
from tests.models.losses.scalar_reference import anchor_loss

BATCHES = math.ceil(COUNT / BATCH)
STRIDES = [8, 16, 32]


def averages(recorded: Recorded, epochs: int, steps_per_epoch: int) -> list[dict[str, Tensor]]:
    """The moving average after every step, from the recorded weights: decay 0.9999 * (1 - exp(-step / ramp))."""
    ramp = max(epochs * steps_per_epoch / 3, 1.0)
    found: list[dict[str, Tensor]] = []
    for number, step in enumerate(recorded.record.steps):
        now = {name: value for name, value in step.weights.items() if value.is_floating_point()}
        decay = 0.9999 * (1 - math.exp(-(number + 1) / ramp))
        found.append({k: decay * found[-1][k] + (1 - decay) * v for k, v in now.items()} if found else now)
    return found


def difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """The largest difference of two sets of weights."""
    return max((first[name] - second[name]).abs().max().item() for name in first)


def test_the_average_is_validated_and_kept(mixed: Recorded) -> None:
    expected = averages(mixed, epochs=8, steps_per_epoch=2)  # steps per epoch after the warm-up
    raw = mixed.record.steps
    assert len(expected) == 8 * BATCHES
    assert difference(expected[-1], raw[-1].weights) > 1e-3
    assert difference(expected[-1], mixed.last["model"]) < 1e-5
    assert difference(expected[-1], mixed.last["training"]["model"]) > 1e-3
    assert difference(raw[-1].weights, mixed.last["training"]["model"]) == 0
    best = mixed.best
    assert difference(expected[BATCHES * best["epoch"] - 1], best["model"]) < 1e-5
    validated = [(steps, weights) for steps, weights in mixed.record.evaluated if steps < len(raw)]
    assert {steps for steps, _ in validated} == {BATCHES * epoch for epoch in range(1, 8)}
    for steps, weights in validated:
        head = {f"model.5.{name}": value for name, value in weights.items()}
        assert difference(head, expected[steps - 1]) < 1e-5
        assert difference(head, raw[steps - 1].weights) > 1e-4


def test_gradients_are_clipped_to_a_norm_of_10(mixed: Recorded, unmixed: Recorded) -> None:
    norms = [step.norm for recorded in (mixed, unmixed) for step in recorded.record.steps]
    assert max(norms) == pytest.approx(10, rel=1e-4)
    assert sum(norm > 9.99 for norm in norms) > len(norms) / 2


def test_warm_up_by_number(mixed: Recorded) -> None:
    """At least 100 iterations long: kernels from 0, biases from above, every batch a step at its beginning."""
    for iteration, step in enumerate(mixed.record.steps):
        progress = iteration / 100
        target = HYP["lr0"] * (1 - iteration // BATCHES / 8 * (1 - HYP["lrf"]))
        kernel, vector = step.of("model.0.conv.weight"), step.of("model.0.bn.weight")
        head = step.of("model.5.m.0.bias")
        assert kernel["lr"] == pytest.approx(progress * target)
        assert vector["lr"] == pytest.approx(progress * target)
        assert head["lr"] == pytest.approx((1 - progress) * HYP["warmup_bias_lr"] + progress * target)
        assert kernel["momentum"] == pytest.approx((1 - progress) * HYP["warmup_momentum"] + progress * HYP["momentum"])
        assert step.losses == iteration + 1


def test_without_warm_up_batches_are_accumulated_and_the_last_of_an_epoch_steps(unmixed: Recorded) -> None:
    """Ten images in batches of four, a nominal batch of ten: a step after two batches, and one after the third."""
    assert [step.losses for step in unmixed.record.steps] == [2, 3, 5, 6]
    assert [loss.waiting for loss in unmixed.record.training] == [False, True, False] * 2
    for step, epoch in zip(unmixed.record.steps, (0, 0, 1, 1), strict=True):
        target = HYP["lr0"] * (1 - epoch / 2 * (1 - HYP["lrf"]))
        assert [group["lr"] for group in step.groups] == pytest.approx([target] * len(step.groups))
        assert {group["momentum"] for group in step.groups} == {HYP["momentum"]}


def test_decay_is_for_kernels_and_follows_the_accumulated_batch(unmixed: Recorded) -> None:
    for step in unmixed.record.steps:
        assert step.of("model.0.conv.weight")["weight_decay"] == pytest.approx(HYP["weight_decay"] * 8 / 10)
        assert step.of("model.5.m.0.weight")["weight_decay"] == pytest.approx(HYP["weight_decay"] * 8 / 10)
        for name in ("model.0.bn.weight", "model.0.bn.bias", "model.5.m.0.bias"):
            assert step.of(name)["weight_decay"] == 0


def pictures(targets: Tensor) -> list[int]:
    """The numbers of the pictures of an unmixed batch, in its order, by the sides of their squares."""
    sides = (targets[:, 4] * IMGSZ).round().int().tolist()
    assert targets[:, 0].int().tolist() == list(range(len(sides))), "one box per picture"
    return [[side_of(number) for number in range(COUNT)].index(side) for side in sides]


def test_pictures_are_shuffled_by_seed_and_epoch(unmixed: Recorded) -> None:
    for epoch in (0, 1):
        losses = unmixed.record.training[epoch * BATCHES : (epoch + 1) * BATCHES]
        order = [number for loss in losses for number in pictures(loss.targets)]
        assert order == np.random.default_rng((3, epoch)).permutation(COUNT).tolist()


def test_the_last_epochs_are_not_mixed(mixed: Recorded) -> None:
    """`close_mosaic: 3` of 8 epochs: a quarter of them at most, so two."""
    plain = []
    for epoch in range(8):
        losses = mixed.record.training[epoch * BATCHES : (epoch + 1) * BATCHES]
        boxes = torch.cat([loss.targets for loss in losses])
        whole = {side_of(number) for number in range(COUNT)}
        plain.append(len(boxes) == COUNT and {round(side) for side in (boxes[:, 4] * IMGSZ).tolist()} == whole)
    assert plain == [False] * 6 + [True] * 2
    for epoch in (6, 7):
        losses = mixed.record.training[epoch * BATCHES : (epoch + 1) * BATCHES]
        order = [number for loss in losses for number in pictures(loss.targets)]
        assert order == np.random.default_rng((3, epoch)).permutation(COUNT).tolist()


def test_losses_are_those_of_the_loops_with_objectness_scaled_by_the_image(mixed: Recorded, unmixed: Recorded) -> None:
    """Three levels; `obj` is stated for 640 px."""
    gains = {**HYP, "obj": HYP["obj"] * (IMGSZ / 640) ** 2, "anchor_t": 4.0, "label_smoothing": 0.0}
    for recorded in (mixed, unmixed):
        anchors = recorded.last["model"]["model.5.anchors"].tolist()
        for loss in (recorded.record.training[0], recorded.record.training[-1]):
            logits = [level.float().tolist() for level in loss.logits]
            expected = anchor_loss(logits, loss.targets.tolist(), anchors, STRIDES, gains)
            assert loss.parts == pytest.approx([expected[name] for name in ("box", "obj", "cls")], rel=1e-3)


def anchors_px(content: dict) -> Tensor:
    """`(6, 2)` anchors in pixels of the network input."""
    return (content["model"]["model.5.anchors"] * torch.tensor(STRIDES).view(3, 1, 1)).reshape(-1, 2)


def test_anchors_are_fitted_unless_told_not_to_be_or_taken_over(
    mixed: Recorded, unmixed: Recorded, finetuned: Recorded
) -> None:
    fitted, kept, taken = (anchors_px(recorded.best) for recorded in (mixed, unmixed, finetuned))
    assert 10 < fitted.min() < fitted.max() < 34  # squares of 12 to 30 px
    assert kept[0].tolist() == pytest.approx([200, 210])
    assert taken.tolist() == kept.tolist()


def test_parameters_of_a_block_learn_at_the_pace_of_what_they_took_over(finetuned: Recorded) -> None:
    """The SAConv2d took a plain kernel over: its weight_diff is 0, and learns at 30 times the rate."""
    factors = SAConv2d.finetune_rate_factors
    assert factors["weight_diff"] == 30.0
    paced = {name: factors[part] for name in finetuned.last["model"] if (part := name.split(".")[2]) in factors}
    assert {name.split(".")[2] for name in paced} == {"weight_diff", "switch", "pre_context", "post_context"}
    for step in finetuned.record.steps:
        base = step.of("model.3.weight")["lr"]
        assert {name: step.of(name)["lr"] for name in paced} == pytest.approx({k: base * f for k, f in paced.items()})


def test_best_is_ap_with_a_tenth_of_ap50(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third figures are best by this formula only. The fifth are the same: the first one stays."""
    figures = iter([(0.5, 0.44), (0.52, 0.2), (0.45, 0.9), (0.44, 0.98), (0.45, 0.9), (0.45, 0.9)])
    measure = GroundTruth.measure

    def measured(self: GroundTruth, *args: Any, **options: Any) -> CocoMetrics:
        ap, ap50 = next(figures)
        metrics = measure(self, *args, **options)
        return replace(metrics, figures={**metrics.figures, "AP": ap, "AP50": ap50})

    monkeypatch.setattr(GroundTruth, "measure", measured)
    hyp = str(squares / "unmixed.yaml")
    best = train(squares, "best", cfg=str(squares / "plain.yaml"), hyp=hyp, epochs=5, noautoanchor=True).best
    assert best["epoch"] == 3


def test_nothing_to_detect_is_a_fitness_of_0() -> None:
    assert fitness({"AP": math.nan, "AP50": math.nan}) == 0
    assert fitness({"AP": 0.5, "AP50": 0.7}) == pytest.approx(0.52)


def test_the_seed_decides_the_initial_values(squares: Path, unmixed: Recorded) -> None:
    torch.rand(1)  # whatever was drawn before
    options = {"cfg": str(squares / "plain.yaml"), "hyp": str(squares / "unmixed.yaml"), "epochs": 1}
    again = train(squares, "again", noautoanchor=True, **options)
    for first, second in zip(again.record.training[0].logits, unmixed.record.training[0].logits, strict=True):
        assert torch.equal(first, second)


def test_a_frozen_row_stays_as_it_is(squares: Path, unmixed: Recorded) -> None:
    options = {"cfg": str(squares / "plain.yaml"), "hyp": str(squares / "unmixed.yaml"), "epochs": 1}
    weights = str(unmixed.folder / "weights" / "best.pt")
    frozen = train(squares, "frozen", weights=weights, freeze=(1,), **options).last["training"]["model"]
    before = unmixed.best["model"]
    assert torch.equal(frozen["model.1.conv.weight"], before["model.1.conv.weight"])
    assert not torch.equal(frozen["model.2.conv.weight"], before["model.2.conv.weight"])
