"""NCNN, by pnnx: a folder with `model.ncnn.param`, `model.ncnn.bin` and `metadata.yaml`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from engine.backends.metadata import FILE
from engine.backends.ncnn import NCNN, unknown_layers
from engine.errors import EngineError
from engine.exporting.format import FP32, ExportFormat, ExportJob, Tolerance, register_format
from engine.exporting.network import ExportedNetwork
from engine.exporting.quiet import quiet
from engine.options import ExportOptions
from engine.packages import import_package
from models.tracing import for_one_size

PNNX = "pnnx>=20261020"
GRAPH, TENSORS = "model.ncnn.param", "model.ncnn.bin"

_TIMEOUT_S = 600


@register_format
class Ncnn(ExportFormat):
    """For one picture of one size; with `--half` the weights are stored in float16."""

    ending = "_ncnn"
    options = frozenset({"half"})
    packages = {"ncnn": NCNN, "pnnx": PNNX}  # noqa: RUF012
    tolerances = {"fp32": FP32, "fp16": Tolerance(4.0, 0.03)}  # noqa: RUF012

    def check(self, options: ExportOptions) -> None:
        """Also refuses batches."""
        super().check(options)
        if options.batch_size > 1:
            raise EngineError(
                f"--batch-size {options.batch_size}: ncnn takes one picture at a time; leave it out, or export "
                "ncnn alone"
            )

    def write(self, network: ExportedNetwork, job: ExportJob, temporary: Path) -> None:
        """See the base class."""
        ncnn = import_package("ncnn", NCNN, "--include ncnn")
        shape = (1, 3, *job.imgsz)
        with TemporaryDirectory() as name:
            temporary_folder = Path(name)
            with quiet(), torch.no_grad(), for_one_size(), _InWordsOfPnnx():
                torch.jit.trace(network, torch.zeros(shape), check_trace=False).save(str(temporary_folder / "model.pt"))
            _convert(temporary_folder, shape, half=job.options.half)
            unknown = unknown_layers(temporary_folder / GRAPH, ncnn)
            if unknown:
                raise EngineError(
                    f"--include ncnn: NCNN has no operator for {', '.join(unknown)}, which this network uses; export "
                    "another format"
                )
            for file in (GRAPH, TENSORS):
                (temporary / file).write_bytes((temporary_folder / file).read_bytes())
        (temporary / FILE).write_text(job.metadata.as_yaml(), encoding="utf-8")


def _convert(folder: Path, shape: Iterable[int], *, half: bool) -> None:
    """Runs pnnx on `model.pt` of a folder; what it writes lies beside it."""
    pnnx = import_package("pnnx", PNNX, "--include ncnn")
    size = ",".join(map(str, shape))
    command = [pnnx.EXEC_PATH, "model.pt", f"inputshape=[{size}]", f"fp16={int(half)}"]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(
            f"--include ncnn: pnnx cannot be run ({error}); install it anew, or export another format"
        ) from None
    if result.returncode or not all((folder / file).is_file() for file in (GRAPH, TENSORS)):
        raise EngineError(
            f"--include ncnn: pnnx cannot convert this network (exit code {result.returncode}); export another format"
        )


class _InWordsOfPnnx(TorchFunctionMode):
    """Inside the `with`, operations that pnnx does not know are written in ones that it knows."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.lerp:
            return _interpolated(*args)
        return func(*args, **(kwargs or {}))


def _interpolated(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    return start + weight * (end - start)
