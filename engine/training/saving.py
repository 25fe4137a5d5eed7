"""What a training keeps after each epoch: last.pt, best.pt, and every n-th epoch where that is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from engine.checkpoint import save_checkpoint
from engine.training.training import Training
from files.errors import InputError
from models.detector import Detector
from models.weights.load import load_detector

log = logging.getLogger(__name__)


def save_epoch(training: Training, *, improved: bool) -> None:
    """Keeps the epoch that `training.progress` has just completed; as the best one too where it `improved`."""
    content = _weights(training)
    if improved:
        save_checkpoint(training.best, content)
    period, epoch = training.options.save_period, training.progress.epoch
    if period and epoch % period == 0:
        save_checkpoint(training.weights_folder / f"epoch{epoch}.pt", content)
    # Last, so that a training killed here resumes from an epoch whose best.pt may only be newer.
    _save_last(training, content)


def load_best(training: Training) -> Detector:
    """The detector of best.pt. Where that was removed or damaged, the last epoch's weights take its place."""
    device = training.learner.compute.device
    try:
        return load_detector(training.best, device)
    except InputError:
        state = "cannot be read" if training.best.is_file() else "is not there"
        log.warning("warning: %s %s any more; the weights of the last epoch take its place", training.best, state)
        training.progress.best_epoch = training.progress.epoch - 1
        save_checkpoint(training.best, _weights(training))
        return load_detector(training.best, device)


def save_finished(training: Training) -> None:
    """Notes in last.pt that the training is complete and its report written."""
    training.progress.finished = True
    _save_last(training, _weights(training))


def _weights(training: Training) -> dict[str, Any]:
    """What any checkpoint holds; see `engine.checkpoint`."""
    return {
        "model": training.learner.ema.module.state_dict(),
        "yaml": training.learner.model.yaml,
        "names": list(training.data.classes.names),
        "category_ids": list(training.data.classes.ids),
        "imgsz": training.options.imgsz,
        "epoch": training.progress.epoch,
    }


def _save_last(training: Training, content: Mapping[str, Any]) -> None:
    entry = {
        "options": training.options.as_dict(),
        "hyp": training.hyp.as_dict(),
        "progress": training.progress.as_dict(),
        "rules": training.rules.as_dict(),
        "data": training.data.contents,
        **training.learner.state(),
    }
    save_checkpoint(training.last, {**content, "training": entry})
