"""The training loop.

`train` goes through stages with names: prepare, then per epoch learn, validate, record and save, then finish with the
best weights. Everything random follows from the seed, the epoch and the image, and the schedule from the iteration, so
a training that is resumed at an epoch ends as if it had never stopped.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from data.coco.overlap import shared_pictures_line
from engine.device import memory_usage
from engine.errors import EngineError
from engine.faults import faults_told
from engine.metrics.evaluate import EvalResult, evaluate
from engine.options import ResumeOptions, TrainOptions
from engine.report.labels import draw_labels
from engine.report.recorder import Recorder
from engine.report.training import draw_training_batch, finish_report
from engine.training.saving import load_best, save_epoch, save_finished
from engine.training.start import prepare
from engine.training.training import Training, TrainResult
from files.progress import bar
from models.detector import Detector
from models.summary import count_flops, count_parameters

log = logging.getLogger(__name__)

_DRAWN_BATCHES = 3


def train(options: TrainOptions | ResumeOptions) -> TrainResult:
    """Trains a detector, or continues a training that was interrupted.

    What happens is logged at level INFO; checkpoints, tables and pictures go into the run's folder.

    Returns:
        Figures and paths, also after Ctrl-C while it trains: then `interrupted` is set, and last.pt can be resumed.

    Raises:
        InputError: what it was given cannot be used; nothing has been written then. Or the loss became NaN or infinite.
        FaultError: the machine failed, such as a loader's process that was killed; last.pt can be resumed.
        OSError: a file cannot be written.
    """
    with ExitStack() as held:
        with faults_told():
            training = prepare(options, held)
        with faults_told(lambda: f"; {_kept(training)}"):
            return _train(training)


def _train(training: Training) -> TrainResult:
    """All epochs and the report."""
    _announce(training)
    recorder = Recorder(training.folder, training.progress.epoch)
    start = time.perf_counter()
    try:
        _look_at_data(training)
        while _goes_on(training):
            _run_epoch(training, recorder)
        minutes = (time.perf_counter() - start) / 60
        log.info("trained %d epochs in %.1f minutes", training.progress.epoch, minutes)
        return _result(training, recorder, _finish(training))
    except KeyboardInterrupt:
        log.warning("interrupted %s; %s", _stage(training), _kept(training))
        return _result(training, recorder, None)


def fitness(figures: Mapping[str, float]) -> float:
    """What "best" means: AP with a tenth of AP50; 0 where there is nothing to detect."""
    value = float(0.9 * figures["AP"] + 0.1 * figures["AP50"])
    return 0.0 if math.isnan(value) else value


def _announce(training: Training) -> None:
    options, data, learner = training.options, training.data, training.learner
    for name, split in (("data", data.train), ("validation", data.val)):
        for line in split.report.lines():
            log.info("%s: %s", name, line)
    if line := shared_pictures_line(data.train, data.val):
        log.info("validation: %s", line)
    if not data.val.report.objects and training.rules.truth == "scan":
        log.info(
            "validation: no object to find, so AP is undefined: best.pt is the last epoch's, and --patience does not "
            "count"
        )
    log.info(
        "model: %s, %d classes, %.2f M parameters, %.1f GFLOPs",
        options.cfg or options.weights,
        len(data.classes),
        count_parameters(learner.model) / 1e6,
        count_flops(learner.model, options.imgsz) / 1e9,
    )
    log.info("device: %s", learner.compute.describe())
    log.info(
        "training: epochs %d to %d, %d px, batches of %d, into %s",
        training.progress.epoch + 1,
        options.epochs,
        options.imgsz,
        options.batch_size,
        training.folder,
    )


def _look_at_data(training: Training) -> None:
    """Draws the data once, before the first epoch."""
    options, data = training.options, training.data
    if training.progress.epoch == 0 and not options.noplots:
        head = training.learner.model.head
        draw_labels(data.train, data.val, head, options.imgsz, training.folder, title=options.data)


def _goes_on(training: Training) -> bool:
    """Whether another epoch is to come. Asked before each, so that one killed after its last epoch ends there."""
    if training.progress.epoch >= training.options.epochs:
        return False
    if training.progress.has_stalled(training.options):
        log.info("no gain for %d epochs: stopping early (--patience 0 never does)", training.options.patience)
        return False
    return True


# -- the stages of an epoch -------------------------------------------------------------------------------------------


def _run_epoch(training: Training, recorder: Recorder) -> None:
    """One epoch with all its stages."""
    progress = training.progress
    epoch = progress.epoch
    values = {f"train/{name}_loss": value for name, value in _learn(training).items()}
    improved = False
    if epoch + 1 == training.options.epochs or not training.options.noval:
        progress_after = (epoch + 1) / training.options.epochs
        result = _validate(training, cast(Detector, training.learner.ema.module), progress_after)
        values.update(_recorded(result))
        improved = _is_best(training, result)
    values["x/lr"] = training.learner.rate
    recorder.add_epoch(epoch, values)
    progress.epoch = epoch + 1
    before = _version(training.last)
    try:
        save_epoch(training, improved=improved)
    except BaseException:
        if _version(training.last) == before:
            progress.epoch = epoch
        raise


def _version(file: Path) -> tuple[int, int] | None:
    """What tells a file from the one that took its place; None for none."""
    if not file.is_file():
        return None
    found = file.stat()
    return found.st_ino, found.st_mtime_ns


def _learn(training: Training) -> dict[str, float]:
    """Goes through the training batches once; the mean losses by name."""
    learner, loader, epoch = training.learner, training.data.train_loader, training.progress.epoch
    learner.model.train()
    loader.set_epoch(epoch)
    sums: dict[str, Tensor] = {}
    batches = bar(loader, f"epoch {epoch + 1}/{training.options.epochs}")
    waiting = 0  # batches whose gradients wait for a step
    learner.optimizer.zero_grad(set_to_none=True)
    for number, batch in enumerate(batches):
        iteration = epoch * len(loader) + number
        learner.schedule.apply(learner.optimizer, epoch, iteration)
        loss, parts = learner.losses(batch, iteration / (training.options.epochs * len(loader)))
        _check_finite(loss, training)
        learner.backward(loss)
        waiting += 1
        # The last batch of an epoch always steps: no gradient is carried over, so a resumed epoch starts clean.
        if waiting >= learner.schedule.accumulate_at(iteration) or number + 1 == len(loader):
            learner.step()
            waiting = 0
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value
        batches.set_postfix_str(_postfix(training, sums, number + 1))
        if epoch == 0 and number < _DRAWN_BATCHES and not training.options.noplots:
            draw_training_batch(batch, training.data.classes.names, training.folder / f"train_batch{number}.jpg")
    return _means(sums, len(loader))


def _means(sums: Mapping[str, Tensor], batches: int) -> dict[str, float]:
    # Together, so that a GPU is waited for once.
    return dict(zip(sums, (torch.stack([*sums.values()]) / batches).tolist(), strict=True))


def _check_finite(loss: Tensor, training: Training) -> None:
    if not torch.isfinite(loss):
        raise EngineError(
            f"the loss became {loss.item()} {_stage(training)}; lower lr0 in --hyp, or check the boxes; "
            f"{_kept(training)}"
        )


def _postfix(training: Training, sums: Mapping[str, Tensor], batches: int) -> str:
    """What the bar shows at its end: mean losses so far, rate, memory."""
    means = " ".join(f"{name} {mean:.4f}" for name, mean in _means(sums, batches).items())
    return f"{means} lr {training.learner.rate:.5f} {memory_usage(training.learner.compute.device)}"


def _validate(training: Training, model: Detector, progress: float, *, report: bool = False) -> EvalResult:
    learner = training.learner
    return evaluate(
        model,
        training.data.val_loader,
        training.data.evaluator,
        device=learner.compute.device,
        criterion=partial(learner.criterion, progress=progress),
        precision=learner.compute.precision,
        report=report,
    )


def _recorded(result: EvalResult) -> dict[str, float]:
    """The figures and losses of a validation, as results.csv names them."""
    values = {f"metrics/{name}": value for name, value in result.metrics.figures.items()}
    return values | {f"val/{name}_loss": loss for name, loss in result.losses.items()}


def _is_best(training: Training, result: EvalResult) -> bool:
    """Says how good an epoch is, and remembers the best one; an undefined AP decides nothing: the last one is best."""
    progress, metrics = training.progress, result.metrics
    if not metrics.is_defined and training.rules.truth == "scan":
        progress.best_epoch = progress.epoch  # the last one, from which --patience counts
        log.info("    AP undefined  (%d images)", metrics.images)
        return True
    score = fitness(metrics.figures)
    improved = score > progress.best_fitness
    if improved:
        progress.best_fitness, progress.best_epoch = score, progress.epoch
    log.info("    AP %.4f  AP50 %.4f  (%d images)", metrics.ap, metrics.ap50, metrics.images)
    return improved


# -- the end ----------------------------------------------------------------------------------------------------------


def _kept(training: Training) -> str:
    """What of a training that ends early is kept, in words; not a last.pt of an earlier run into the folder."""
    done = training.progress.epoch
    if not done:
        return "no epoch was complete, so there is nothing to resume"
    return f"{training.last} holds epoch {done}: --resume {training.last}"


def _stage(training: Training) -> str:
    epoch = training.progress.epoch
    return f"in epoch {epoch + 1}" if epoch < training.options.epochs else "in the report, after the last epoch"


def _finish(training: Training) -> EvalResult:
    """Measures and reports the best weights, and notes that all is done."""
    detector = load_best(training)
    result = _validate(training, detector.to(memory_format=training.learner.compute.layout), 1.0, report=True)
    finish_report(result, training.data.classes.names, training.folder, plots=not training.options.noplots)
    save_finished(training)
    log.info("best of epoch %d: %s", training.progress.best_epoch + 1, training.best)
    return result


def _result(training: Training, recorder: Recorder, final: EvalResult | None) -> TrainResult:
    return TrainResult(
        folder=training.folder,
        best=_existing(training.best, training),
        last=_existing(training.last, training),
        best_epoch=training.progress.best_epoch,
        figures={} if final is None else dict(final.metrics.figures),
        history=recorder.history(),
        interrupted=final is None,
    )


def _existing(path: Path, training: Training) -> Path | None:
    """The path, if it is this training's: before its first epoch is complete, only an earlier run's can lie there."""
    return path if training.progress.epoch and path.is_file() else None
