"""The back end for ONNX files: ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.backends.base import register_backend
from engine.backends.exported import ExportedBackend
from engine.backends.metadata import metadata_of
from engine.packages import import_package


@register_backend(".onnx")
class OnnxBackend(ExportedBackend):
    """Runs an ONNX file on the CPU."""

    def __init__(self, weights: Path, *, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        onnxruntime = import_package("onnxruntime", "onnxruntime>=1.20", str(weights))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        texts: Mapping[str, str] = self.session.get_modelmeta().custom_metadata_map
        self.describe(metadata_of(_values(texts), str(weights)))
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        return self.session.run(None, {self.session.get_inputs()[0].name: images})


def _values(texts: Mapping[str, str]) -> dict[str, Any]:
    import yaml

    return {key: yaml.safe_load(text) if key == "names" else _json(text) for key, text in texts.items()}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
