"""The anchor-based loss on any number of levels in any order equals loops over plain numbers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.losses.anchor import AnchorLoss
from models.losses.targets import Targets
from tests.models.losses.scalar_reference import anchor_loss, balance

GAINS = {"box": 0.05, "obj": 0.7, "cls": 0.5, "cls_pw": 1.3, "obj_pw": 0.8, "anchor_t": 4.0, "label_smoothing": 0.1}
SCALED = {**GAINS, "obj": GAINS["obj"] * 0.2**2}  # `obj` is stated for 640 px
SIDES = {8: 16, 16: 8, 32: 4, 64: 2, 128: 1, 256: 1}  # stride: cells a side
ORDERS = {
    "three": [8, 16, 32],
    "three, coarsest first": [32, 16, 8],
    "three, mixed": [16, 32, 8],
    "two": [8, 16],
    "two, coarsest first": [16, 8],
    "five": [8, 16, 32, 64, 128],
    "six, coarsest first": [256, 128, 64, 32, 16, 8],
    "five, coarsest first": [128, 64, 32, 16, 8],
}
NUM_CLASSES = 3


def anchors_of(strides: list[int]) -> Tensor:
    """Two anchors a level, in cells; those of a level in pixels grow with its stride."""
    return torch.tensor([[[1.3 + 0.01 * s / 8, 1.7], [2.9, 2.2 - 0.01 * s / 8]] for s in strides])


def measured(strides: list[int], logits: list[Tensor], targets: Tensor) -> dict[str, float]:
    """What the module says."""
    head = SimpleNamespace(
        anchors=anchors_of(strides), nc=NUM_CLASSES, stride=torch.tensor(strides, dtype=torch.float32)
    )
    losses = AnchorLoss(head, {**GAINS, "imgsz": 128})(logits, Targets.of_boxes(targets, (128, 128)), 0.0)
    return {name: loss.item() for name, loss in losses.items()}


def near_a_tie(strides: list[int], targets: Tensor) -> bool:
    """Whether float32 could decide a comparison otherwise than float64 does."""
    for stride, anchors in zip(strides, anchors_of(strides), strict=True):
        cells = targets[:, 2:].double() * SIDES[stride]
        halves = cells[:, :2] * 2
        ratio = cells[None, :, 2:] / anchors[:, None]
        if ((halves - halves.round()).abs() < 1e-3).any() or ((torch.maximum(ratio, 1 / ratio) - 4).abs() < 1e-3).any():
            return True
    return False


row = st.tuples(
    st.integers(0, 1), st.integers(0, NUM_CLASSES - 1), *[st.floats(0.01, 0.99)] * 2, *[st.floats(0.02, 0.9)] * 2
)


@pytest.mark.parametrize("order", ORDERS)
@given(rows=st.lists(row, max_size=5), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=15)
def test_equals_the_loops(order: str, rows: list[tuple[float, ...]], seed: int) -> None:
    strides = ORDERS[order]
    targets = torch.tensor(rows, dtype=torch.float32).view(-1, 6)
    if near_a_tie(strides, targets):
        return
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, 2, SIDES[stride], SIDES[stride], 5 + NUM_CLASSES) for stride in strides]
    logits = [2 * torch.randn(shape, generator=generator) for shape in shapes]
    expected = anchor_loss(
        [level.tolist() for level in logits], targets.tolist(), anchors_of(strides).tolist(), strides, SCALED
    )
    assert measured(strides, logits, targets) == pytest.approx(expected, rel=2e-4, abs=1e-6)


def test_the_reference_weighs_fine_levels_most() -> None:
    assert balance([8, 16, 32]) == [4.0, 1.0, 0.4]
    assert balance([32, 8, 16]) == [0.4, 4.0, 1.0]
    assert balance([8, 16]) == [4.0, 1.0]
    assert balance([64, 32, 16, 8]) == [0.06, 0.25, 1.0, 4.0]
