"""The anchor-based loss beside regions to ignore: what lies in one and matched no box does not count."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.losses.anchor import AnchorLoss
from models.losses.anchor_assignment import assign
from models.losses.targets import Targets

GAINS = {"box": 0.05, "obj": 1.0, "cls": 0.5, "cls_pw": 1.0, "obj_pw": 1.0, "anchor_t": 4.0, "imgsz": 96}
ANCHORS = torch.tensor([[[1.25, 1.6], [2.0, 3.75]], [[1.9, 3.8], [3.9, 2.8]]])
GRIDS, INPUT = [(8, 12), (4, 6)], (64, 96)
HEAD = SimpleNamespace(anchors=ANCHORS, stride=torch.tensor([8.0, 16.0]), nc=3)
BOXES = torch.tensor([[0, 1, 0.3, 0.5, 0.2, 0.4], [1, 2, 0.6, 0.4, 0.3, 0.4]])
LEFT = torch.tensor([[0, 0.25, 0.5, 0.5, 1.0]])  # half of the first image


def logits_of() -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(2, 2, *size, 8, generator=generator).requires_grad_() for size in GRIDS]


def losses_of(logits: list[Tensor], boxes: Tensor, ignore: Tensor) -> dict[str, Tensor]:
    return AnchorLoss(HEAD, GAINS)(logits, Targets(boxes, ignore, INPUT), 0.0)


def matched_of(boxes: Tensor) -> list[Tensor]:
    """Per level `(B, A, H, W)`: which anchors matched a box."""
    found = []
    for (height, width), anchors in zip(GRIDS, ANCHORS, strict=True):
        match = assign(boxes, anchors, (height, width), 4.0)
        level = torch.zeros(2, 2, height, width, dtype=torch.bool)
        level[match.image, match.anchor, match.row, match.column] = True
        found.append(level)
    return found


def test_objectness_in_a_region_counts_where_a_box_was_matched() -> None:
    logits = logits_of()
    losses = losses_of(logits, BOXES, LEFT)
    gradients = torch.autograd.grad(losses["obj"], logits)
    for (_, width), gradient, matched in zip(GRIDS, gradients, matched_of(BOXES), strict=True):
        expected = torch.ones_like(matched)
        expected[0, :, :, : width // 2] = False
        assert torch.equal(gradient[..., 4] != 0, expected | matched)
        assert matched[0, :, :, : width // 2].any(), "the case would show nothing"


def test_the_mean_is_over_the_cells_that_count() -> None:
    logits = logits_of()
    found = losses_of(logits, torch.zeros(0, 6), LEFT)["obj"]
    expected = torch.zeros(())
    for level, weight in zip(logits, (4.0, 1.0), strict=True):
        objectness, half = level[..., 4], level.shape[3] // 2
        counted = torch.cat((objectness[0, :, :, half:].flatten(), objectness[1].flatten()))
        expected = expected + weight * functional.softplus(counted).mean()
    torch.testing.assert_close(found, expected * (96 / 640) ** 2 * 3 / 2)


def test_boxes_and_classes_are_learnt_all_the_same() -> None:
    everywhere = torch.tensor([[image, 0.5, 0.5, 1.0, 1.0] for image in (0, 1)])
    plain, ignoring = (losses_of(logits_of(), BOXES, ignore) for ignore in (torch.zeros(0, 5), everywhere))
    assert (plain["box"], plain["cls"]) == (ignoring["box"], ignoring["cls"])
    assert plain["obj"] != ignoring["obj"]


@pytest.mark.parametrize("boxes", [BOXES, torch.zeros(0, 6)], ids=["boxes", "none"])
def test_where_nothing_else_counts_the_loss_stays_finite(boxes: Tensor) -> None:
    everywhere = torch.tensor([[image, 0.5, 0.5, 1.0, 1.0] for image in (0, 1)])
    logits = logits_of()
    losses = losses_of(logits, boxes, everywhere)
    assert all(torch.isfinite(loss) for loss in losses.values())
    total = torch.stack([*losses.values()]).sum()
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(total, logits))
    assert (losses["obj"] == 0) == (not len(boxes))


def test_a_region_in_which_no_point_lies_changes_nothing() -> None:
    corner = torch.tensor([[0, 0.0, 0.0, 1 / 96, 1 / 64]])
    plain, ignoring = (losses_of(logits_of(), BOXES, ignore) for ignore in (torch.zeros(0, 5), corner))
    for name in plain:
        torch.testing.assert_close(ignoring[name], plain[name])
