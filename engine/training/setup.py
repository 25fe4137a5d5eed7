"""What a training starts from: its options completed, its data, and its model with the weights that it takes over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from data.coco.records import CocoSplit, load_split
from data.config import DatasetConfig
from data.loading.loader import build_loader
from engine.channels import CHANNELS, require_colour
from engine.errors import EngineError
from engine.flag import flags_of
from engine.metrics.coco import CocoEvaluator
from engine.options import TrainOptions
from engine.training.hyperparameters import Hyperparameters, load_hyperparameters, parse_hyperparameters
from engine.training.rules import Rules
from engine.training.training import TrainingData
from files.classes import Classes
from files.printable import Lines
from models import build_model
from models.config.reader import load_config
from models.config.schema import ModelConfig
from models.detector import Detector
from models.heads.base import DetectionHead
from models.weights.foreign import FOLDED
from models.weights.report import Outcome, TransferReport
from models.weights.source import SourceWeights, load_source
from models.weights.transfer import transfer_weights

log = logging.getLogger(__name__)

DEFAULT_CFG, DEFAULT_HYP, DEFAULT_OPTIMIZER = "yolov5s.yaml", "scratch", "SGD"
DEFAULT_EPOCHS, DEFAULT_BATCH, DEFAULT_IMGSZ = 100, 16, 640


@dataclass(frozen=True)
class Named:
    """What the options name, read before any picture is drawn or looked at: a slip shows at once.

    Attributes:
        network: what `build_model` builds: `--cfg`, else the architecture of the checkpoint.
        pretrained: the checkpoint of `--weights`; None without one.
        hyp: the recipe of `--hyp`; None where the data set or the default decides.
    """

    network: ModelConfig | Mapping[str, Any]
    pretrained: SourceWeights | None
    hyp: Hyperparameters | None


def read_named(options: TrainOptions) -> Named:
    """Reads what the options name.

    Raises:
        ConfigError, EngineError, WeightsError: there is no such file, or it is wrong; or no such row to freeze.
    """
    cfg = options.cfg or ("" if options.weights else DEFAULT_CFG)
    network: ModelConfig | Mapping[str, Any] = load_config(cfg) if cfg else {}
    hyp = chosen_hyperparameters(options) if options.hyp else None
    pretrained = load_source(options.weights) if options.weights else None
    if pretrained is not None and pretrained.folded:
        raise EngineError(f"{options.weights}: {FOLDED}; to train, give the file that its own training wrote")
    if pretrained is not None and not cfg:
        if pretrained.yaml is None:
            raise EngineError(f"{options.weights}: does not say which architecture it is for; name it with --cfg")
        network = pretrained.yaml
    if isinstance(network, ModelConfig):
        require_colour(network.ch, network.locate_key("ch"))
    else:
        require_colour(network.get("ch", CHANNELS), options.weights)
    if options.freeze:
        config = network if isinstance(network, ModelConfig) else load_config(network)
        check_frozen(options.freeze, len(config.rows))
    return Named(network, pretrained, hyp)


def with_defaults(options: TrainOptions, dataset: DatasetConfig) -> TrainOptions:
    """Command line before data-set YAML before defaults.

    Raises:
        EngineError: the YAML has a value that the option does not take.
    """
    for name in ("hyp", "optimizer", "epochs", "batch_size", "imgsz"):
        _check_own_default(dataset, name)
    return replace(
        options,
        cfg=options.cfg or ("" if options.weights else DEFAULT_CFG),
        data=str(dataset.file),
        hyp=options.hyp or dataset.hyp or DEFAULT_HYP,
        optimizer=options.optimizer or dataset.optimizer or DEFAULT_OPTIMIZER,
        epochs=options.epochs or dataset.epochs or DEFAULT_EPOCHS,
        batch_size=options.batch_size or dataset.batch_size or DEFAULT_BATCH,
        imgsz=options.imgsz or dataset.imgsz or DEFAULT_IMGSZ,
    )


def _check_own_default(dataset: DatasetConfig, name: str) -> None:
    """Raises EngineError for a default of the data set that its option does not take."""
    value = getattr(dataset, name)
    (flag,) = (flag for field, flag in flags_of(TrainOptions) if field.name == name)
    if value is not None and (fault := flag.fault(value)):
        raise EngineError(f"{dataset.file}: {name}: {fault}")


def dataset_hyperparameters(options: TrainOptions, dataset: DatasetConfig) -> Hyperparameters:
    """Those of the complete options where `--hyp` was not given: the data set's own, or the default.

    Raises:
        EngineError: the recipe that the data set names is not there, or wrong.
    """
    try:
        return chosen_hyperparameters(options)
    except EngineError as error:
        if dataset.hyp is None:
            raise
        raise EngineError(f"{dataset.file}: hyp: {error}") from None


def chosen_hyperparameters(options: TrainOptions) -> Hyperparameters:
    """Those of `--hyp`, with what other flags override."""
    hyp = load_hyperparameters(options.hyp)
    if options.label_smoothing is None:
        return hyp
    return parse_hyperparameters({**hyp.as_dict(), "label_smoothing": options.label_smoothing}, "--label-smoothing")


def load_splits(dataset: DatasetConfig, options: TrainOptions, rules: Rules) -> tuple[CocoSplit, CocoSplit]:
    """Training and validation split, the second with the classes of the first.

    Raises:
        DataError: see `load_split`.
        EngineError: there is no box to learn from.
    """
    settings = dataset.settings(
        legacy=rules.truth == "file", roots=rules.categories == "all", max_pixels=options.max_pixels
    )
    train = load_split(dataset.source("train"), settings, strict=options.strict)
    val = load_split(dataset.source("val"), settings, like=train, strict=options.strict)
    report = train.report
    if not (report.boxes if rules.truth == "file" else report.objects):
        crowds = f" ({report.boxes} are crowds, or to be ignored)" if report.boxes else ""
        raise EngineError(f"{train.annotations}: no box is left to learn from{crowds}; check its annotations")
    return train, val


def load_data(
    splits: tuple[CocoSplit, CocoSplit], options: TrainOptions, hyp: Hyperparameters, stride: int, rules: Rules
) -> TrainingData:
    """The splits with their loaders: augmented training batches, and rectangular validation batches.

    Args:
        splits: the one to train on, and the one to validate on.
        stride: sides of the network input are multiples of it.
    """
    loader = partial(
        build_loader,
        imgsz=options.imgsz,
        stride=stride,
        workers=options.workers,
        seed=options.seed,
        cache=options.cache or None,
        interpolation=rules.interpolation,
        strict=options.strict,
    )
    train, val = splits
    # The last epochs see pictures as they will come: YOLOX, arXiv 2107.08430, section 2.
    unmixed = min(hyp.training.close_mosaic, options.epochs // 4)
    train_loader = loader(
        train,
        batch_size=options.batch_size,
        augment=hyp.augment,
        mix_until=0 if options.rect else options.epochs - unmixed,
        shuffle=not options.rect,
        rect=options.rect,
    )
    val_loader = loader(val, batch_size=2 * options.batch_size, rect=True)
    return TrainingData(train, val, train_loader, val_loader, CocoEvaluator(val, as_filed=rules.truth == "file"))


def build_detector(network: ModelConfig | Mapping[str, Any], classes: Classes) -> Detector:
    """A new detector for these classes, with initial values.

    Raises:
        ConfigError: the configuration is wrong.
    """
    model = build_model(network, num_classes=len(classes))
    model.classes = classes
    return model


def start_values(
    model: Detector, options: TrainOptions, hyp: Hyperparameters, split: CocoSplit, pretrained: SourceWeights | None
) -> TransferReport | None:
    """Gives a new detector the weights of `pretrained`, or fits its head to the boxes, or both.

    Returns:
        What it took over; None where there was nothing to take.

    Raises:
        EngineError: nothing of the weights fits the model.
    """
    taken = None if pretrained is None else _take_over(model, pretrained, options)
    # Pretrained classes belong to the anchors that they were trained with.
    if not ((taken is not None and taken.head_taken) or options.noautoanchor):
        gains = hyp.for_head(model.head).gains(options.imgsz)
        fitted = model.head.fit(box_sizes(split, options.imgsz), gains, options.seed)
        if fitted:
            log.info("%s", fitted)
    return taken


def box_sizes(split: CocoSplit, imgsz: int) -> np.ndarray:
    """`(N, 2)` widths and heights of all training boxes in pixels of the network input (long side `imgsz`)."""
    sizes = [
        (record.boxes_xyxy[~record.crowd, 2:] - record.boxes_xyxy[~record.crowd, :2])
        * (imgsz / max(record.width, record.height))
        for record in split.records
    ]
    return np.concatenate(sizes).astype(np.float32) if sizes else np.zeros((0, 2), np.float32)


def bind_hyperparameters(hyp: Hyperparameters, head: DetectionHead, options: TrainOptions) -> Hyperparameters:
    """The hyperparameters of a training with this head.

    Raises:
        EngineError: a value that the head refuses, or `--label-smoothing` for a loss without it.
    """
    bound = hyp.for_head(head)
    if options.label_smoothing is not None and "label_smoothing" not in bound.loss:
        raise EngineError(f"--label-smoothing: the loss of {type(head).__name__} has none; leave it out")
    foreign = hyp.foreign_to(head)
    if foreign:
        values = ", ".join(f"{key} {value:g}" for key, value in bound.loss.items()) or "no values of its own"
        origin, named = hyp.document.origin, ", ".join(sorted(foreign))
        log.info("%s: its loss is another head's (%s); this detector trains with %s", origin, named, values)
    return bound


def freeze_rows(model: Detector, rows: tuple[int, ...]) -> None:
    """Keeps the parameters of some rows as they are.

    Raises:
        EngineError: no such row, or the head.
    """
    check_frozen(rows, len(model.model))
    for row in rows:
        model.model[row].requires_grad_(False)


def check_frozen(rows: tuple[int, ...], count: int) -> None:
    """Raises EngineError for a row that cannot be frozen, of a model that has so many."""
    for row in rows:
        if row >= count - 1:
            raise EngineError(
                f"--freeze: there is no row {row} to freeze; the model has rows 0 to {count - 2} before its head"
            )


def _take_over(model: Detector, pretrained: SourceWeights, options: TrainOptions) -> TransferReport:
    """Starts from a checkpoint, and says so."""
    report = transfer_weights(model, pretrained)
    if not report.keys(Outcome.TAKEN) and not report.keys(Outcome.CONVERTED):
        raise EngineError(f"{options.weights}: nothing of it fits this model; check --cfg, or start without --weights")
    log.info("weights: %s (%s)\n%s", options.weights, pretrained.origin, Lines(report.table()))
    return report
