"""A trained detector, written for other runtimes, each file compared with PyTorch before it gets its name."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from data.config import load_dataset_config
from engine.backends import Backend, open_backend
from engine.backends.metadata import FILE, Metadata, commit, version
from engine.channels import require_colour
from engine.errors import EngineError
from engine.exporting.accuracy import Accuracy
from engine.exporting.check import Differences, cell_distance, differences, require_equal
from engine.exporting.check_suppressed import SuppressedComparison
from engine.exporting.format import ExportFormat, ExportJob
from engine.exporting.formats import format_named
from engine.exporting.network import ExportedNetwork
from engine.exporting.pictures import check_paths, inputs_of
from engine.exporting.simplification import BATCH, Simplification, simplified
from engine.faults import faults_told
from engine.input_size import fit_to_stride
from engine.options import ExportOptions, ValOptions
from files.atomic import atomic_folder, atomic_path
from models.budget import model_budget
from models.detector import Detector
from models.weights.load import load_detector

log = logging.getLogger(__name__)

CHECKED = 8
"""Pictures that a written file is compared on."""


@dataclass(frozen=True)
class Exported:
    """A file or folder that was written.

    Attributes:
        path: where it is.
        format: its name on the command line.
        precision: fp32, fp16 or int8.
        differences: from PyTorch, with the time of both.
        megabytes: its size.
        simplification: what became of blocks that could be simpler, where that was asked for.
        ap: of PyTorch and of the file, on the validation pictures; None where it was not measured, which int8 asks for.
    """

    path: Path
    format: str
    precision: str
    differences: Differences
    megabytes: float
    simplification: Simplification | None = None
    ap: tuple[float, float] | None = None


def export(options: ExportOptions) -> list[Exported]:
    """Writes a detector in each of `options.include`, beside its weights.

    Raises:
        InputError: bad input of any kind: an option that a format lacks, a package that is missing, weights that cannot
            be read, a file that differs from PyTorch by more than its format may. Nothing of that format is left then.
        OutputError: a file cannot be written.
    """
    formats = [format_named(name) for name in dict.fromkeys(options.include)]
    for each in formats:
        each.check(options)
    with faults_told(), model_budget(options.model_budget):
        detector = load_detector(options.weights, torch.device("cpu"), options.cfg)
        require_colour(detector.in_channels, str(options.cfg or options.weights))
        job = _job(options, detector)
        inputs = list(inputs_of(check_paths(job.dataset, CHECKED), job.imgsz))
        simplification = simplified(detector, job, inputs)
        written = [_export(each, copy.deepcopy(detector), job, inputs) for each in formats]
        return [replace(one, simplification=simplification) for one in written]


def _job(options: ExportOptions, detector: Detector) -> ExportJob:
    sides = fit_to_stride(options.imgsz or (detector.imgsz,), detector.size_divisor)
    imgsz = (sides[0], sides[-1])
    if options.nms and not detector.head.needs_suppression:
        raise EngineError(f"--nms: {options.weights} has a one-to-one head, which needs no suppression; leave it out")
    metadata = Metadata(
        version=version(),
        commit=commit(),
        names=detector.classes.names,
        ids=detector.classes.ids,
        imgsz=imgsz,
        batch=options.batch_size,
        dynamic=options.dynamic,
        stride=detector.size_divisor,
        precision=options.precision,
        needs_suppression=detector.head.needs_suppression and not options.nms,
        finished=options.nms,
        conf_thres=options.conf_thres if options.nms else None,
        iou_thres=options.iou_thres if options.nms else None,
        max_det=options.topk_all if options.nms else None,
        simplify_blocks=options.simplify_blocks,
    )
    dataset = load_dataset_config(options.data) if options.data else None
    return ExportJob(options, imgsz, dataset, metadata)


def _export(form: ExportFormat, detector: Detector, job: ExportJob, inputs: Sequence[Tensor]) -> Exported:
    path = form.path(Path(job.options.weights).expanduser(), job.precision)
    network = ExportedNetwork(detector)
    reference = copy.deepcopy(network)  # formats may change theirs

    log.info("%s: writing %s", form.name, path)
    with _whole(path, form.is_file) as temporary:
        form.write(network, job, temporary)
        backend = open_backend(temporary, device=torch.device("cpu"))
        tolerance = form.tolerances[job.precision]
        compare = SuppressedComparison(job.options, tolerance.scores) if job.options.nms else cell_distance
        found = differences(reference.run, backend, _batches(inputs, job), compare)
        require_equal(found, tolerance, path, job.precision)
        ap = _ap_of_both(reference.detector, backend, job) if job.precision == "int8" else None
        megabytes = _bytes(temporary) / 1e6
    return Exported(path, form.name, job.precision, found, megabytes, ap=ap)


def _ap_of_both(detector: Detector, backend: Backend, job: ExportJob) -> tuple[float, float] | None:
    """AP of PyTorch and of a file; None, with the reason in a line, where the data set is about other classes."""
    assert job.dataset is not None
    options = ValOptions(job.options.weights, batch_size=BATCH, workers=0)
    try:
        accuracy = Accuracy(job.dataset, detector, job.imgsz, options)
    except EngineError as error:
        log.info("AP is not measured: %s", error)
        return None
    return accuracy.ap(detector), accuracy.ap(backend)


@contextmanager
def _whole(path: Path, is_file: bool) -> Iterator[Path]:
    """Where to write: renamed to `path` on success, removed on failure."""
    if is_file:
        with atomic_path(path) as temporary:
            yield temporary
        return
    if path.exists() and not (path / FILE).is_file():
        raise EngineError(f"{path}: is there already and no export; move it away")
    with atomic_folder(path, is_whole=lambda _: False) as temporary:
        yield temporary


def _batches(inputs: Sequence[Tensor], job: ExportJob) -> list[Tensor]:
    """The pictures one by one, and with `--dynamic` also two of them at once, smaller."""
    if not job.options.dynamic or len(inputs) < 2:
        return list(inputs)
    half = [-(-side // (2 * job.metadata.stride)) * job.metadata.stride for side in job.imgsz]
    both = torch.nn.functional.interpolate(torch.cat((inputs[0], inputs[1])).float(), half).to(torch.uint8)
    return [*inputs, both]


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
