"""Which rules a training has, and what is said of stored ones that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import EngineError
from engine.options import TrainOptions
from engine.training.rules import Rules


def test_a_new_training_has_the_current_rules() -> None:
    assert Rules.current().as_dict() == {"bias_warmup": "unstated", "interpolation": "linear"}


@pytest.mark.parametrize(
    ("weights", "optimizer", "bias_warmup"),
    [
        ("", "SGD", "all"),
        ("a.pt", "SGD", "unstated"),
        ("a.pt", "Adam", "all"),
        ("a.pt", "AdamW", "all"),
        ("", "Adam", "all"),
    ],
)
def test_rules_before_they_were_stored(weights: str, optimizer: str, bias_warmup: str) -> None:
    rules = Rules.before_they_were_stored(TrainOptions(weights=weights, optimizer=optimizer))
    assert rules == Rules(bias_warmup=bias_warmup, interpolation="area")


def test_rules_come_back() -> None:
    for rules in (Rules.current(), Rules("all", "area"), Rules("unstated", "area")):
        assert Rules.from_dict(rules.as_dict(), "last.pt") == rules


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "its rules are not bias_warmup, interpolation"),
        ({"bias_warmup": "all"}, "its rules are not bias_warmup, interpolation"),
        ({"bias_warmup": "all", "interpolation": "area", "x": 1}, "its rules are not bias_warmup, interpolation"),
        ({"bias_warmup": "none", "interpolation": "area"}, "rule bias_warmup: 'none' is not 'unstated' or 'all'"),
        ({"bias_warmup": "all", "interpolation": [1]}, r"rule interpolation: \[1\] is not 'linear' or 'area'"),
    ],
)
def test_nonsense_is_one_line(values: Any, message: str) -> None:
    with pytest.raises(EngineError, match=rf"^a/last\.pt: {message}; .*$"):
        Rules.from_dict(values, "a/last.pt")
