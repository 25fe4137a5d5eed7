"""Where a training stands."""

from __future__ import annotations

import pytest

from engine.options import TrainOptions
from engine.training.state import Progress


@pytest.mark.parametrize(
    ("patience", "epochs", "noval", "stalled"),
    [(3, 5, False, False), (3, 6, False, True), (3, 9, False, True), (0, 99, False, False), (3, 9, True, False)],
)
def test_patience(patience: int, epochs: int, noval: bool, stalled: bool) -> None:
    """The third epoch was best: with a patience of three, the sixth without gain is the last."""
    progress = Progress(epoch=epochs, best_fitness=0.5, best_epoch=2)
    assert progress.has_stalled(TrainOptions(patience=patience, noval=noval)) is stalled
