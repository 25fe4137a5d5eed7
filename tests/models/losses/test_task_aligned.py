"""Assignment and loss of the anchor-free head against golden numbers, a slow reference, and properties."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import models.losses.cells
import models.losses.task_aligned
from models.heads.anchor_free import AnchorFreeDetect
from models.losses.anchor_free import AnchorFreeLoss
from models.losses.cells import Grid
from models.losses.targets import Targets, Truths
from models.losses.task_aligned import MANY, ONE, Assignment, Predicted, Rule, assign, smallest_side
from tests.models.losses import task_aligned_reference as reference
from tests.places import GOLDEN

GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}
Shapes = Sequence[tuple[int, int]]


def head_of(nc: int, reg_max: int, strides: Sequence[float]) -> AnchorFreeDetect:
    head = AnchorFreeDetect(nc, (16,) * len(strides), reg_max)
    head.set_stride(torch.tensor(strides))
    return head


def levels_of(flat: Tensor, shapes: Shapes) -> list[Tensor]:
    """Logits per level from `(B, C, N)`."""
    parts = flat.split([h * w for h, w in shapes], 2)
    return [part.unflatten(2, shape) for part, shape in zip(parts, shapes, strict=True)]


def assigned(head: AnchorFreeDetect, flat: Tensor, shapes: Shapes, targets: Targets, rule: Rule) -> Assignment:
    box_logits, class_logits = flat.transpose(1, 2).split((4 * head.reg_max, head.nc), 2)
    grid = Grid.of(levels_of(flat, shapes), tuple(head.stride.tolist()))
    return assign(Predicted(grid.cells.boxes_xyxy(head.dfl(box_logits)), class_logits), Truths.of(targets), grid, rule)


# Golden numbers


class Golden:
    """One golden file."""

    def __init__(self, file: Path) -> None:
        content = np.load(file)
        self.meta: dict[str, Any] = json.loads(str(content["meta"]))
        self.tensors = {key: torch.from_numpy(content[key]) for key in content.files if key != "meta"}
        self.shapes = [(h, w) for h, w in self.meta["levels_hw"]]
        self.head = head_of(self.meta["nc"], self.meta["reg_max"], [float(s) for s in self.meta["strides"]])
        self.rule = Rule(self.meta["topk"], self.meta["topk2"])
        self.targets = Targets.of_boxes(self.tensors["targets"], (128, 192))
        self.flat = torch.cat((self.tensors["box_logits"], self.tensors["class_logits"]), 1)


FILES = sorted(GOLDEN.glob("tal_*.npz"))
golden = pytest.mark.parametrize("golden", FILES or [None], ids=lambda file: file.stem if file else "absent")
needs_golden = pytest.mark.skipif(not FILES, reason="the golden losses are not there")


@needs_golden
@golden
def test_the_golden_assignment_is_found(golden: Path) -> None:
    case = Golden(golden)
    assert (case.meta["alpha"], case.meta["beta"]) == (0.5, 6.0)
    assert smallest_side(case.meta["strides"]) == case.meta["smallest_side_px"]
    found = assigned(case.head, case.flat, case.shapes, case.targets, case.rule)
    images = case.targets.boxes[:, 0]
    within = torch.tensor([int((images[:row] == image).sum()) for row, image in enumerate(images)], dtype=torch.int64)
    box = torch.full(case.tensors["positive"].shape, -1)
    box[found.image, found.cell] = within[found.box]
    assert torch.equal(box >= 0, case.tensors["positive"])
    assert torch.equal(box, case.tensors["target_index"].long())
    weight = torch.zeros(box.shape)
    weight[found.image, found.cell] = found.weight
    torch.testing.assert_close(weight, case.tensors["weight"], rtol=1e-4, atol=1e-6)


@needs_golden
@golden
def test_the_golden_losses_and_gradients_are_found(golden: Path) -> None:
    case = Golden(golden)
    assert case.meta["gains"] == GAINS
    criterion = AnchorFreeLoss(case.head, GAINS)
    case.flat.requires_grad_()
    losses = criterion.pair_losses(levels_of(case.flat, case.shapes), case.targets, case.rule)
    assert list(losses) == ["box", "cls", "dfl"]
    parts = torch.stack(list(losses.values()))
    torch.testing.assert_close(parts.detach(), case.tensors["losses"], rtol=1e-4, atol=1e-6)
    (gradient,) = torch.autograd.grad(parts.sum(), case.flat)
    expected = torch.cat((case.tensors["grad_box_logits"], case.tensors["grad_class_logits"]), 1)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


# The slow reference

SHAPES = [(8, 16), (4, 8), (2, 4)]
STRIDES = [8.0, 16.0, 32.0]
HEIGHT, WIDTH = 64, 128  # px; powers of two, so that fractions of them are exact


def eighths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(8 * low, 8 * high).map(lambda value: value / 8)


boxes = st.tuples(
    st.integers(0, 1),
    st.integers(0, 2),
    eighths(-10, WIDTH + 10),
    eighths(-10, HEIGHT + 10),
    st.one_of(st.just(0.0), eighths(0, 20), eighths(0, 2 * WIDTH)),
    st.one_of(st.just(0.0), eighths(0, 20), eighths(0, 2 * HEIGHT)),
)
regions = st.tuples(
    st.integers(0, 1), eighths(0, WIDTH), eighths(0, HEIGHT), eighths(0, 2 * WIDTH), eighths(0, 2 * HEIGHT)
)


def rows_of(values: Sequence[Sequence[float]], columns: int) -> Tensor:
    """Rows as fractions of the input; the last four columns are pixels in `values`."""
    rows = torch.tensor(values, dtype=torch.float32).view(-1, columns)
    rows[:, -4:] /= torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    return rows


def corners(box: Sequence[float]) -> reference.Box:
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def check_against_reference(
    seed: int, reg_max: int, nc: int, truths: Any, ignored: Any, rule: Rule, strides: Sequence[float] = STRIDES
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = [SHAPES[STRIDES.index(stride)] for stride in strides]
    cells = sum(h * w for h, w in shapes)
    flat = torch.randn(2, 4 * reg_max + nc, cells, generator=generator) * 2
    if reg_max == 1:
        flat[:, :4] += 2
    truths = [(image, label % nc, *box) for image, label, *box in truths]
    targets = Targets(rows_of(truths, 6), rows_of(ignored, 5), (HEIGHT, WIDTH))
    head = head_of(nc, reg_max, strides)

    points, sides = reference.cells(shapes, strides)
    logits = flat.double().transpose(1, 2).tolist()
    images, owners = [], []
    for number, rows in enumerate(logits):
        away = [reference.distances(row[: 4 * reg_max], reg_max) for row in rows]
        image = reference.Image(
            points=points,
            sides=sides,
            boxes=[reference.box_of(*each) for each in zip(points, sides, away, strict=True)],
            scores=[[1 / (1 + math.exp(-logit)) for logit in row[4 * reg_max :]] for row in rows],
            truths=[corners(box) for image, _, *box in truths if image == number],
            labels=[label for image, label, *_ in truths if image == number],
        )
        owners.append(reference.assign(image, sorted(strides)[:2][-1], rule.topk, rule.kept))
        images.append(image)

    found = assigned(head, flat, shapes, targets, rule)
    rows_of_image = [[row for row, (image, *_) in enumerate(truths) if image == number] for number in range(2)]
    expected = {(i, cell): rows_of_image[i][box] for i, owner in enumerate(owners) for cell, box in owner.items()}
    assert dict(zip(zip(*map(Tensor.tolist, found[:2]), strict=True), found.box.tolist(), strict=True)) == expected
    weights = [images[image].weight[cell] for image, cell in zip(*map(Tensor.tolist, found[:2]), strict=True)]
    torch.testing.assert_close(found.weight, torch.tensor(weights, dtype=torch.float32), rtol=1e-3, atol=1e-6)

    wanted = reference.losses(
        images,
        owners,
        logits,
        reg_max,
        (HEIGHT, WIDTH),
        [[corners(region) for image, *region in ignored if image == number] for number in range(2)],
    )
    criterion = AnchorFreeLoss(head, dict.fromkeys(GAINS, 1.0))
    measured = criterion.pair_losses(levels_of(flat, shapes), targets, rule)
    for name, value in wanted.items():
        assert float(measured[name]) == pytest.approx(value, rel=1e-4, abs=1e-5), name


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    reg_max=st.sampled_from([1, 4, 16]),
    nc=st.sampled_from([1, 3]),
    truths=st.lists(boxes, max_size=8),
    ignored=st.lists(regions, max_size=2),
    rule=st.sampled_from([MANY, ONE]),
    strides=st.sampled_from([STRIDES, [32.0, 8.0], [16.0, 32.0, 8.0], [16.0]]),
)
def test_random_cases_agree_with_the_reference(**case: Any) -> None:
    check_against_reference(**case)


@pytest.mark.parametrize("rule", [MANY, ONE], ids=["many", "one"])
def test_equal_boxes_agree_with_the_reference(rule: Rule) -> None:
    same = (0, 1, 40.0, 30.0, 50.0, 40.0)
    check_against_reference(1, 16, 3, [same, same, (0, 2, *same[2:]), (1, 0, *same[2:])], [], rule)


@pytest.mark.parametrize("rule", [MANY, ONE], ids=["many", "one"])
def test_300_boxes_in_an_image_agree_with_the_reference(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at in one go and in small portions."""
    generator = np.random.default_rng(5)
    sides = generator.integers(4, 400, (300, 2)) / 8
    places = generator.integers(0, 8 * HEIGHT, (300, 2)) / 8
    truths = [
        (1, int(i % 3), 2 * float(x), float(y), *map(float, size))
        for i, ((x, y), size) in enumerate(zip(places, sides, strict=True))
    ]
    check_against_reference(2, 4, 3, truths, [(1, 64.0, 32.0, 60.0, 60.0)], rule)
    monkeypatch.setattr(models.losses.task_aligned, "MOST_PAIRS", 50)
    monkeypatch.setattr(models.losses.cells, "MOST_PAIRS", 50)
    check_against_reference(2, 4, 3, truths, [(1, 64.0, 32.0, 60.0, 60.0)], rule)
