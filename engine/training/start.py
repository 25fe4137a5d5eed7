"""How a training starts: new, or from where `last.pt` left it."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from data.coco.records import CocoSplit
from data.config import DatasetConfig, load_dataset_config
from data.demo import ensure_demo_dataset
from data.errors import DataError
from engine.device import Compute, select_device
from engine.errors import EngineError
from engine.input_size import check_input_memory, fit_to_stride
from engine.options import ResumeOptions, TrainOptions
from engine.report.recorder import read_rows, write_yaml
from engine.runs import OPTIONS, lock_run, reserve_run_dir
from engine.training.hyperparameters import Hyperparameters
from engine.training.learner import Learner
from engine.training.optimizer import new_groups
from engine.training.random_state import seed_generators
from engine.training.rules import Rules
from engine.training.schedule import extension_line
from engine.training.setup import (
    bind_hyperparameters,
    build_detector,
    dataset_hyperparameters,
    freeze_rows,
    load_data,
    load_splits,
    read_named,
    start_values,
    with_defaults,
)
from engine.training.state import Progress, SavedTraining, read_training
from engine.training.training import Training
from files.atomic import remove_leftovers
from models import build_model
from models.budget import model_budget
from models.detector import Detector
from models.errors import ConfigError

log = logging.getLogger(__name__)


def prepare(options: TrainOptions | ResumeOptions, held: ExitStack) -> Training:
    """The training that the options ask for, ready for its next epoch.

    Args:
        held: what ends with the training, such as the lock on its folder.

    Raises:
        InputError: what they name cannot be used; nothing has been written then.
    """
    training = _resumed(options, held) if isinstance(options, ResumeOptions) else _begun(options, held)
    training.weights_folder.mkdir(exist_ok=True)
    for place in (training.folder, training.weights_folder):
        remove_leftovers(place)
    return training


def _begun(options: TrainOptions, held: ExitStack) -> Training:
    with model_budget(options.model_budget):
        return _begun_within_budget(options, held)


def _begun_within_budget(options: TrainOptions, held: ExitStack) -> Training:
    compute = _compute(options)
    make_folder = reserve_run_dir(options.project, options.name, options.exist_ok, held)
    named = read_named(options)
    seed_generators(options.seed)
    dataset = load_dataset_config(options.data or ensure_demo_dataset())
    options = with_defaults(options, dataset)
    hyp = named.hyp or dataset_hyperparameters(options, dataset)
    rules = Rules.current()
    splits = load_splits(dataset, options, rules)
    model = build_detector(named.network, splits[0].classes)
    (imgsz,) = fit_to_stride((options.imgsz,), model.size_divisor)
    check_input_memory(imgsz, options.batch_size, max(len(split.records) for split in splits))
    options = replace(options, imgsz=imgsz)
    taken = start_values(model, options, hyp, splits[0], named.pretrained)
    hyp = bind_hyperparameters(hyp, model.head, options)
    model = _placed(model, options, compute)
    data = load_data(splits, options, hyp, model.size_divisor, rules)
    groups = new_groups(model, options.optimizer, rules, taken)
    learner = Learner.of(model, groups, options, hyp, rules, len(data.train_loader), compute)
    return Training(options, hyp, rules, data, learner, Progress(), _with_settings(make_folder(), options, hyp))


def _resumed(request: ResumeOptions, held: ExitStack) -> Training:
    saved = read_training(request)
    lock_run(saved.folder, held, "wait for its end, or end it first")  # --resume takes no --name
    if saved.is_stale:  # the run went on until it let go of its folder
        saved = read_training(request)
    compute = _compute(saved.options)
    seed_generators(saved.options.seed)
    dataset, splits = _data_of(saved, request)
    options = with_defaults(saved.options, dataset)
    model = _saved_model(saved)
    hyp = bind_hyperparameters(saved.hyp, model.head, options)
    model = _placed(model, options, compute)
    data = load_data(splits, options, hyp, model.size_divisor, saved.rules)
    saved.check_data(data.classes, data.contents, len(data.train_loader), moved=request.data is not None)
    learner = Learner.of(model, saved.groups(model), options, hyp, saved.rules, len(data.train_loader), compute)
    learner.restore(saved)
    read_rows(saved.folder, saved.progress.epoch)  # as the recorder will
    if options.epochs != saved.planned_epochs:
        log.info("%s", extension_line(learner.schedule, saved.planned_epochs, saved.progress.epoch))
    if request.data is not None or request.epochs is not None:
        write_yaml(saved.folder / OPTIONS, options.as_dict())
    return Training(options, hyp, saved.rules, data, learner, saved.progress, saved.folder)


def _data_of(saved: SavedTraining, request: ResumeOptions) -> tuple[DatasetConfig, tuple[CocoSplit, CocoSplit]]:
    """The data set of a training that is resumed.

    Raises:
        InputError: it is not there, or wrong.
    """
    dataset = None
    try:
        dataset = load_dataset_config(saved.options.data)
        return dataset, load_splits(dataset, with_defaults(saved.options, dataset), saved.rules)
    except DataError as error:
        if request.data is not None or _is_there(saved.options.data, dataset):
            raise
        raise EngineError(f"{error}; where the data set has moved, name its YAML with --data") from None


def _is_there(yaml: str, dataset: DatasetConfig | None) -> bool:
    if dataset is None:
        return Path(yaml).is_file()
    parts = [value for split in (dataset.train, dataset.val) for _, value in split if isinstance(value, Path)]
    return all(path.exists() for path in parts)


def _saved_model(saved: SavedTraining) -> Detector:
    """The network of the checkpoint."""
    try:
        with model_budget(saved.options.model_budget):
            return build_model(saved.content["yaml"], num_classes=len(saved.content["names"]))
    except ConfigError as error:
        raise saved.damaged(f"yaml: {error}") from None


def _compute(options: TrainOptions) -> Compute:
    """Gradients are float16 on NVIDIA GPUs, where that is fast and the loss is scaled."""
    device = select_device(options.device)
    return Compute(device, torch.float16 if device.type == "cuda" else torch.float32)


def _placed(model: Detector, options: TrainOptions, compute: Compute) -> Detector:
    freeze_rows(model, options.freeze)
    return model.to(compute.device).to(memory_format=compute.layout)


def _with_settings(folder: Path, options: TrainOptions, hyp: Hyperparameters) -> Path:
    """The folder, with a note of what the training goes by."""
    write_yaml(folder / OPTIONS, options.as_dict())
    write_yaml(folder / "hyp.yaml", hyp.as_dict())
    return folder
