"""The training loop.

`Trainer(options).run()` goes through stages with names: prepare data and model, then per epoch train, validate, record
and save, then finish with the best weights. Everything random follows from the seed, the epoch and the image, and the
schedule from the iteration, so a training that is resumed at an epoch ends as if it had never stopped.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from data.config import DatasetConfig, load_dataset_config
from data.demo import ensure_demo_dataset
from data.loading.loader import Batch
from engine.checkpoint import save_checkpoint
from engine.cli.run import INTERRUPTED
from engine.device import describe_device, describe_precision, memory_format_of, memory_usage, select_device
from engine.errors import EngineError
from engine.metrics.coco import CocoEvaluator
from engine.metrics.evaluate import EvalResult, evaluate
from engine.options import ResumeOptions, TrainOptions
from engine.report.recorder import Recorder, write_yaml
from engine.report.training import draw_training_batch, finish_report
from engine.runs import OPTIONS, next_run_dir
from engine.training.ema import build_ema
from engine.training.optimizer import build_optimizer, clip_gradients, groups_as_plain, new_groups
from engine.training.random_state import seed_generators
from engine.training.rules import Rules
from engine.training.schedule import Schedule
from engine.training.setup import (
    build_detector,
    build_loaders,
    chosen_hyperparameters,
    freeze_rows,
    load_splits,
    with_defaults,
)
from engine.training.state import Progress, TrainingParts, read_training
from files.atomic import remove_leftovers
from models import build_model
from models.summary import count_flops, count_parameters
from models.weights.load import load_detector
from models.weights.source import load_source

log = logging.getLogger(__name__)

_DRAWN_BATCHES = 3


def fitness(figures: Mapping[str, float]) -> float:
    """What "best" means: AP with a tenth of AP50; 0 where there is nothing to detect."""
    value = float(0.9 * figures["AP"] + 0.1 * figures["AP50"])
    return 0.0 if math.isnan(value) else value


class Trainer:
    """Trains one detector.

    Raises:
        ConfigError, DataError, EngineError: what it was given cannot be used; nothing has been written then.
    """

    def __init__(self, options: TrainOptions | ResumeOptions) -> None:
        self.saved = read_training(options) if isinstance(options, ResumeOptions) else None
        started = self.saved.options if self.saved is not None else options
        assert isinstance(started, TrainOptions)
        self.progress = Progress() if self.saved is None else self.saved.progress
        self.device = select_device(started.device)
        self.precision = torch.float16 if self.device.type == "cuda" else torch.float32
        self.layout = memory_format_of(self.device, self.precision)
        seed_generators(started.seed)
        dataset = load_dataset_config(started.data or ensure_demo_dataset())
        self.options = with_defaults(started, dataset)
        self._prepare_model_and_data(dataset)
        self._prepare_optimization()
        self.folder = self._open_folder()

    # -- preparation ------------------------------------------------------------------------------------------------

    def _prepare_model_and_data(self, dataset: DatasetConfig) -> None:
        options, saved = self.options, self.saved
        pretrained = load_source(options.weights) if options.weights and saved is None else None
        self.rules = Rules.current() if saved is None else saved.rules
        self.hyp = chosen_hyperparameters(options) if saved is None else saved.hyp
        self.train_split, self.val_split = load_splits(dataset)
        if saved is None:
            model, self.taken = build_detector(options, self.hyp, self.train_split, pretrained)
        else:
            model = build_model(saved.content["yaml"], num_classes=len(saved.content["names"]))
        freeze_rows(model, options.freeze)
        self.model = model.to(self.device).to(memory_format=self.layout)
        self.train_loader, self.val_loader = build_loaders(
            self.train_split, self.val_split, options, self.hyp, self.model.size_divisor, self.rules
        )
        if saved is not None:
            saved.check_data(self.train_split.classes, len(self.train_loader))
        self.evaluator = CocoEvaluator(self.val_split)

    def _prepare_optimization(self) -> None:
        options, hyp = self.options, self.hyp.training
        self.epochs = options.epochs
        self.schedule = Schedule(hyp, options.epochs, len(self.train_loader), options.batch_size, options.cos_lr)
        if self.saved is None:
            self.groups = new_groups(self.model, options.optimizer, self.rules, self.taken)
        else:
            self.groups = self.saved.groups(self.model)
        self.optimizer = build_optimizer(self.model, self.groups, options.optimizer, hyp, self.schedule.weight_decay)
        self.criterion = self.model.head.build_loss(hyp.gains(options.imgsz)).to(self.device)
        self.ema = build_ema(self.model, self.schedule.updates)
        mixed = self.precision == torch.float16
        self.autocast = torch.autocast(self.device.type, dtype=self.precision, enabled=mixed)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=mixed)
        self.parts = TrainingParts(self.model, self.ema, self.optimizer, self.scaler, self.device)
        if self.saved is not None:
            self.parts.restore(self.saved)

    def _open_folder(self) -> Path:
        options = self.options
        if self.saved is not None:
            folder = self.saved.folder
        else:
            folder = next_run_dir(options.project, options.name, options.exist_ok)
            write_yaml(folder / OPTIONS, options.as_dict())
            write_yaml(folder / "hyp.yaml", self.hyp.as_dict())
        self.weights_folder = folder / "weights"
        self.weights_folder.mkdir(exist_ok=True)
        for place in (folder, self.weights_folder):
            remove_leftovers(place)
        return folder

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Trains to the end and returns the exit code: 0, or 130 after Ctrl-C."""
        self._announce()
        recorder = Recorder(self.folder, self.progress.epoch)
        start = time.perf_counter()
        try:
            while self.progress.epoch < self.epochs:
                # Asked before each epoch, so that a training killed after its last one does not go on.
                if self.progress.has_stalled(self.options):
                    log.info("no gain for %d epochs: stopping early (--patience 0 never does)", self.options.patience)
                    break
                self._run_epoch(recorder)
        except KeyboardInterrupt:
            return self._interrupted()
        finally:
            recorder.close()
        minutes = (time.perf_counter() - start) / 60
        log.info("trained %d epochs in %.1f minutes", self.progress.epoch, minutes)
        self._finish()
        return 0

    def _announce(self) -> None:
        options, split = self.options, self.train_split
        log.info("data: %s", split.report.summary())
        log.info("validation: %s", self.val_split.report.summary())
        parameters = count_parameters(self.model)
        name = options.cfg or options.weights
        gflops = count_flops(self.model, options.imgsz) / 1e9
        classes = len(split.classes)
        log.info("model: %s, %d classes, %.2f M parameters, %.1f GFLOPs", name, classes, parameters / 1e6, gflops)
        log.info("device: %s; %s", describe_device(self.device), describe_precision(self.layout, self.precision))
        log.info(
            "training: epochs %d to %d, %d px, batches of %d, into %s",
            self.progress.epoch + 1,
            self.epochs,
            options.imgsz,
            options.batch_size,
            self.folder,
        )

    def _run_epoch(self, recorder: Recorder) -> None:
        """One epoch with all its stages."""
        epoch = self.progress.epoch
        losses = self._train_epoch(epoch)
        values = {f"train/{name}_loss": value for name, value in losses.items()}
        last = epoch + 1 == self.epochs
        improved = False
        if last or not self.options.noval:
            result = self._validate(self.ema.module)
            values.update(_metrics_of(result))
            score = fitness(result.metrics.figures)
            improved = score > self.progress.best_fitness
            if improved:
                self.progress.best_fitness, self.progress.best_epoch = score, epoch
            _print_validation(result)
        values["x/lr"] = self.optimizer.param_groups[-1]["lr"]
        recorder.add_epoch(epoch, values)
        self.progress.epoch = epoch + 1
        self._save(improved)

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        self.model.train()
        self.train_loader.set_epoch(epoch)
        total = torch.zeros(3, device=self.device)
        bar = tqdm(self.train_loader, desc=f"epoch {epoch + 1}/{self.epochs}", dynamic_ncols=True)
        waiting = 0  # batches whose gradients wait for a step
        self.optimizer.zero_grad(set_to_none=True)
        for number, batch in enumerate(bar):
            iteration = epoch * len(self.train_loader) + number
            self.schedule.apply(self.optimizer, epoch, iteration)
            parts = self._backward(batch)
            waiting += 1
            # The last batch of an epoch always steps: no gradient is carried over, so a resumed epoch starts clean.
            if waiting >= self.schedule.accumulate_at(iteration) or number + 1 == len(self.train_loader):
                self._step()
                waiting = 0
            total += parts
            mean = (total / (number + 1)).tolist()
            bar.set_postfix_str(
                f"box {mean[0]:.4f} obj {mean[1]:.4f} cls {mean[2]:.4f} lr {self.optimizer.param_groups[-1]['lr']:.5f} "
                f"{memory_usage(self.device)}"
            )
            if epoch == 0 and number < _DRAWN_BATCHES and not self.options.noplots:
                draw_training_batch(batch, self.train_split.classes.names, self.folder / f"train_batch{number}.jpg")
        return dict(zip(("box", "obj", "cls"), (total / len(self.train_loader)).tolist(), strict=True))

    def _backward(self, batch: Batch) -> Tensor:
        """Adds the gradients of one batch; returns the `(3,)` parts of its loss."""
        images = batch.images.to(self.device, non_blocking=True).to(memory_format=self.layout).float() / 255
        with self.autocast:
            logits = self.model(images)
        loss, parts = self.criterion(logits, batch.targets.to(self.device))
        if not torch.isfinite(loss):
            raise EngineError(
                f"the loss became {loss.item()} in epoch {self.progress.epoch + 1}; lower lr0 in --hyp, or check the "
                f"boxes; {self.weights_folder / 'last.pt'} holds the epoch before"
            )
        self.scaler.scale(loss).backward()
        return parts

    def _step(self) -> None:
        self.scaler.unscale_(self.optimizer)
        clip_gradients(self.model.parameters())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update_parameters(self.model)

    def _validate(self, model: nn.Module) -> EvalResult:
        return evaluate(
            model,
            self.val_loader,
            self.evaluator,
            device=self.device,
            criterion=self.criterion,
            precision=self.precision,
        )

    # -- what is kept -----------------------------------------------------------------------------------------------

    def _save(self, improved: bool) -> None:
        content = self._content()
        if improved:
            save_checkpoint(self.weights_folder / "best.pt", content)
        period = self.options.save_period
        if period and self.progress.epoch % period == 0:
            save_checkpoint(self.weights_folder / f"epoch{self.progress.epoch}.pt", content)
        # Last, so that a training killed here resumes from an epoch whose best.pt may only be newer.
        self._save_last(content)

    def _save_last(self, content: Mapping[str, Any]) -> None:
        training = {
            "options": self.options.as_dict(),
            "hyp": self.hyp.as_dict(),
            "progress": asdict(self.progress),
            "rules": self.rules.as_dict(),
            "groups": groups_as_plain(self.groups),
            **self.parts.state(self.schedule),
        }
        save_checkpoint(self.weights_folder / "last.pt", {**content, "training": training})

    def _content(self) -> dict[str, Any]:
        return {
            "model": self.ema.module.state_dict(),
            "yaml": self.model.yaml,
            "names": list(self.train_split.classes.names),
            "category_ids": list(self.train_split.classes.ids),
            "imgsz": self.options.imgsz,
            "epoch": self.progress.epoch,
        }

    def _interrupted(self) -> int:
        last = self.weights_folder / "last.pt"
        if last.is_file():
            log.warning(
                "interrupted in epoch %d; %s holds the epoch before: --resume %s", self.progress.epoch + 1, last, last
            )
        else:
            log.warning("interrupted before the first epoch was complete; nothing to resume")
        return INTERRUPTED

    def _finish(self) -> None:
        best = self.weights_folder / "best.pt"
        detector = load_detector(best, self.device).to(memory_format=self.layout)
        names = self.train_split.classes.names
        finish_report(self._validate(detector), names, self.folder, plots=not self.options.noplots)
        self.progress.finished = True
        self._save_last(self._content())
        log.info("best of epoch %d: %s", self.progress.best_epoch + 1, best)


def _metrics_of(result: EvalResult) -> dict[str, float]:
    values = {f"metrics/{name}": value for name, value in result.metrics.figures.items()}
    if result.losses is not None:
        values.update(zip(("val/box_loss", "val/obj_loss", "val/cls_loss"), result.losses, strict=True))
    return values


def _print_validation(result: EvalResult) -> None:
    metrics = result.metrics
    log.info("    AP %.4f  AP50 %.4f  (%d images)", metrics.ap, metrics.ap50, metrics.images)
