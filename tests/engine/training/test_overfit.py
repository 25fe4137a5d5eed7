"""Anchor-free detectors learn four pictures by heart: every box is found once, with its class, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from engine.postprocess import select_boxes
from models import build_model
from models.losses.targets import Targets

SIZE = 64
BOXES = [
    [(0, 20, 20, 24, 20), (1, 45, 44, 20, 28)],
    [(1, 32, 32, 30, 24)],
    [(0, 16, 48, 16, 16), (0, 48, 16, 22, 18), (1, 46, 46, 14, 20)],
    [],
]
"""Of each picture class, and cx, cy, w, h in pixels."""


def pictures() -> tuple[Tensor, Targets]:
    """Red and blue rectangles on grey, and what is true of them."""
    images, rows = torch.full((len(BOXES), 3, SIZE, SIZE), 0.4), []
    for number, boxes in enumerate(BOXES):
        for label, x, y, w, h in boxes:
            images[number, :, y - h // 2 : y + h // 2, x - w // 2 : x + w // 2] = 0.1
            images[number, 2 * label, y - h // 2 : y + h // 2, x - w // 2 : x + w // 2] = 0.9
            rows.append([number, label, x / SIZE, y / SIZE, w / SIZE, h / SIZE])
    return images, Targets.of_boxes(torch.tensor(rows), (SIZE, SIZE))


def config(**kwargs: Any) -> dict[str, Any]:
    widths = [(16, 2), (24, 2), (32, 1), (32, 2), (48, 1)]
    rows = [[-1, 1, "Conv", [width, 5, stride]] for width, stride in widths]
    # Strides 4 and 8: at first a cell predicts a box of 15 cells. Much larger than all boxes it would answer for none.
    return {"nc": 2, "backbone": rows, "head": [[[2, 4], 1, "AnchorFreeDetect", ["nc"], kwargs]]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"reg_max": 1, "end2end": True, "legacy_class_branch": False}],
    ids=["one pair of branches", "two pairs, raw distances"],
)
def test_four_pictures_are_learnt_by_heart(kwargs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, (images, targets) = build_model(config(**kwargs)), pictures()
    criterion = model.head.criterion(model.head.hyperparameters().model_dump())
    steps = 160
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps)
    history = []
    for step in range(steps):
        losses = criterion(model(images), targets, step / steps)
        loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        (loss * len(images)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        history.append({name: value.item() for name, value in losses.items()})
    assert history[-1]["box"] < 0.25 * history[0]["box"]

    with torch.no_grad():  # in training mode: so few steps hardly move the statistics of the batches
        predictions = model.predict(images)
    suppressed = model.head.needs_suppression
    found = select_boxes(predictions, needs_suppression=suppressed, conf_thres=0.5, iou_thres=0.6, max_det=10)
    for number, boxes in enumerate(BOXES):
        assert len(found[number]) == len(boxes), number
        if boxes:
            truth = torch.tensor(boxes, dtype=torch.float32)
            overlap, which = box_iou(found[number][:, :4], box_convert(truth[:, 1:], "cxcywh", "xyxy")).max(1)
            assert sorted(which.tolist()) == list(range(len(boxes)))
            assert (overlap > 0.75).all(), overlap
            assert torch.equal(found[number][:, 5], truth[which, 0])
