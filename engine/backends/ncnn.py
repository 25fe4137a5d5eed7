"""The back end for NCNN: the folders that `export.py --include ncnn` writes, or the `.param` in them."""

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
from engine.packages import import_package

NCNN = "ncnn>=1.0.20261020"
INPUT, OUTPUTS = "in0", ("out0", "out1")  # pnnx names them so

_MAGIC = "7767517"
_MOST_LAYERS = 100_000
_MOST_LINE = 100_000  # characters


@register_backend(".param")
class NcnnBackend(ExportedBackend):
    """Runs an NCNN network on the CPU, a picture at a time."""

    def __init__(self, weights: Path, *, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        graph = network_file(weights, ".param")
        self.describe(read_metadata(graph.with_name(FILE)))
        self.fixed_batch = 1
        self.network = _loaded(graph)
        self.device, self.dtype = torch.device("cpu"), torch.float32

    @classmethod
    def opens_folder(cls, folder: Path) -> bool:
        """A folder with a `.param` file."""
        return any(folder.glob("*.param"))

    def run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        """See the base class; one image."""
        ncnn = import_package("ncnn", NCNN, str(self.weights))
        with self.network.create_extractor() as extractor:
            extractor.input(INPUT, ncnn.Mat(images[0]))
            found = [extractor.extract(name) for name in OUTPUTS]
            if any(code for code, _ in found):
                raise EngineError(f"{self.weights}: NCNN cannot run it on {tuple(images.shape)}; export it again")
            return [np.array(value)[None] for _, value in found]

    def where(self) -> str:
        """The processor, the runtime and the precision of the file."""
        return f"CPU, NCNN; {self.metadata.precision}"


def unknown_layers(graph: Path, ncnn: Any) -> list[str]:
    """Types of layers in a `.param` file that NCNN does not have, sorted.

    Raises:
        EngineError: it is no such file, or damaged.
    """
    try:
        lines = [line for line in graph.read_text(encoding="ascii").splitlines() if line.strip()]
        magic, counts, *layers = lines
        number, blobs = (int(part) for part in counts.split())
    except (OSError, ValueError):
        raise EngineError(f"{graph}: is no NCNN network; give a folder that export.py wrote") from None
    if magic.strip() != _MAGIC or number != len(layers):
        raise EngineError(f"{graph}: is damaged or no NCNN network ({len(layers)} layers); export it again")
    if max(number, blobs) > _MOST_LAYERS or max(map(len, lines)) > _MOST_LINE:
        raise EngineError(f"{graph}: is larger than any network of export.py; give one that it wrote")
    types = {line.split()[0] for line in layers}
    return sorted(name for name in types if ncnn.layer_to_index(name) < 0)


def _loaded(graph: Path) -> Any:
    ncnn = import_package("ncnn", NCNN, str(graph))
    unknown = unknown_layers(graph, ncnn)
    if unknown:
        raise EngineError(f"{graph}: NCNN has no layer {unknown[0]}; update it, or export another format")
    network = ncnn.Net()
    network.opt.use_vulkan_compute = False
    network.opt.num_threads = torch.get_num_threads()
    # Weights that are stored in float16 are computed with in float32: no processor rounds otherwise than another one.
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.opt.use_bf16_storage = False
    if network.load_param(str(graph)) or network.load_model(str(graph.with_suffix(".bin"))):
        raise EngineError(f"{graph}: NCNN cannot load it; it is damaged: export it again")
    return network
