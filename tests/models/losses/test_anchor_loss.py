"""The anchor-based loss against a slow reference written as loops, and against properties."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.losses.anchor import AnchorLoss, objectness_balance
from models.losses.anchor_assignment import assign
from models.losses.targets import Targets
from tests.models.losses.scalar_reference import anchor_loss, matches

GAINS = {"box": 0.05, "obj": 1.0, "cls": 0.5, "cls_pw": 1.0, "obj_pw": 1.0, "anchor_t": 4.0, "label_smoothing": 0.0}
GAINS["imgsz"] = 640
ANCHORS = torch.tensor([[[1.25, 1.6], [2.0, 3.75], [4.1, 2.9]], [[1.9, 3.8], [3.9, 2.8], [3.7, 7.4]]])
GRIDS = [(8, 12), (4, 6)]


STRIDE = torch.tensor([8.0, 16.0])


def head(classes: int = 3) -> SimpleNamespace:
    return SimpleNamespace(anchors=ANCHORS, stride=STRIDE, nc=classes)


def measure(
    logits: list[torch.Tensor], rows: torch.Tensor, classes: int = 3, **gains: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the trainer differentiates, and the losses box, obj and cls as one vector."""
    losses = AnchorLoss(head(classes), {**GAINS, **gains})(logits, Targets.of_boxes(rows, (64, 96)), 0.0)
    assert list(losses) == ["box", "obj", "cls"]
    parts = torch.stack(list(losses.values()))
    return parts.sum() * len(logits[0]), parts.detach()


def random_logits(generator: torch.Generator, batch: int = 2, classes: int = 3) -> list[torch.Tensor]:
    return [torch.randn(batch, 3, h, w, 5 + classes, generator=generator) for h, w in GRIDS]


boxes = st.tuples(
    st.integers(0, 1),
    st.integers(0, 2),
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
    st.floats(0.02, 0.9),
    st.floats(0.02, 0.9),
)
targets_of = st.lists(boxes, max_size=6).map(lambda rows: torch.tensor(rows, dtype=torch.float32).view(-1, 6))


def near_a_tie(targets: torch.Tensor, anchors: torch.Tensor, grid: tuple[int, int], limit: float) -> bool:
    """Whether rounding could decide a comparison, so that loops and tensors may differ."""
    scale = torch.tensor([grid[1], grid[0]], dtype=torch.float32)
    half = (targets[:, 2:4] * scale * 2) % 1
    ratio = (targets[:, 4:] * scale)[None] / anchors[:, None]
    close = (torch.maximum(ratio, 1 / ratio) - limit).abs() < 1e-3
    return bool(((half < 1e-3) | (half > 1 - 1e-3)).any() or close.any())


@given(targets=targets_of)
@settings(deadline=None, max_examples=100)
def test_assignment_equals_the_loop(targets: torch.Tensor) -> None:
    for anchors, grid in zip(ANCHORS, GRIDS, strict=True):
        if near_a_tie(targets, anchors, grid, 4.0):
            continue
        match = assign(targets, anchors, grid, 4.0)
        fields = (match.image, match.anchor, match.row, match.column, match.label)
        rows = list(zip(*(field.tolist() for field in fields), strict=True))
        assert set(rows) == {
            (*cell, label) for cell, _, label in matches(targets.tolist(), anchors.tolist(), *grid, 4.0)
        }


def test_matched_box_is_relative_to_its_cell() -> None:
    targets = torch.tensor([[0, 1, 0.30, 0.55, 0.25, 0.5]])
    match = assign(targets, ANCHORS[0], GRIDS[0], 4.0)
    corner = torch.stack((match.column, match.row), 1)
    absolute = match.box.clone()
    absolute[:, :2] += corner
    expected = torch.tensor([0.30 * 12, 0.55 * 8, 0.25 * 12, 0.5 * 8]).expand_as(absolute)
    torch.testing.assert_close(absolute, expected)
    assert (match.box[:, :2] > -0.5).all()
    assert (match.box[:, :2] < 1.5).all()


@pytest.mark.parametrize("seed", range(4))
def test_loss_equals_scalar_arithmetic(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = random_logits(generator)
    targets = torch.rand(7, 6, generator=generator) * torch.tensor([2, 3, 1, 1, 0.4, 0.6]) + torch.tensor(
        [0, 0, 0, 0, 0.1, 0.1]
    )
    targets[:, :2] = targets[:, :2].floor()
    loss, parts = measure(logits, targets)
    lists = [level.tolist() for level in logits]
    expected = list(anchor_loss(lists, targets.tolist(), ANCHORS.tolist(), STRIDE.tolist(), GAINS).values())
    assert parts.tolist() == pytest.approx(expected, rel=1e-4)
    assert loss.item() == pytest.approx(sum(expected) * 2, rel=1e-4)


def test_no_targets_still_teaches_that_nothing_is_there() -> None:
    logits = [level.requires_grad_() for level in random_logits(torch.Generator().manual_seed(0))]
    loss, parts = measure(logits, torch.zeros(0, 6))
    loss.backward()
    assert parts[0] == 0
    assert parts[2] == 0
    for level in logits:
        assert level.grad is not None
        assert (level.grad[..., 4] > 0).all()
        assert (level.grad[..., :4] == 0).all()


def test_order_of_boxes_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = random_logits(generator)
    targets = torch.tensor([[0, c, 0.5, 0.5, 0.3 + 0.05 * c, 0.5] for c in range(3)])
    forward, backward = (measure(logits, rows)[1] for rows in (targets, targets.flip(0)))
    torch.testing.assert_close(forward, backward)


def test_descending_the_loss_fits_the_boxes() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = [level.requires_grad_() for level in random_logits(generator)]
    targets = torch.tensor([[0, 1, 0.3, 0.4, 0.2, 0.5], [1, 2, 0.7, 0.6, 0.4, 0.4]])
    optimizer = torch.optim.Adam(logits, lr=0.1)
    start = measure(logits, targets)[1][0]
    for _ in range(200):
        optimizer.zero_grad()
        loss, parts = measure(logits, targets)
        loss.backward()
        optimizer.step()
    # Not 0: a centre on the border of what a neighbouring cell can express is only approached.
    assert parts[0] < 0.05 * start
    match = assign(targets, ANCHORS[0], GRIDS[0], 4.0)
    found = logits[0][match.image, match.anchor, match.row, match.column]
    assert (found[:, 5:].argmax(1) == match.label).all()


def test_one_class_has_no_class_loss() -> None:
    logits = random_logits(torch.Generator().manual_seed(3), classes=1)
    _, parts = measure(logits, torch.tensor([[0, 0, 0.5, 0.5, 0.3, 0.5]]), classes=1)
    assert parts[2] == 0
    assert parts[0] > 0


def test_label_smoothing_raises_the_loss_of_certainty() -> None:
    logits = [level * 0 for level in random_logits(torch.Generator().manual_seed(4))]
    for level in logits:
        level[..., 6] = 12.0
        level[..., [5, 7]] = -12.0
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.5]])
    certain, smooth = (measure(logits, targets, label_smoothing=s)[1][2].item() for s in (0.0, 0.1))
    assert certain < 1e-4
    assert smooth > 100 * certain


@pytest.mark.parametrize("logit", [-200.0, -12.0, -6.0, 12.0, 200.0])
def test_extreme_sizes_have_a_finite_gradient(logit: float) -> None:
    logits = random_logits(torch.Generator().manual_seed(5))
    for level in logits:
        level[..., 3] = logit
        level.requires_grad_()
    loss, _ = measure(logits, torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.5], [1, 0, 0.9, 0.1, 0.2, 0.2]]))
    loss.backward()
    assert all(torch.isfinite(level.grad).all() for level in logits if level.grad is not None)
    assert logits[0].grad is not None


def test_objectness_weighs_as_much_as_the_input_has_area() -> None:
    logits = random_logits(torch.Generator().manual_seed(6))
    rows = torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.5]])
    full, half = (measure(logits, rows, imgsz=imgsz)[1] for imgsz in (640, 320))
    assert half[1].item() == pytest.approx(full[1].item() / 4)
    assert torch.equal(half[[0, 2]], full[[0, 2]])


@pytest.mark.parametrize(
    ("stride", "weights"),
    [
        ([8], (4.0,)),
        ([8, 16], (4.0, 1.0)),
        ([8, 16, 32], (4.0, 1.0, 0.4)),
        ([32, 16, 8], (0.4, 1.0, 4.0)),
        ([16, 32, 8], (1.0, 0.4, 4.0)),
        ([64, 8, 32, 16], (0.06, 4.0, 0.25, 1.0)),
        ([8, 16, 32, 64, 128], (4.0, 1.0, 0.25, 0.06, 0.02)),
        ([2, 4, 8, 16, 32, 64, 128], (4.0, 1.0, 0.25, 0.06, 0.02, 0.02, 0.02)),
    ],
)
def test_objectness_weights_belong_to_strides(stride: list[int], weights: tuple[float, ...]) -> None:
    assert objectness_balance(torch.tensor(stride, dtype=torch.float32)) == weights


def test_the_order_of_the_levels_does_not_matter() -> None:
    logits = random_logits(torch.Generator().manual_seed(7))
    rows = torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.5], [1, 0, 0.2, 0.6, 0.1, 0.1]])
    turned = SimpleNamespace(anchors=ANCHORS.flip(0), stride=STRIDE.flip(0), nc=3)
    losses = AnchorLoss(turned, GAINS)(logits[::-1], Targets.of_boxes(rows, (64, 96)), 0.0)
    torch.testing.assert_close(torch.stack(list(losses.values())), measure(logits, rows)[1])


@pytest.mark.parametrize(("boxes", "ignore"), [((2, 5), (0, 5)), ((2, 6), (1, 6)), ((6,), (0, 5))])
def test_targets_of_another_shape_are_refused(boxes: tuple[int, ...], ignore: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(n, [56]\)"):
        Targets(torch.zeros(boxes), torch.zeros(ignore), (64, 64))
