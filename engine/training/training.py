"""A training as one value, the same whether it is new or resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data.coco.records import CocoSplit
from data.loading.loader import Loader
from engine.metrics.coco import CocoEvaluator
from engine.options import TrainOptions
from engine.training.hyperparameters import Hyperparameters
from engine.training.learner import Learner
from engine.training.rules import Rules
from engine.training.same_data import contents_of
from engine.training.state import Progress
from files.classes import Classes


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training learns from, and what it is measured on.

    Attributes:
        train, val: the splits; both have the same classes.
        train_loader: augmented batches.
        val_loader: rectangular batches without augmentation.
        evaluator: the truth of the validation split.
    """

    train: CocoSplit
    val: CocoSplit
    train_loader: Loader
    val_loader: Loader
    evaluator: CocoEvaluator

    @property
    def classes(self) -> Classes:
        """Names and ids, in class order."""
        return self.train.classes

    @cached_property
    def contents(self) -> dict[str, dict[str, Any]]:
        """What a later resumption knows them by; see `engine.training.same_data`."""
        return contents_of(self.train, self.val)


@dataclass(frozen=True, eq=False)
class Training:
    """Everything that the loop needs.

    Attributes:
        options: complete: nothing is left to the data set or to defaults.
        hyp: the recipe, flags of the command line included.
        rules: what older versions did in another way, and this training does as it began.
        progress: where it stands; the loop advances it.
        folder: where it writes; exists.
    """

    options: TrainOptions
    hyp: Hyperparameters
    rules: Rules
    data: TrainingData
    learner: Learner
    progress: Progress
    folder: Path

    @property
    def weights_folder(self) -> Path:
        """Where its checkpoints lie."""
        return self.folder / "weights"

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch; may not exist yet."""
        return self.weights_folder / "best.pt"

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch, with all that continues the training; may not exist yet."""
        return self.weights_folder / "last.pt"


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training came to.

    Attributes:
        folder: the run's folder.
        best, last: its checkpoints; None where it was interrupted before the first epoch was complete.
        best_epoch: the epoch of `best`, counted from 0 as in `history`; 0 where there is none.
        figures: the twelve COCO figures of `best` on the validation split, by name (`engine.metrics.coco.FIGURES`), in
            [0, 1], nan where undefined; empty where the training was interrupted.
        history: one entry per epoch, the rows of results.csv: losses, figures, learning rate.
        interrupted: Ctrl-C ended it; `train(ResumeOptions(str(result.last)))` continues.
    """

    folder: Path
    best: Path | None
    last: Path | None
    best_epoch: int
    figures: Mapping[str, float]
    history: tuple[Mapping[str, float], ...]
    interrupted: bool
