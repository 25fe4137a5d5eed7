"""ONNX, by torch's exporter."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.exporting.format import FP32, ExportFormat, ExportJob, Tolerance, register_format
from engine.exporting.network import INPUT, OUTPUTS, ExportedNetwork

DEFAULT_OPSET = 20  # from 19 on there is deformable convolution


@register_format
class Onnx(ExportFormat):
    """ONNX, for ONNX Runtime and everything that reads ONNX."""

    ending = ".onnx"
    options = frozenset({"dynamic", "half", "opset"})
    packages = {"onnx": "onnx>=1.17", "onnxscript": "onnxscript>=0.7", "onnxruntime": "onnxruntime>=1.20"}  # noqa: RUF012
    tolerances = {"fp32": FP32, "fp16": Tolerance(8.0, 0.05)}  # noqa: RUF012

    def write(self, network: ExportedNetwork, job: ExportJob, temporary: Path) -> None:
        """See the base class."""
        if job.options.half:
            network.half_inside()
        height, width = job.imgsz
        program = torch.onnx.export(
            network,
            (torch.zeros(job.batch_size, 3, height, width),),
            dynamo=True,
            opset_version=job.options.opset or DEFAULT_OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(job.metadata.as_texts())
        program.save(str(temporary))
