"""TorchScript: a trace of the network, for torch without this project's code, and for libtorch."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from engine.backends.metadata import FILE
from engine.backends.torchscript_archive import archive_of, records_of
from engine.errors import EngineError
from engine.exporting.format import FP32, ExportFormat, ExportJob, Tolerance, register_format
from engine.exporting.network import ExportedNetwork


@register_format
class TorchScript(ExportFormat):
    """A trace: what torch computed for an example, whose batch and size the operators follow."""

    ending = ".torchscript"
    options = frozenset({"dynamic", "half"})
    tolerances = {"fp32": FP32, "fp16": Tolerance(8.0, 0.05)}  # noqa: RUF012

    def write(self, network: ExportedNetwork, job: ExportJob, temporary: Path) -> None:
        """See the base class."""
        if job.options.half:
            network.half_inside()
        network.to(memory_format=torch.channels_last)
        traced = _trace(network, torch.zeros(job.batch_size, 3, *job.imgsz))
        if job.options.dynamic:
            _require_other_sizes(traced, network, job)
        in_memory = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # newer torch would rather have torch.export used
            torch.jit.save(traced, in_memory, _extra_files={FILE: job.metadata.as_yaml()})
        temporary.write_bytes(archive_of(records_of(in_memory)))


def _trace(network: ExportedNetwork, example: Tensor) -> torch.jit.ScriptModule:
    try:
        # `compare` checks the file; a trace asks about every size that Python looks at.
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.trace(copy.deepcopy(network), example, check_trace=False)
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"--include torchscript: torch cannot trace it ({reason}); choose another format") from None


def _require_other_sizes(
    traced: Callable[[Tensor], tuple[Tensor, Tensor]], network: ExportedNetwork, job: ExportJob
) -> None:
    """Refuses a trace that has its example's size written in, as where a block makes a number of a size."""
    height, width = job.imgsz
    stride = job.metadata.stride
    images = torch.rand(
        job.batch_size + 1, 3, height + stride, max(width - stride, stride), generator=torch.manual_seed(0)
    )
    try:
        with torch.no_grad():
            pairs = zip(traced(images), network(images), strict=True)
            same = all(torch.allclose(ours, theirs, 1e-2, 1e-2) for ours, theirs in pairs)
    except RuntimeError:
        same = False
    if not same:
        raise EngineError("--dynamic: a trace of this network fits one size alone; leave it out")
