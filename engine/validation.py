"""A checkpoint, measured on a split of a data set."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace

import torch

from data.coco.records import CocoSplit
from data.coco.records import load_split as load_annotations
from data.config import DatasetConfig, load_dataset_config
from data.loading.loader import build_loader
from engine.backends import Backend, open_backend, require_precision
from engine.class_names import name_classes
from engine.device import precision_of, select_device
from engine.errors import EngineError
from engine.faults import faults_told
from engine.input_size import check_fixed_size, check_input_memory, fit_to_stride
from engine.metrics.coco import CocoEvaluator, figures_table
from engine.metrics.evaluate import EvalResult, evaluate
from engine.options import ValOptions
from engine.report.validation import save_pictures, write_predictions
from engine.runs import recorded_data, reserve_run_dir
from files.faults import OutputError
from files.printable import Lines
from models.budget import model_budget
from models.detector import Detector

log = logging.getLogger(__name__)


def validate(options: ValOptions) -> EvalResult:
    """Measures a checkpoint; pictures, and with `save_json` the detections, go into the run's folder.

    Returns:
        The figures and what else was found, with the run's folder.

    Raises:
        InputError: bad input of any kind; the folder is made only after everything has been checked.
        OutputError: a file cannot be written; then the figures are logged.
        FaultError: the machine failed, such as a loader's process that was killed.
    """
    with ExitStack() as held, faults_told():
        return _validate(options, held)


def _validate(options: ValOptions, held: ExitStack) -> EvalResult:
    make_folder = reserve_run_dir(options.project, options.name, options.exist_ok, held)
    device = select_device(options.device)
    precision = precision_of(device, half=options.half, bf16=options.bf16)
    with model_budget(options.model_budget):
        backend = open_backend(options.weights, device=device, dtype=precision, cfg=options.cfg, autocast=True)
    require_precision(backend, half=options.half, bf16=options.bf16)
    config = load_dataset_config(data_yaml(options, backend))
    name_classes(backend, config)
    imgsz = _input_size(options, backend)
    split = load_split(config, options, backend)
    check_input_memory(imgsz, options.batch_size, len(split.records))
    for line in split.report.lines():
        log.info("%s: %s", options.task, line)
    if not split.report.objects:
        log.info("%s: no object to find, so AP is undefined", options.task)
    loader = build_loader(
        split,
        imgsz=imgsz,
        batch_size=options.batch_size,
        stride=backend.stride,
        rect=True,
        workers=options.workers,
        strict=options.strict,
        input_hw=backend.fixed_hw,
    )
    folder = make_folder()
    _prepare(backend, imgsz)
    result = evaluate(
        backend,
        loader,
        CocoEvaluator(split),
        device=backend.device,
        conf_thres=options.conf_thres,
        iou_thres=options.iou_thres,
        max_det=options.max_det,
        report=True,
    )
    try:
        if options.save_json:
            write_predictions(result.detections, folder / "predictions.json")
        save_pictures(result, split.classes.names, folder)
    except OutputError:
        log.info("\n%s\n", Lines(figures_table(result.metrics)))  # what was measured is not lost with its pictures
        raise
    return replace(result, folder=folder)


def _input_size(options: ValOptions, backend: Backend) -> int:
    """Long side of the input, pixels."""
    asked = () if options.imgsz is None else (options.imgsz,)
    if backend.fixed_hw is not None:
        check_fixed_size(asked, backend.fixed_hw, backend.weights)
        return max(backend.fixed_hw)
    return fit_to_stride(asked or (backend.imgsz,), backend.stride)[0]


def data_yaml(options: ValOptions, backend: Backend) -> str:
    """`--data`, else what its run was started with, else what the checkpoint says (older ones do)."""
    data = options.data or recorded_data(options.weights) or backend.data
    if data:
        return data
    raise EngineError(f"{options.weights}: does not say which data set it was trained on; name one with --data")


def load_split(config: DatasetConfig, options: ValOptions, backend: Backend | Detector) -> CocoSplit:
    """The split of `--task`, its classes those of the weights, by name.

    The data set may lack some, and have others of which there is no box, or which `names` leaves out.
    """
    part = getattr(config, options.task)
    if part is None:
        raise EngineError(f"{config.file}: has no '{options.task}' split; add one, or choose another --task")
    settings = config.settings(max_pixels=options.max_pixels)
    split = load_annotations(config.source(options.task), settings, like=backend.classes, strict=options.strict)
    known, names = {*backend.classes.names}, settings.names
    if names is None:
        unknown, missing = {name for name, number in split.unused.items() if number}, {*split.absent}
    else:
        unknown, missing = {*names} - known, known - {*names}
    if not unknown and (names is None or not missing):
        return split
    difference = "; ".join(
        f"{what} {', '.join(sorted(names)[:3])}{' ...' if len(names) > 3 else ''}"
        for what, names in ((f"{options.weights} does not know", unknown), ("the data set lacks", missing))
        if names
    )
    raise EngineError(
        f"{config.file}: its classes are not those of the checkpoint ({difference}); "
        "give the data set that the checkpoint was trained on, or list its classes under 'names'"
    )


def _prepare(backend: Backend, imgsz: int) -> None:
    """Says what computes; the first pass loads kernels, which is not what the timings are about."""
    log.info("device: %s", backend.where())
    for remark in backend.remarks:
        log.info("%s: %s", backend.weights, remark)
    if backend.device.type != "cpu":
        height, width = backend.fixed_hw or (imgsz, imgsz)
        backend(torch.zeros((1, 3, height, width), dtype=torch.uint8))
