"""A detector as an OpenVINO network: by torch.export, or quantised to int8 by NNCF."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.exporting.format import ExportJob
from engine.exporting.network import INPUT, OUTPUTS, ExportedNetwork
from engine.exporting.quiet import quiet
from engine.openvino_packages import import_openvino

MOST = 65_536
"""Bound that torch wants for a batch, and for a side in strides."""


class LogitsKept(nn.Module):
    """An exported network that also gives the logits: they are where decoding begins."""

    def __init__(self, network: ExportedNetwork) -> None:
        super().__init__()
        self.detector = network.detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """`images (B, 3, H, W)` to boxes `(B, N, 4)`, scores `(B, N, nc)`, and the logits of each level."""
        logits = self.detector.logits(images)
        predictions = self.detector.head.decode(logits)
        return predictions.boxes_xyxy, predictions.scores, *logits


def openvino_graph(network: nn.Module, job: ExportJob) -> Any:
    """The `openvino.Model` of a network in float32; its inputs and outputs have the names of `ExportedNetwork`'s."""
    openvino = import_openvino("--include openvino")
    stride = job.metadata.stride
    shape = (job.batch_size, 3, *job.imgsz)
    dynamic_shapes = None
    if job.options.dynamic:
        # Two pictures, and no square: torch takes what is 1, or equal, for fixed.
        shape = (2, 3, 2 * stride, 3 * stride)
        batch, rows, columns = (torch.export.Dim(name, min=1, max=MOST) for name in ("batch", "rows", "columns"))
        dynamic_shapes = {INPUT: {0: batch, 2: stride * rows, 3: stride * columns}}
    with quiet(), torch.no_grad():
        program = torch.export.export(network, (torch.zeros(shape),), dynamic_shapes=dynamic_shapes, strict=False)
        model = openvino.convert_model(program, input=[-1, 3, -1, -1] if job.options.dynamic else list(shape))
    model.inputs[0].get_tensor().set_names({INPUT})
    for output, name in zip(model.outputs[: len(OUTPUTS)], OUTPUTS, strict=True):
        output.get_tensor().set_names({name})
    return model
