"""The anchor-free loss: the shares of two pairs, regions to ignore, and what must not break it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.heads.anchor_free import AnchorFreeDetect, V10Detect
from models.losses.targets import Targets
from models.losses.task_aligned import MANY, ONE, smallest_side

SIZES = [(8, 12), (4, 6), (2, 3)]
INPUT = (64, 96)
GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5, "imgsz": 96}


def head_of(**kwargs: object) -> AnchorFreeDetect:
    head = AnchorFreeDetect(3, (16, 16, 16), **kwargs)  # type: ignore[arg-type]
    head.set_stride(torch.tensor([8.0, 16.0, 32.0]))
    return head


def logits_of(head: AnchorFreeDetect, images: int = 2, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    width = 4 * head.reg_max + head.nc
    return [torch.randn(images, width, *size, generator=generator) for _ in head.branches for size in SIZES]


BOXES = torch.tensor([[0, 1, 0.4, 0.5, 0.5, 0.6], [0, 0, 0.6, 0.4, 0.3, 0.3], [1, 2, 0.5, 0.5, 0.9, 0.8]])


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack([*losses.values()]).sum()


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.8), (0.5, 0.45), (1.0, 0.1)])
def test_the_second_pair_takes_over_in_the_course_of_the_training(progress: float, share: float) -> None:
    head = head_of(end2end=True, reg_max=1)
    logits, targets = logits_of(head), Targets.of_boxes(BOXES, INPUT)
    for level in logits:
        level[:, :4] += 1.5  # boxes of some size
    criterion = head.criterion(GAINS)
    many, one = criterion.pair_losses(logits[:3], targets, MANY), criterion.pair_losses(logits[3:], targets, ONE)
    assert not torch.isclose(total(many), total(one), rtol=0.01)
    assert not torch.isclose(total(criterion.pair_losses(logits[3:], targets, MANY)), total(one), rtol=0.01)
    found = criterion(logits, targets, progress)
    assert list(found) == ["box", "cls", "dfl"]
    for name, value in found.items():
        torch.testing.assert_close(value, share * many[name] + (1 - share) * one[name])


def test_a_single_pair_does_not_change() -> None:
    head = head_of()
    logits, targets = logits_of(head), Targets.of_boxes(BOXES, INPUT)
    criterion = head.criterion(GAINS)
    assert criterion(logits, targets, 0.0) == criterion(logits, targets, 1.0)


@pytest.mark.parametrize("head", [head_of(), head_of(reg_max=1, end2end=True), V10Detect(3, (16, 16, 16))])
def test_every_branch_learns(head: AnchorFreeDetect) -> None:
    head.set_stride(torch.tensor([8.0, 16.0, 32.0]))
    head.train()
    features = [torch.rand(2, 16, *size) for size in SIZES]
    losses = head.criterion(GAINS)(head(features), Targets.of_boxes(BOXES, INPUT), 0.5)
    total(losses).backward()
    for name, parameter in head.named_parameters():
        assert parameter.requires_grad != name.startswith("dfl."), name
        assert (parameter.grad is not None) == parameter.requires_grad, name
    for box, label in head.branches:
        # Some level answers for a box; the scores of all levels are measured.
        assert any(layers[-1].weight.grad.any() for layers in getattr(head, box))
        assert all(layers[-1].weight.grad.any() for layers in getattr(head, label))


@pytest.mark.parametrize("kwargs", [{}, {"reg_max": 1, "end2end": True}])
@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[0, 1, 0.5, 0.5, 0.0, 0.0]],
        [[0, 1, 0.5, 0.5, 0.4, 0.0]],
        [[0, 1, 0.5, 0.5, 0.0, 0.4], [0, 1, 0.5, 0.5, 0.3, 0.4]],
        [[0, 1, 0.5, 0.5, 3.0, 3.0]],
        [[0, 1, -3.0, 5.0, 0.1, 0.1]],
        [[1, 2, 0.5, 0.5, 0.4, 0.4]] * 12,
    ],
    ids=["none", "no area", "no height", "no width", "larger than the image", "outside", "twelve times the same"],
)
def test_no_box_breaks_the_loss(kwargs: dict[str, object], rows: list[list[float]]) -> None:
    head = head_of(**kwargs)
    logits = [level.requires_grad_() for level in logits_of(head)]
    losses = head.criterion(GAINS)(logits, Targets.of_boxes(torch.tensor(rows).view(-1, 6), INPUT), 0.5)
    assert torch.isfinite(total(losses))
    gradients = torch.autograd.grad(total(losses), logits)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert losses["cls"] > 0


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_extreme_logits_have_finite_gradients(scale: float) -> None:
    for head in (head_of(), head_of(reg_max=1)):
        logits = [(level * scale).requires_grad_() for level in logits_of(head)]
        losses = head.criterion(GAINS)(logits, Targets.of_boxes(BOXES, INPUT), 0.5)
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(total(losses), logits))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_training_that_diverged_shows_in_the_loss(value: float) -> None:
    """The trainer says so; no index goes astray before."""
    for head in (head_of(), head_of(reg_max=1, end2end=True)):
        for everywhere in (False, True):
            logits = logits_of(head)
            for level in logits:
                level[:, :, :: 1 if everywhere else 2] = value
            losses = head.criterion(GAINS)(logits, Targets.of_boxes(BOXES, INPUT), 0.5)
            assert value == float("-inf") or not torch.isfinite(total(losses))


def test_half_precision_logits_are_measured_in_float32() -> None:
    head = head_of()
    logits, targets = [level.half() for level in logits_of(head)], Targets.of_boxes(BOXES, INPUT)
    losses = head.criterion(GAINS)(logits, targets, 0.0)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert losses == head.criterion(GAINS)([level.float() for level in logits], targets, 0.0)


def test_the_loss_does_not_grow_with_the_images() -> None:
    """The same images twice: targets and sums double together."""
    head = head_of()
    logits = logits_of(head)
    again = BOXES + torch.tensor([2, 0, 0, 0, 0, 0])
    criterion = head.criterion(GAINS)
    once = criterion(logits, Targets.of_boxes(BOXES, INPUT), 0.0)
    twice = criterion(
        [torch.cat((level, level)) for level in logits], Targets.of_boxes(torch.cat((BOXES, again)), INPUT), 0.0
    )
    for name in once:
        torch.testing.assert_close(twice[name], once[name])


def test_each_part_has_its_gain() -> None:
    head = head_of()
    logits, targets = logits_of(head), Targets.of_boxes(BOXES, INPUT)
    plain = head.criterion({"box": 1.0, "cls": 1.0, "dfl": 1.0})(logits, targets, 0.0)
    for name in plain:
        other = head.criterion({"box": 1.0, "cls": 1.0, "dfl": 1.0, name: 3.0})(logits, targets, 0.0)
        assert {key: round(float(other[key] / plain[key]), 4) for key in plain} == {
            key: 3.0 if key == name else 1.0 for key in plain
        }


@pytest.mark.parametrize(
    ("strides", "smallest"), [([8, 16, 32], 16), ([32, 8, 16], 16), ([4, 8, 16, 32], 8), ([64.0], 64), ([32, 8], 32)]
)
def test_small_boxes_are_enlarged_to_the_second_finest_stride(strides: list[float], smallest: float) -> None:
    assert smallest_side(strides) == smallest


def test_levels_may_come_in_any_order() -> None:
    head, turned = head_of(), head_of()
    turned.set_stride(torch.tensor([32.0, 8.0, 16.0]))
    logits, targets = logits_of(head), Targets.of_boxes(BOXES, INPUT)
    expected = head.criterion(GAINS)(logits, targets, 0.0)
    found = turned.criterion(GAINS)([logits[2], logits[0], logits[1]], targets, 0.0)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_a_perfect_prediction_answers_for_its_box() -> None:
    """Its trade-off in complete IoU would be 0 / 0."""
    head = head_of(reg_max=1)
    logits = logits_of(head, images=1)
    logits[1][0, :4, 1, 2] = 1.0  # distances in cells of 16 px about (40, 24)
    for level in logits:
        level.requires_grad_()
    box = torch.tensor([[0, 1, 40 / 128, 24 / 64, 32 / 128, 32 / 64]])  # exact in a power of two
    losses = head.criterion(GAINS)(logits, Targets.of_boxes(box, (64, 128)), 0.0)
    gradients = torch.autograd.grad(total(losses), logits)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert gradients[1][0, 4 + 1, 1, 2] < 0, "its score is to rise"


def test_a_validation_may_come_first() -> None:
    """What a loss keeps for later steps can be differentiated, wherever it was made."""
    head = AnchorFreeDetect(3, (16, 16))
    head.set_stride(torch.tensor([24.0, 48.0]))  # of which nothing was kept before
    logits = [torch.randn(1, 67, 5, 7), torch.randn(1, 67, 3, 4)]
    targets = Targets.of_boxes(torch.tensor([[0, 1, 0.5, 0.5, 0.6, 0.6]]), (120, 168))
    criterion = head.criterion(GAINS)
    with torch.inference_mode():
        measured = criterion(logits, targets, 0.0)
    losses = criterion([level.requires_grad_() for level in logits], targets, 0.0)
    total(losses).backward()
    assert {name: value.item() for name, value in measured.items()} == {
        name: value.item() for name, value in losses.items()
    }


# Regions to ignore

REGION = torch.tensor([[0, 0.25, 0.5, 0.5, 1.0]])  # the left half of the first image


@pytest.mark.parametrize("kwargs", [{}, {"reg_max": 1, "end2end": True}])
def test_cells_in_a_region_do_not_count(kwargs: dict[str, object]) -> None:
    """Where they answer for no box their logits have no gradient; all others have the one that they have anyway."""
    head = head_of(**kwargs)
    logits = [level.requires_grad_() for level in logits_of(head)]
    criterion = head.criterion(GAINS)
    none = torch.zeros(0, 6)
    losses = criterion(logits, Targets(none, REGION, INPUT), 0.5)
    gradients = torch.autograd.grad(total(losses), logits)
    plain = torch.autograd.grad(total(criterion(logits, Targets.of_boxes(none, INPUT), 0.5)), logits)
    for (height, width), gradient, without in zip(SIZES * len(head.branches), gradients, plain, strict=True):
        left = (width + 1) // 2 if width == 3 else width // 2
        inside = left - (1 if width == 3 else 0)  # the middle column's points lie on the border: not strictly inside
        assert not gradient[0, :, :, :inside].any(), (height, width)
        assert torch.equal(gradient[0, :, :, inside:], without[0, :, :, inside:])
        assert torch.equal(gradient[1], without[1])


def test_cells_in_a_region_that_answer_for_a_box_count() -> None:
    head = head_of()
    logits = [level.requires_grad_() for level in logits_of(head)]
    criterion = head.criterion(GAINS)
    everywhere = torch.tensor([[0, 0.5, 0.5, 1.0, 1.0], [1, 0.5, 0.5, 1.0, 1.0]])
    ignoring = criterion(logits, Targets(BOXES, everywhere, INPUT), 0.0)
    plain = criterion(logits, Targets.of_boxes(BOXES, INPUT), 0.0)
    assert ignoring["box"] == plain["box"]
    assert ignoring["dfl"] == plain["dfl"]
    gradients = torch.autograd.grad(ignoring["cls"], logits, retain_graph=True)
    expected = torch.autograd.grad(plain["cls"], logits)
    counted = [gradient.abs().sum(1) > 0 for gradient in gradients]  # (B, H, W) each
    assert 0 < sum(int(level.sum()) for level in counted) < 60
    for gradient, without, level in zip(gradients, expected, counted, strict=True):
        assert torch.equal(gradient.transpose(0, 1)[:, level], without.transpose(0, 1)[:, level])
