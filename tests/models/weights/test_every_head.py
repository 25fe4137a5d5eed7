"""Weights between detectors of every head: class by class where the heads agree, all but the head where they do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from files.classes import Classes
from models import Detector, build_model
from models.weights.report import Outcome
from models.weights.source import SourceWeights
from models.weights.transfer import transfer_weights
from tests.heads import HEADS, Head

BACKBONE = [
    [-1, 1, "Conv", [8, 3, 4]],
    [-1, 1, "SAConv2d", [16, 3, 2]],
    [-1, 2, "C2f", [16, True], {"conv": "SPConv"}],
    [-1, 1, "Conv", [16, 3, 2]],
]
SOURCES = (3, 2)  # the coarsest level first
HEAD = f"model.{len(BACKBONE)}."
IDS = [head.name for head in HEADS]


def detector(head: Head, *names: str) -> Detector:
    model = build_model(head.configuration(BACKBONE, SOURCES), num_classes=len(names))
    model.classes = Classes.of(names)
    return model


def checkpoint(head: Head, randomise: Any) -> tuple[Detector, SourceWeights]:
    """A detector of birds and cats whose outputs depend on every weight, and its checkpoint."""
    model = randomise(detector(head, "bird", "cat"))
    return model.eval(), SourceWeights(model.state_dict(), "a test", model.yaml, model.classes)


@pytest.mark.parametrize("head", HEADS, ids=IDS)
def test_classes_are_taken_over_by_name(head: Head, randomise: Any) -> None:
    given, source = checkpoint(head, randomise)
    own = detector(head, "cat", "dog", "cow")
    report = transfer_weights(own, source)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected, actual = given.predict(images), own.eval().predict(images)
    torch.testing.assert_close(actual.boxes_xyxy, expected.boxes_xyxy, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(actual.scores[..., 0], expected.scores[..., 1], rtol=1e-5, atol=1e-6)
    for new in (1, 2):
        assert not torch.allclose(actual.scores[..., new], expected.scores[..., 0], rtol=1e-2, atol=0)
    of_head = {each.how for each in report.transfers if each.keys[0].startswith(HEAD)}
    assert any("the 1 classes that both know" in how for how in of_head), of_head
    assert {each.outcome for each in report.transfers} == {Outcome.TAKEN, Outcome.CONVERTED}


@pytest.mark.parametrize("head", HEADS, ids=IDS)
@pytest.mark.parametrize("other", HEADS, ids=IDS)
def test_another_heads_weights_bring_the_rest_along(head: Head, other: Head, randomise: Any) -> None:
    given, source = checkpoint(head, randomise)
    own = detector(other, "bird", "cat")
    before = {key: value.clone() for key, value in own.head.state_dict().items()}
    outcomes = {each.keys[0]: each.outcome for each in transfer_weights(own, source).transfers}
    assert {outcome for key, outcome in outcomes.items() if not key.startswith(HEAD)} == {Outcome.TAKEN}
    for key, value in own.model[:-1].state_dict().items():
        assert torch.equal(value, given.model[:-1].state_dict()[key])
    of_head = {outcome for key, outcome in outcomes.items() if key.startswith(HEAD)}
    if other is head:
        assert of_head == {Outcome.TAKEN}
    if "anchor-based" in (head.name, other.name) and other is not head:
        assert of_head == {Outcome.LEFT}
        assert all(torch.equal(value, before[key]) for key, value in own.head.state_dict().items())
