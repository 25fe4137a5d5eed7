"""A detector as an ONNX graph, by torch's exporter, with suppression where it is asked for.

Other formats that read ONNX may start from this graph, too.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from engine.errors import EngineError
from engine.exporting.format import ExportJob
from engine.exporting.network import INPUT, OUTPUTS, ExportedNetwork
from engine.exporting.onnx_suppression import add_suppression
from engine.packages import import_package

DEFAULT_OPSET = 20  # from 19 on there is deformable convolution, from 20 on its samples lie where torch's do
LEAST_OPSET = 18  # torch's exporter has no operators of older ones

# Where an operator is missing, torch and ONNX Runtime say so in these words.
_MISSING_OPERATOR = re.compile(r"No Op registered for (\w+)|No ONNX function found for .*?'([\w.]+)'")


def onnx_graph(network: ExportedNetwork, job: ExportJob, *, most: int = 65_536) -> Any:
    """The `onnx.ModelProto` of a network, with its metadata.

    Input `images (B, 3, H, W)`; outputs `boxes (B, N, 4)`, `scores (B, N, nc)`, or with `--nms` those of
    `add_suppression`.

    Args:
        network: its weights may be changed.
        most: largest batch of a dynamic graph.

    Raises:
        EngineError: an operator or a version of operators that torch cannot write.
    """
    opset = job.options.opset or DEFAULT_OPSET
    if opset < LEAST_OPSET:
        raise EngineError(f"--opset {opset}: versions below {LEAST_OPSET} cannot be written; use a newer one")
    if job.options.half:
        network.half_inside()
    model = _exported(network, job, opset, most)
    written = {entry.domain: entry.version for entry in model.opset_import}[""]
    if written != opset:
        raise EngineError(f"--opset {opset}: torch {torch.__version__} cannot write it; use an older one")
    _name_sides(model, job)
    if job.options.nms:
        add_suppression(model, job.options, job.metadata.num_classes)
    if job.options.simplify:
        with quiet():
            model = import_package("onnxslim", "onnxslim>=0.1.98", "--simplify").slim(model)
    set_metadata(model, job.metadata.as_texts())
    return model


def set_metadata(model: Any, texts: dict[str, str]) -> None:
    """Replaces what a graph says of itself."""
    del model.metadata_props[:]
    for key, value in texts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def _exported(network: ExportedNetwork, job: ExportJob, opset: int, most: int) -> Any:
    height, width = job.imgsz
    # Two pictures, and no square: torch takes what is 1, or equal, for fixed.
    stride = job.metadata.stride
    example = (2, 3, 2 * stride, 3 * stride) if job.options.dynamic else (job.batch_size, 3, height, width)
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                (torch.zeros(example),),
                dynamo=True,
                opset_version=opset,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes=_dynamic_shapes(stride, most) if job.options.dynamic else None,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise EngineError(_why(error, opset)) from None
    assert program is not None
    return program.model_proto


def _dynamic_shapes(stride: int, most: int) -> tuple[dict[int, Any]]:
    batch = torch.export.Dim("batch", min=1, max=most)
    height, width = (stride * torch.export.Dim(name, min=1, max=65_536 // stride) for name in ("rows", "columns"))
    return ({0: batch, 2: height, 3: width},)


def _why(error: Exception, opset: int) -> str:
    """One line for a network that torch cannot write."""
    causes: list[BaseException] = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    reason = (str(causes[-1]).strip() or type(causes[-1]).__name__).splitlines()[0]
    line = missing_operator(" ".join(map(str, causes)), opset)
    return line or f"--include onnx: torch {torch.__version__} cannot write this network ({reason})"


def missing_operator(text: str, opset: int) -> str:
    """One line where an error's text speaks of an operator that is not there; '' where it does not."""
    found = _MISSING_OPERATOR.search(text)
    if found is None:
        return ""
    name = found[1] or found[2]
    return f"--opset {opset}: ONNX has no operator {name} in this version; use a newer --opset, or another block"


def _name_sides(model: Any, job: ExportJob) -> None:
    """Plain names in place of torch's formulas for what is dynamic."""
    names = ("batch", 3, "height", "width"), ("batch", "cells", 4), ("batch", "cells", job.metadata.num_classes)
    for value, dims in zip((*model.graph.input, *model.graph.output), names, strict=True):
        for dim, name in zip(value.type.tensor_type.shape.dim, dims, strict=True):
            if not dim.HasField("dim_value"):
                dim.dim_param = str(name)
    del model.graph.value_info[:]  # the formulas again, which nobody needs


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters write on standard error about their own work."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
