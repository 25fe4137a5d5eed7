"""The back end for TorchScript: torch itself, without the code of the blocks."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from engine.backends.base import register_backend
from engine.backends.exported import ExportedBackend
from engine.backends.metadata import FILE, parse_metadata
from engine.backends.torchscript_archive import METADATA, archive_of, on_device, read_archive
from engine.device import memory_format_of
from engine.errors import EngineError


@register_backend(".torchscript")
class TorchScriptBackend(ExportedBackend):
    """Runs a TorchScript file of `export.py`, on the CPU or a GPU, in the precision that it was written in."""

    def __init__(self, weights: Path, *, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        records = read_archive(weights)
        if METADATA not in records:
            raise EngineError(f"{weights}: holds no {FILE}, which says what it detects; export it with export.py")
        self.describe(parse_metadata(records[METADATA], str(weights)))
        self.device = device
        self.dtype = torch.float16 if self.metadata.precision == "fp16" else torch.float32
        self.layout = memory_format_of(device, self.dtype)
        if device.type != "cpu":
            records = on_device(records, str(device))
        self.network = _load(archive_of(records), device, weights)

    def run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        inputs = torch.from_numpy(images).to(self.device).contiguous(memory_format=self.layout)  # (B, 3, H, W)
        # Without optimisation for each size anew, which takes longer than it saves.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            return [part.cpu().numpy() for part in self.network(inputs)]


def _load(archive: bytes, device: torch.device, weights: Path) -> torch.jit.ScriptModule:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # newer torch would rather have torch.export used
            return torch.jit.load(io.BytesIO(archive), map_location=device)
    except (RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"{weights}: damaged, or of another torch ({reason}); export it again") from None
