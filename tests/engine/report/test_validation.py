"""Files that an evaluation writes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torchvision.ops import box_convert

from engine.metrics.evaluate import Sample
from engine.report.validation import predicted_targets, write_predictions


def test_predictions_in_the_layout_of_targets():
    batch = SimpleNamespace(images=torch.zeros(3, 3, 100, 200))
    first = torch.tensor([[20.0, 10, 60, 30, 0.75, 4]])
    last = torch.tensor([[0.0, 0, 200, 100, 0.5, 1], [100, 50, 150, 75, 0.25, 0]])
    rows = predicted_targets(Sample(batch, [first, torch.zeros(0, 6), last]))
    assert rows[:, 0].tolist() == [0, 2, 2]
    assert rows[:, 1].tolist() == [4, 1, 0]
    assert rows[:, 6].tolist() == [0.75, 0.5, 0.25]
    pixels = box_convert(rows[:, 2:6] * torch.tensor([200, 100, 200, 100]), "cxcywh", "xyxy")
    torch.testing.assert_close(pixels, torch.cat((first, last))[:, :4])
    assert predicted_targets(Sample(batch, [torch.zeros(0, 6)] * 3)).shape == (0, 7)


def test_written_predictions_are_rounded_and_the_given_ones_are_not(tmp_path):
    detections = [{"image_id": 12, "category_id": 90, "bbox": [1.23456, 2.0, 3.00049, 4.9996], "score": 0.1234567}]
    path = tmp_path / "predictions.json"
    write_predictions(detections, path)
    expected = {"image_id": 12, "category_id": 90, "bbox": [1.235, 2.0, 3.0, 5.0], "score": 0.12346}
    assert json.loads(path.read_text()) == [expected]
    assert detections[0]["score"] == pytest.approx(0.1234567, abs=0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictions.json"]
