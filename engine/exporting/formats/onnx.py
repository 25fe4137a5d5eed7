"""ONNX, by torch's exporter: for ONNX Runtime, and all that reads ONNX."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.errors import EngineError
from engine.exporting.format import FP32, ExportFormat, ExportJob, Tolerance, register_format
from engine.exporting.network import ExportedNetwork
from engine.exporting.onnx_graph import missing_operator, onnx_graph
from engine.options import ExportOptions
from engine.packages import import_package, require_package

_LEAST_TORCH = (2, 5)


@register_format
class Onnx(ExportFormat):
    """One file, with the weights inside."""

    ending = ".onnx"
    options = frozenset({"dynamic", "half", "nms", "opset", "simplify"})
    packages = {  # noqa: RUF012
        "onnx": "onnx>=1.23",
        "onnxscript": "onnxscript>=0.7",
        "onnxruntime": "onnxruntime",
    }
    # float16 has 11 bits: a side of a large box moves by some pixels.
    tolerances = {"fp32": FP32, "fp16": Tolerance(8.0, 0.05)}  # noqa: RUF012

    def check(self, options: ExportOptions) -> None:
        """Also refuses an old torch, whose exporter takes no dynamic shapes."""
        if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _LEAST_TORCH:
            raise EngineError(
                f'--include onnx: needs torch 2.5 or newer, not {torch.__version__}; run: pip install "torch>=2.5"'
            )
        super().check(options)
        if options.simplify:
            require_package("onnxslim", "onnxslim>=0.1.98", "--simplify")

    def write(self, network: ExportedNetwork, job: ExportJob, temporary: Path) -> None:
        """See the base class."""
        model = onnx_graph(network, job)
        content = model.SerializeToString()
        _require_runnable(content, {entry.domain: entry.version for entry in model.opset_import}[""])
        temporary.write_bytes(content)


def _require_runnable(content: bytes, opset: int) -> None:
    """Refuses a graph that ONNX Runtime does not take."""
    onnxruntime = import_package("onnxruntime", "onnxruntime", "--include onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of classes that it does not name
        reason, version = str(error).strip().splitlines()[0], onnxruntime.__version__
        raise EngineError(
            missing_operator(str(error), opset)
            or f"--opset {opset}: ONNX Runtime {version} does not take it ({reason}); use an older one"
        ) from None
