"""What `last.pt` holds beside the detector, so that a training continues exactly where it was.

The entry `training` of the checkpoint:

    options, hyp   what the training was started with
    schedule       epochs, batches per epoch, batch size, shape; with them the epoch gives every rate
    progress       see `Progress`
    rules          see `engine.training.rules`; files of older versions lack it
    groups         parameters, factors and flags of the optimiser's groups, in its order; older files lack it, too
    model          state dict of the trained weights; the checkpoint's own `model` is their moving average
    ema_updates    how many updates that average has seen
    optimizer, scaler   their state dicts
    random         see `engine.training.random_state`
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from engine.checkpoint import load_checkpoint
from engine.errors import EngineError
from engine.options import ResumeOptions, TrainOptions
from engine.training.hyperparameters import Hyperparameters, parse_hyperparameters
from engine.training.optimizer import Group, groups_before_they_were_stored, stored_groups
from engine.training.rules import Rules
from files.classes import Classes

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        epoch: epochs that are complete.
        best_fitness, best_epoch: highest fitness so far, and its epoch (from 0).
        finished: no epoch is to come, and the report is written.
    """

    epoch: int = 0
    best_fitness: float = -1.0
    best_epoch: int = 0
    finished: bool = False

    def has_stalled(self, options: TrainOptions) -> bool:
        """Whether `--patience` is exhausted."""
        measured = bool(options.patience) and not options.noval
        return measured and self.epoch - 1 - self.best_epoch >= options.patience


@dataclass(frozen=True)
class SavedTraining:
    """A training as `last.pt` holds it.

    Attributes:
        path: the checkpoint.
        folder: the run's folder, where the training continues to write.
        content: the whole checkpoint.
    """

    path: Path
    folder: Path
    options: TrainOptions
    hyp: Hyperparameters
    progress: Progress
    content: Mapping[str, Any] = field(repr=False)

    @property
    def state(self) -> Mapping[str, Any]:
        """The entry `training`."""
        return self.content["training"]

    @property
    def rules(self) -> Rules:
        """Those that the training began with.

        Raises:
            EngineError: they are none that are known here.
        """
        return Rules.stored(self.state.get("rules", {}), self.options, str(self.path))

    def groups(self, model: nn.Module) -> tuple[Group, ...]:
        """The groups of the optimiser that the training began with.

        Raises:
            EngineError: they are not those of the model.
        """
        if "groups" in self.state:
            return stored_groups(self.state["groups"], model, str(self.path))
        return groups_before_they_were_stored(model, self.options)

    def check_data(self, classes: Classes, batches: int) -> None:
        """Compares the data set with the one that the training began with.

        Raises:
            EngineError: its classes are others.
        """
        data = self.options.data
        if classes != Classes.of(self.content["names"], self.content["category_ids"]):
            raise EngineError(
                f"{data}: its classes are no longer those of {self.path}; restore the data set, or start a new "
                f"training with --weights {self.path}"
            )
        before = self.state["schedule"]["batches"]
        if batches != before:
            log.warning(
                "%s has %d batches where the training began with %d: it continues with them", data, batches, before
            )


def read_training(request: ResumeOptions) -> SavedTraining:
    """The training that `--resume` asks for.

    Raises:
        EngineError: there is no such file, it is damaged or foreign, holds no training, one that is complete, or does
            not lie in the folder of a run.
    """
    path = Path(request.checkpoint)
    if not path.is_file():
        raise EngineError(f"{path}: no such checkpoint; check --resume")
    content = load_checkpoint(path)
    if "training" not in content:
        raise EngineError(
            f"{path}: holds weights, but no training to continue; resume from the last.pt beside it, or start a new "
            f"training with --weights {path}"
        )
    try:
        saved = _parse(path, content)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise EngineError(
            f"{path}: its training is of another version of this project; start a new one with --weights {path}"
        ) from None
    if saved.progress.finished:
        epochs = f"{saved.progress.epoch} of {saved.options.epochs} epochs"
        early = ", stopped early by --patience" if saved.progress.epoch < saved.options.epochs else ""
        raise EngineError(f"{path}: its training is complete ({epochs}{early}); start a new one with --weights {path}")
    if path.resolve().parent.name != "weights":
        raise EngineError(f"{path}: must lie in the folder 'weights' of its run to be resumed; put it back there")
    return replace(saved, options=request.applied_to(saved.options))


def _parse(path: Path, content: Mapping[str, Any]) -> SavedTraining:
    training = content["training"]
    return SavedTraining(
        path=path,
        folder=path.resolve().parents[1],
        options=TrainOptions.from_dict(training["options"]),
        hyp=parse_hyperparameters(training["hyp"], str(path)),
        progress=Progress(**training["progress"]),
        content=content,
    )
