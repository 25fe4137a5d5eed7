"""The back end for OpenVINO: the folders that `export.py --include openvino` writes, or the `.xml` in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.backends.base import register_backend
from engine.backends.exported import ExportedBackend, network_file
from engine.backends.metadata import FILE, read_metadata
from engine.errors import EngineError
from engine.openvino_packages import import_openvino
from files.words import count, cut

OUTPUTS = ("boxes", "scores")


@register_backend(".xml")
class OpenVinoBackend(ExportedBackend):
    """Runs an OpenVINO network on the CPU."""

    def __init__(self, weights: Path, *, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        file = network_file(weights, ".xml")
        self.describe(read_metadata(file.with_name(FILE)))
        self.network = _compiled(file)
        self.device, self.dtype = torch.device("cpu"), torch.float32

    @classmethod
    def opens_folder(cls, folder: Path) -> bool:
        """A folder with an `.xml` file."""
        return any(folder.glob("*.xml"))

    def run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        """See the base class."""
        try:
            found = self.network(images)
        except RuntimeError as error:
            raise EngineError(
                f"{self.weights}: OpenVINO cannot run it on {tuple(images.shape)} ({_reason(error)})"
            ) from None
        return [found[index] for index in range(len(found))]

    def where(self) -> str:
        """The processor, the runtime and the precision of the file."""
        return f"CPU, OpenVINO; {self.metadata.precision}"


def _compiled(file: Path) -> Any:
    openvino = import_openvino(str(file))
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # else processors that can compute in bfloat16 do
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    try:
        # Its own format alone: left to itself, OpenVINO tries a damaged file as one of other programs, and says so.
        reader = openvino.frontend.FrontEndManager().load_by_framework("ir")
        network = openvino.Core().compile_model(reader.convert(reader.load(str(file))), "CPU", settings)
    except RuntimeError as error:
        raise EngineError(
            f"{file}: OpenVINO cannot load it ({_reason(error)}); it is damaged or of a newer OpenVINO; export it again"
        ) from None
    if len(network.inputs) != 1 or len(network.outputs) != len(OUTPUTS):
        raise EngineError(
            f"{file}: has {count(len(network.inputs), 'input')} and {count(len(network.outputs), 'output')}, not "
            f"images, and {' and '.join(OUTPUTS)}; give a network that export.py wrote"
        )
    return network


def _reason(error: Exception) -> str:
    """What OpenVINO means: its texts begin with the places in its own code that they come from."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return cut((told or lines or ["no reason given"])[0], 200)
