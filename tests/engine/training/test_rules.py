"""Which rules a training has, and what is said of stored ones that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import EngineError
from engine.options import TrainOptions
from engine.training.hyperparameters import load_hyperparameters
from engine.training.rules import Rules
from models import build_model


def test_a_new_training_has_the_current_rules() -> None:
    assert Rules.current().as_dict() == {
        "bias_warmup": "unstated",
        "categories": "leaves",
        "interpolation": "linear",
        "level_balance": "stride",
        "truth": "scan",
    }
    assert Rules.current().gains() == {}


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
    assert rules == Rules(
        bias_warmup=bias_warmup, categories="all", interpolation="area", level_balance="position", truth="file"
    )


def test_old_trainings_weigh_levels_by_position() -> None:
    cfg = {
        "nc": 1,
        "anchors": [[30, 61], [10, 13]],
        "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]]],
        "head": [[[1, 0], 1, "Detect", ["nc", "anchors"]]],
    }
    head = build_model(cfg).head
    gains = {**load_hyperparameters("scratch").for_head(head).gains(64)}
    old = Rules.before_they_were_stored(TrainOptions())
    assert head.criterion({**gains, **Rules.current().gains()}).balance == (1.0, 4.0)
    assert head.criterion({**gains, **old.gains()}).balance == (4.0, 1.0)


def test_rules_come_back() -> None:
    for rules in (
        Rules.current(),
        Rules("all", "all", "area", "position"),
        Rules("unstated", "leaves", "area", truth="file"),
    ):
        assert Rules.stored(rules.as_dict(), TrainOptions(), "last.pt") == rules


def test_a_rule_that_is_missing_is_as_it_was() -> None:
    options = TrainOptions(weights="a.pt", optimizer="SGD")
    assert Rules.stored({}, options, "last.pt") == Rules.before_they_were_stored(options)
    assert Rules.stored({"level_balance": "stride"}, options, "last.pt") == Rules(
        "unstated", "all", "area", "stride", "file"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "its rules are damaged"),
        ({"colour": "red"}, "rule 'colour' is not known"),
        ({3: "all"}, "rule 3 is not known"),
        ({"bias_warmup": "none"}, "rule bias_warmup: 'none' is not 'unstated' or 'all'"),
        ({"interpolation": [1]}, r"rule interpolation: \[1\] is not 'linear' or 'area'"),
    ],
)
def test_nonsense_is_one_line(values: Any, message: str) -> None:
    with pytest.raises(EngineError, match=rf"^a/last\.pt: {message}; .*$"):
        Rules.stored(values, TrainOptions(), "a/last.pt")
