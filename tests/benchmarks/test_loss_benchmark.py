"""The benchmark of the anchor-free loss compares two ways to the same result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import loss
from benchmarks.dense_assignment import assign_dense
from models.heads.anchor_free import AnchorFreeDetect
from models.losses.cells import Grid
from models.losses.targets import Truths
from models.losses.task_aligned import MANY, ONE, Predicted, Rule, assign


@pytest.mark.parametrize("rule", [MANY, ONE], ids=["many", "one"])
@pytest.mark.parametrize("per_image", [1, 40])
def test_the_dense_assignment_is_the_same(rule: Rule, per_image: int) -> None:
    torch.manual_seed(0)
    targets = loss.crowded_targets(2, per_image, 3, 96)
    grid = Grid.of([torch.zeros(2, 1, size, size) for size in (12, 6, 3)], (8.0, 16.0, 32.0))
    predicted = Predicted(grid.cells.boxes_xyxy(3 * torch.rand(2, grid.count, 4)), torch.randn(2, grid.count, 3))
    sparse = assign(predicted, Truths.of(targets), grid, rule)
    dense = assign_dense(predicted, Truths.of(targets), grid, rule)
    assert len(sparse.cell)
    for one, other in zip(sparse[:3], dense[:3], strict=True):
        assert torch.equal(one, other)
    torch.testing.assert_close(sparse.weight, dense.weight, rtol=1e-4, atol=1e-6)


def test_boxes_lie_in_the_image_and_have_many_sizes() -> None:
    boxes = loss.crowded_targets(2, 300, 80, 640).boxes
    assert boxes.shape == (600, 6)
    assert boxes[:, 0].long().bincount().tolist() == [300, 300]
    assert (boxes[:, 2:4] - boxes[:, 4:] / 2 >= -1e-6).all()
    assert (boxes[:, 2:4] + boxes[:, 4:] / 2 <= 1 + 1e-6).all()
    assert boxes[:, 4:].min() < 0.03
    assert boxes[:, 4:].max() > 0.4


def test_both_ways_give_the_same_gradients() -> None:
    torch.manual_seed(0)
    head = AnchorFreeDetect(3, (16, 16))
    head.set_stride(torch.tensor([8.0, 16.0]))
    logits, targets = [torch.randn(2, 67, 8, 8), torch.randn(2, 67, 4, 4)], loss.crowded_targets(2, 20, 3, 64)
    criterion = head.criterion({"box": 7.5, "cls": 0.5, "dfl": 1.5})
    sparse = loss.loss_of(criterion, logits, targets)()
    criterion.assign = assign_dense
    for one, other in zip(sparse, loss.loss_of(criterion, logits, targets)(), strict=True):  # type: ignore[call-overload]
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_table_says_the_share_of_a_step() -> None:
    figures = {"loss": loss.Figures(5, 10), "dense": loss.Figures(25, 100), "step": loss.Figures(100, 50)}
    lines = loss.table(figures).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["assignment and loss", "5.0", "5.0 %", "10"]
    assert "25.0 %" in lines[3]


def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "loss.json"
    flags = ["--imgsz", 64, "--boxes", 5, "--train-batch-size", 1, "--rounds", 1, "--device", "cpu", "--json", file]
    assert loss.main([str(flag) for flag in flags]) == 0
    assert "yolov8n.yaml, 64 px, 5 boxes per image" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert all(written[way]["ms"] > 0 and written[way]["mib"] > 0 for way in ("loss", "dense", "step"))
