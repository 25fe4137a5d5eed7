"""One checkpoint on every back end and in every precision: AP, milliseconds, size."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from data.config import load_dataset_config
from engine.backends import Backend, open_backend
from engine.device import describe_device, precision_of, select_device
from engine.errors import EngineError
from engine.exporting.accuracy import Accuracy
from engine.exporting.export import CHECKED, export
from engine.exporting.formats import format_named
from engine.exporting.pictures import check_paths, inputs_of
from engine.exporting.timing import milliseconds
from engine.faults import faults_told
from engine.format_names import format_names
from engine.input_size import fit_to_stride
from engine.options import ExportOptions, ValOptions
from engine.processor import describe_processor
from engine.validation import data_yaml
from files.errors import InputError
from models.budget import model_budget

ROUNDS = 15
TORCH = "torch"
_PRECISIONS = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass(frozen=True)
class Candidate:
    """A back end with a file that it runs, or why there is none.

    Attributes:
        name: of the format, `torch` for the checkpoint itself.
        precision: fp32, fp16, bf16 or int8.
        backend: None where there is none.
        megabytes: size of the file or folder.
        fault: why there is no back end; one line.
    """

    name: str
    precision: str
    backend: Backend | None = None
    megabytes: float = math.nan
    fault: str = ""


@dataclass(frozen=True)
class Row:
    """What was measured of a candidate; NaN where nothing could be.

    Attributes:
        ap: in [0, 1].
        ms: of one picture, from the letterboxed picture in memory to boxes and scores.
        megabytes: size of the file or folder.
        fault: why nothing could be measured; one line.
    """

    name: str
    precision: str
    ap: float
    ms: float
    megabytes: float
    fault: str = ""


@dataclass(frozen=True)
class Benchmark:
    """The table.

    Attributes:
        rows: the checkpoint's own first.
        task: the split that AP was measured on.
        pictures: how many it has.
        imgsz: side of every input, pixels.
        where: device, processor and versions in words.
    """

    rows: tuple[Row, ...]
    task: str
    pictures: int
    imgsz: int
    where: str


def benchmark(options: ValOptions) -> Benchmark:
    """Exports a checkpoint to a temporary folder in every format and precision, and measures each file.

    All see the same square inputs, so that AP differs by what the format changes alone; `val.py` without `--benchmark`
    takes inputs that fit the pictures.

    Raises:
        InputError: bad input that concerns all of them. What concerns one format, such as a package that is missing,
            is the `fault` of its rows.
        OutputError: a file cannot be written.
        FaultError: the machine failed.
    """
    with ExitStack() as held, faults_told(), model_budget(options.model_budget):
        temporary = held.enter_context(TemporaryDirectory(prefix="saconv-yolo-", ignore_cleanup_errors=True))
        return _benchmark(options, Path(temporary))


def _benchmark(options: ValOptions, folder: Path) -> Benchmark:
    device = select_device(options.device)
    own = list(checkpoints(options, device))
    first = own[0].backend
    assert first is not None
    data = data_yaml(options, first)
    dataset = load_dataset_config(data)
    (imgsz,) = fit_to_stride((options.imgsz or first.imgsz,), first.stride)
    accuracy = Accuracy(dataset, first, (imgsz, imgsz), options)
    inputs = list(inputs_of(check_paths(dataset, CHECKED), (imgsz, imgsz)))
    asked = ExportOptions(
        options.weights, cfg=options.cfg, data=data, imgsz=(imgsz,), model_budget=options.model_budget
    )
    found = [*own, *exported(asked, folder, device)]
    rows = tuple(measured(found, inputs, accuracy))
    where = f"{describe_device(device)}; {describe_processor()}"
    return Benchmark(rows, options.task, accuracy.pictures, imgsz, where)


def checkpoints(options: ValOptions, device: torch.device) -> Iterator[Candidate]:
    """The checkpoint in PyTorch: in float32, and in what `--half` or `--bf16` asks for.

    Raises:
        EngineError: it is an exported file.
    """
    file = Path(options.weights).expanduser()
    asked = precision_of(device, half=options.half, bf16=options.bf16)
    for dtype in dict.fromkeys((torch.float32, asked)):
        backend = open_backend(file, device=device, dtype=dtype, cfg=options.cfg)
        if not backend.takes_precision:
            raise EngineError(f"--benchmark: {file} is exported already; give the checkpoint that it was made of")
        yield Candidate(TORCH, _PRECISIONS[dtype], backend, file.stat().st_size / 1e6)


def exported(options: ExportOptions, folder: Path, device: torch.device) -> Iterator[Candidate]:
    """The checkpoint in every format and precision.

    Args:
        options: everything but format and precision.
        folder: where the files go.
    """
    weights = folder / Path(options.weights).name
    shutil.copyfile(Path(options.weights).expanduser(), weights)  # a file is written beside its weights
    for name in format_names():
        for precision in format_named(name).tolerances:
            asked = replace(
                options, weights=str(weights), include=(name,), half=precision == "fp16", int8=precision == "int8"
            )
            try:
                (written,) = export(asked)
                backend = open_backend(written.path, device=device)
            except InputError as error:
                fault = str(error).replace(f"{folder}/", "")
                yield Candidate(name, precision, fault=fault)
            else:
                yield Candidate(name, precision, backend, written.megabytes)


def measured(candidates: Sequence[Candidate], inputs: Sequence[Tensor], accuracy: Accuracy) -> Iterator[Row]:
    """A row of each, in their order.

    Args:
        inputs: `(1, 3, H, W)` uint8 RGB each, what the clock is held to.
    """
    running = {index: one.backend for index, one in enumerate(candidates) if one.backend is not None}
    times = dict(zip(running, milliseconds(list(running.values()), inputs, ROUNDS), strict=True))
    for index, one in enumerate(candidates):
        ap = math.nan if one.backend is None else accuracy.ap(one.backend)
        yield Row(one.name, one.precision, ap, times.get(index, math.nan), one.megabytes, one.fault)
