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
    data           see `engine.training.same_data`; older files lack it
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from engine.checkpoint import load_checkpoint
from engine.errors import EngineError
from engine.options import ResumeOptions, TrainOptions
from engine.runs import newest_checkpoint
from engine.training.damage import (
    DamageError,
    DataFacts,
    ProgressFacts,
    ScalerFacts,
    ScheduleFacts,
    check_count,
    check_facts,
    check_names,
    check_random,
    check_weights,
    entry_of,
    mapping_of,
)
from engine.training.hyperparameters import Hyperparameters, TrainingHyperparameters, parse_hyperparameters
from engine.training.optimizer import Group, groups_before_they_were_stored, stored_groups
from engine.training.rules import Rules
from engine.training.same_data import Contents, differences
from files.classes import Classes
from files.errors import InputError
from files.words import count, plural, short
from models.budget import model_budget

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        epoch: epochs that are complete.
        best_fitness, best_epoch: highest fitness so far, and its epoch (from 0).
        finished: no epoch is to come, and the report is written.
        extended_at: epochs that were complete when `--epochs` changed the length; `--patience` counts from there.
    """

    epoch: int = 0
    best_fitness: float = -1.0
    best_epoch: int = 0
    finished: bool = False
    extended_at: int = 0

    def has_stalled(self, options: TrainOptions) -> bool:
        """Whether `--patience` is exhausted."""
        measured = bool(options.patience) and not options.noval
        return measured and self.epoch - 1 - max(self.best_epoch, self.extended_at - 1) >= options.patience

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the checkpoint; a training of one length says nothing of it."""
        return {key: value for key, value in asdict(self).items() if key != "extended_at" or value}


@dataclass(frozen=True)
class SavedTraining:
    """A training as `last.pt` holds it, every entry checked.

    Attributes:
        path: the checkpoint.
        folder: the run's folder, where the training continues to write.
        options: with what the request changes.
        planned_epochs: its length before the request.
        content: the whole checkpoint.
        stamp: of the file when it was read; another one after every change.
    """

    path: Path
    folder: Path
    options: TrainOptions
    planned_epochs: int
    hyp: Hyperparameters
    progress: Progress
    content: Mapping[str, Any] = field(repr=False)
    stamp: int

    @property
    def state(self) -> Mapping[str, Any]:
        """The entry `training`."""
        return self.content["training"]

    @property
    def is_stale(self) -> bool:
        """Whether the file has changed since it was read."""
        return self.path.stat().st_mtime_ns != self.stamp

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

    def damaged(self, error: object) -> EngineError:
        """The error that says that an entry is damaged, with the remedy."""
        return _damaged(self.path, error)

    def check_data(self, classes: Classes, contents: Contents, batches: int, *, moved: bool) -> None:
        """Compares the data set with the one that the training began with, by content.

        Args:
            contents: see `contents_of`.
            batches: per epoch.
            moved: it was named anew, and must be the same. Where it lies where it lay, a difference is told.

        Raises:
            EngineError: its classes are others; or it was named anew, and differs.
        """
        name = self.options.data
        if classes != Classes.of(self.content["names"], self.content["category_ids"]):
            raise EngineError(
                f"{name}: its classes are no longer those of {self.path}; restore the data set, or start a new "
                f"training with --weights {self.path}"
            )
        found = self._differences(contents, batches)
        if found and moved:
            raise EngineError(
                f"{name}: is not the data set that {self.path} began with ({'; '.join(found)}); give that one, or "
                f"start a new training with --weights {self.path}"
            )
        if found:
            log.warning("warning: %s has changed since the training began (%s): it continues", name, "; ".join(found))

    def _differences(self, contents: Contents, batches: int) -> list[str]:
        if "data" in self.state:
            return differences(self.state["data"], contents)
        before = self.state["schedule"]["batches"]
        return [f"{batches} batches, not {before}"] if batches != before else []


def read_training(request: ResumeOptions) -> SavedTraining:
    """The training that `--resume` asks for.

    Raises:
        EngineError: there is no such file, it is damaged or foreign, holds no training, one that is complete, or does
            not lie in the folder of a run.
    """
    path = find_checkpoint(request.checkpoint)
    stamp = path.stat().st_mtime_ns
    content = load_checkpoint(path)
    if "training" not in content:
        beside = path.with_name("last.pt")
        remedy = f"resume from {beside}" if beside.is_file() else "resume from the last.pt of its run"
        raise EngineError(
            f"{path}: holds weights, but no training to continue; {remedy}, or start a new training with "
            f"--weights {path}"
        )
    try:
        saved = _parse(path, content, request, stamp)
    except DamageError as error:
        raise _damaged(path, error) from None
    _check_length(saved, request)
    if path.resolve().parent.name != "weights":
        raise EngineError(f"{path}: must lie in the folder 'weights' of its run to be resumed; put it back there")
    return saved


def find_checkpoint(place: str) -> Path:
    """The `last.pt` that is meant: itself, or the folder of its run, or the folder `weights` in it.

    Raises:
        EngineError: there is none.
    """
    path = Path(place)
    if path.is_dir():
        for file in (path / "weights" / "last.pt", path / "last.pt"):
            if file.is_file():
                return file
        newest = newest_checkpoint(path)
        hint = f"resume its newest run with --resume {newest}" if newest else "name the folder of a run"
        raise EngineError(f"{place}: has no weights/last.pt; {hint}")
    if not path.is_file():
        raise EngineError(f"{place}: no such checkpoint; check --resume")
    return path


def _damaged(path: Path, error: object) -> EngineError:
    best = path.with_name("best.pt")
    weights = best if best.is_file() else path
    return EngineError(
        f"{path}: its training cannot be continued: {error}; copy the file again, or start a new training with "
        f"--weights {weights}"
    )


def _check_length(saved: SavedTraining, request: ResumeOptions) -> None:
    """Raises EngineError where no epoch is to come, and none is asked for."""
    done, path = saved.progress.epoch, saved.path
    if request.epochs is not None and request.epochs <= done:
        raise EngineError(
            f"--epochs {request.epochs}: {count(done, 'epoch')} of {path} {plural(done, 'is', 'are')} complete; give "
            "more than that, or leave it out"
        )
    if saved.progress.finished and request.epochs is None:
        epochs = f"{done} of {saved.options.epochs} epochs"
        early = ", stopped early by --patience" if done < saved.options.epochs else ""
        raise EngineError(
            f"{path}: its training is complete ({epochs}{early}); extend it with --epochs, or start a new one with "
            f"--weights {path}"
        )


def _parse(path: Path, content: Mapping[str, Any], request: ResumeOptions, stamp: int) -> SavedTraining:
    """The checked value.

    Raises:
        DamageError: an entry is missing or wrong.
    """
    training = mapping_of(content["training"], "training")
    for name, facts in (("progress", ProgressFacts), ("schedule", ScheduleFacts)):
        check_facts(facts, entry_of(training, name, f"training.{name}"), f"training.{name}")
    if "data" in training:
        check_facts(DataFacts, training["data"], "training.data")
    options = _options(mapping_of(entry_of(training, "options", "training.options"), "training.options"))
    progress = Progress(**training["progress"])
    _check_progress(progress, options, content)
    with model_budget(options.model_budget):
        _check_tensors(content, training)
    planned = options.epochs
    options = request.applied_to(options)
    if options.epochs != planned or (request.epochs is not None and progress.finished):
        progress = replace(progress, finished=False, extended_at=progress.epoch)
    return SavedTraining(
        path=path,
        folder=path.resolve().parents[1],
        options=options,
        planned_epochs=planned,
        hyp=_hyp(mapping_of(entry_of(training, "hyp", "training.hyp"), "training.hyp")),
        progress=progress,
        content=content,
        stamp=stamp,
    )


def _options(values: Mapping[str, Any]) -> TrainOptions:
    known = {field.name for field in fields(TrainOptions)}
    for name in values:
        if name not in known:
            raise DamageError(f"training.options: {short(name)} is of another version of this project")
    rows = values.get("freeze", [])
    if not isinstance(rows, list):
        raise DamageError(f"training.options.freeze: {short(rows)} is not a list of rows")
    try:
        options = TrainOptions.from_dict({**values, "freeze": rows})
    except EngineError as error:
        raise DamageError(f"training.options: {error}") from None
    for name in ("data", "hyp", "optimizer", "epochs", "batch_size", "imgsz"):
        if not getattr(options, name):
            raise DamageError(f"training.options.{name}: is missing")
    return options


def _hyp(values: Mapping[str, Any]) -> Hyperparameters:
    for name in TrainingHyperparameters.model_fields:
        entry_of(values, name, f"training.hyp.{name}")  # a default in its place would change the training
    for name, value in values.items():
        if not isinstance(value, int | float | str):
            raise DamageError(f"training.hyp.{name}: {short(value)} is not a number")
    try:
        return parse_hyperparameters(values, "training.hyp")
    except InputError as error:
        raise DamageError(str(error)) from None


def _check_progress(progress: Progress, options: TrainOptions, content: Mapping[str, Any]) -> None:
    epoch = progress.epoch
    if epoch > options.epochs:
        raise DamageError(f"training.progress.epoch: {epoch} is more than the {options.epochs} of the training")
    if progress.best_epoch >= epoch:
        raise DamageError(f"training.progress.best_epoch: {progress.best_epoch} is not one of its {epoch} epochs")
    if content.get("epoch") != epoch:
        raise DamageError(f"epoch: {short(content.get('epoch'))} is not the {epoch} of training.progress")


def _check_tensors(content: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    """Weights, their average, generators: what can be checked without the network."""
    check_names(entry_of(content, "names", "names"), entry_of(content, "category_ids", "category_ids"))
    mapping_of(entry_of(content, "yaml", "yaml"), "yaml")
    check_count(entry_of(content, "imgsz", "imgsz"), "imgsz")
    check_weights(entry_of(content, "model", "model"), "model")
    check_weights(entry_of(training, "model", "training.model"), "training.model")
    check_count(entry_of(training, "ema_updates", "training.ema_updates"), "training.ema_updates")
    check_random(entry_of(training, "random", "training.random"))
    mapping_of(entry_of(training, "optimizer", "training.optimizer"), "training.optimizer")
    scaler = mapping_of(entry_of(training, "scaler", "training.scaler"), "training.scaler")
    if scaler:  # empty where it was off, such as on a CPU
        check_facts(ScalerFacts, scaler, "training.scaler")
