"""The back end for ONNX files: ONNX Runtime.

Files of `export.py` say what they are. Those of YOLOv5, of ultralytics and of whoever writes the same are known by the
shapes of their outputs; see `engine.backends.layouts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.backends.base import register_backend
from engine.backends.exported import ExportedBackend
from engine.backends.layouts import Layout, recognise
from engine.backends.literals import parse_json, parse_names, parse_numbers
from engine.backends.metadata import PRODUCER, Metadata, metadata_of
from engine.errors import EngineError
from engine.packages import import_package
from files.classes import Classes
from files.words import cut
from models.heads.base import Predictions

_DEFAULT_SIZE = 640
_DEFAULT_STRIDE = 32
_FATAL_ONLY = 4
_TENSORRT = "TensorrtExecutionProvider"
_REMEDY = "it is damaged, or of another kind; export it again"
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@register_backend(".onnx")
class OnnxBackend(ExportedBackend):
    """Runs an ONNX file on the CPU, or on a GPU where the installed ONNX Runtime can.

    Attributes:
        layout: what the outputs mean; None for a file of ours, whose metadata say so.
    """

    layout: Layout | None = None

    def __init__(self, weights: Path, *, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._onnxruntime = import_package("onnxruntime", "onnxruntime", str(weights))
        self.weights = weights
        self.session = self._open(weights, device, fixed=False)
        self._input, self._dtype, fixed = _image_input(self.session.get_inputs(), weights)
        if self._on_tensorrt(device) and None not in fixed:
            self.session = self._open(weights, device, fixed=True)
        self._names = [output.name for output in self.session.get_outputs()]
        self.device, self.dtype = torch.device("cpu"), torch.float32
        texts: Mapping[str, str] = self.session.get_modelmeta().custom_metadata_map
        if texts.get("producer") == PRODUCER:
            self._use_own(texts, fixed)
        else:
            self._use_foreign(texts, fixed)

    def _on_tensorrt(self, device: torch.device) -> bool:
        return device.type == "cuda" and _TENSORRT in self._onnxruntime.get_available_providers()

    def _open(self, weights: Path, device: torch.device, *, fixed: bool) -> Any:
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = _FATAL_ONLY
        providers = _providers(self._onnxruntime.get_available_providers(), device, fixed=fixed)
        self._lacks_gpu = device.type == "cuda" and len(providers) == 1
        try:
            return self._onnxruntime.InferenceSession(str(weights), options, providers=providers)
        except Exception as error:  # of classes that it does not name
            raise EngineError(f"{weights}: ONNX Runtime cannot load it ({_reason(error)}); {_REMEDY}") from None

    def _use_own(self, texts: Mapping[str, str], fixed: tuple[int | None, ...]) -> None:
        names = parse_names(texts.get("names", ""))
        values = {key: parse_json(text) for key, text in texts.items() if key not in ("names", "commit", "version")}
        metadata = metadata_of({**values, "names": names or ()}, str(self.weights))
        self.describe(metadata)
        wanted = [None, None, None] if metadata.dynamic else [metadata.batch, *metadata.imgsz]
        if list(fixed) != wanted or len(self._names) != (3 if metadata.finished else 2):
            raise EngineError(f"{self.weights}: its inputs and outputs are not those of its metadata; export it again")

    def _use_foreign(self, texts: Mapping[str, str], fixed: tuple[int | None, ...]) -> None:
        task = texts.get("task", "detect")
        if task != "detect":
            raise EngineError(f"{self.weights}: is for the task {cut(task, 40)!r}; only detectors run here")
        batch, height, width = fixed
        sides = (parse_numbers(texts.get("imgsz", "")) or (_DEFAULT_SIZE,))[:2]
        hw = (height or sides[0], width or sides[-1])
        names = parse_names(texts.get("names", ""))
        known = None if names is None else len(names)
        shapes = [output.shape for output in self.run(np.zeros((batch or 1, 3, *hw), np.float32))]
        layout = recognise(self._names, shapes, known, hw)
        if layout is None:
            found = ", ".join(f"{name} {shape}" for name, shape in zip(self._names, shapes, strict=True))
            raise EngineError(f"{self.weights}: its outputs are not those of a detector known here ({cut(found, 120)})")
        count = layout.num_classes or known
        if count is None:
            raise EngineError(
                f"{self.weights}: says neither the names nor the number of its classes; export it with its metadata"
            )
        stride = (parse_numbers(texts.get("stride", "")) or (_DEFAULT_STRIDE,))[0]
        classes = Classes.numbered(count) if names is None else Classes.of(names)
        self.describe(
            Metadata(
                producer="",
                names=classes.names,
                ids=classes.ids,
                imgsz=hw,
                batch=batch or 1,
                dynamic=height is None and width is None,
                stride=max(stride, 1),
                precision="",
                needs_suppression=layout.needs_suppression,
            )
        )
        self.layout, self.is_named, self.fixed_batch = layout, names is not None, batch
        if (height is None) != (width is None):
            self.fixed_hw = hw

    def run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        """See the base class; whatever the outputs are."""
        try:
            return self.session.run(None, {self._input: images.astype(self._dtype, copy=False)})
        except Exception as error:  # of classes that ONNX Runtime does not name
            batch, _, height, width = images.shape
            raise EngineError(
                f"{self.weights}: ONNX Runtime cannot run it on {batch} x {height}x{width} px ({_reason(error)}); "
                "use the --imgsz that it was exported for"
            ) from None

    def predictions(self, outputs: Sequence[np.ndarray]) -> Predictions:
        """See the base class."""
        if self.layout is None:
            return super().predictions(outputs)
        return self.layout.read(outputs, len(self.classes))

    def where(self) -> str:
        """ONNX Runtime, the provider that computes, and the precision."""
        provider = self.session.get_providers()[0].removesuffix("ExecutionProvider")
        note = "; for the GPU: pip install onnxruntime-gpu" if self._lacks_gpu else ""
        kind = self.metadata.precision or f"outputs {self.layout.name}" if self.layout else self.metadata.precision
        return f"ONNX Runtime {self._onnxruntime.__version__}, {provider}, {kind}{note}"


def _providers(available: Sequence[str], device: torch.device, *, fixed: bool) -> list[Any]:
    """What computes, the first that can: a GPU where one is asked for.

    TensorRT prepares itself for each size anew, which takes minutes; so it is asked for `fixed` ones alone.
    """
    chosen: list[Any] = []
    if device.type == "cuda":
        gpu = {"device_id": device.index or 0}
        wanted = (*((_TENSORRT,) if fixed else ()), "CUDAExecutionProvider")
        chosen = [(name, gpu) for name in wanted if name in available]
    return [*chosen, "CPUExecutionProvider"]


def _image_input(inputs: Sequence[Any], weights: Path) -> tuple[str, Any, tuple[int | None, ...]]:
    """Name and NumPy type of the input, and its batch, height and width; None for those that are free.

    Raises:
        EngineError: there is none for pictures, or another one beside it.
    """
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].type in _DTYPES:
        batch, channels, height, width = (size if isinstance(size, int) else None for size in inputs[0].shape)
        if channels in (3, None):
            return inputs[0].name, _DTYPES[inputs[0].type], (batch, height, width)
    found = ", ".join(f"{each.name} {each.type.removeprefix('tensor')} {each.shape}" for each in inputs)
    raise EngineError(
        f"{weights}: takes no pictures: its inputs are {cut(found, 120)}, not one of (batch, 3, height, width)"
    )


def _reason(error: Exception) -> str:
    """The last part of what ONNX Runtime says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return cut((text.rpartition("failed:")[2] or text).rstrip("."), 160)
