"""The table of a built model, and the number of its operations."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate
from torch import nn

from models.detector import Detector
from models.probe import RowTrace, trace_rows

HEADERS = ("row", "from", "block", "arguments", "output shape", "parameters", "MFLOPs")
ARGUMENT_WIDTH = 44


def count_parameters(module: nn.Module) -> int:
    """Number of trained values; buffers are not counted."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_flops(model: Detector, imgsz: int | tuple[int, int] = 640) -> int:
    """Floating-point operations for one image of side `imgsz` (or of height and width), two per multiply-add.

    Counted by `torch.utils.flop_counter` on convolutions and matrix products, in evaluation mode and on tensors without
    storage: it takes the same short time for a large model. The model stays as it is.

    Raises:
        ValueError: the size is not a multiple of the model's `size_divisor`.
    """
    return sum(trace.flops for trace in _trace(model, imgsz))


def summarize(model: Detector, imgsz: int | tuple[int, int] = 640) -> str:
    """The model as a table of its rows for one image of side `imgsz` (or of height and width), with totals.

    Raises:
        ValueError: the size is not a multiple of the model's `size_divisor`.
    """
    traces = _trace(model, imgsz)
    lines = []
    for row, module, trace in zip(model.rows, model.model, traces, strict=True):
        shapes = " ".join("x".join(map(str, shape[1:])) for shape in trace.shapes)
        source = ", ".join(map(str, row.source)) if isinstance(row.source, list) else str(row.source)
        parameters, mflops = f"{count_parameters(module):,}", f"{trace.flops / 1e6:,.1f}"
        lines.append((row.index, source, row.block, row.arguments, shapes, parameters, mflops))
    widths = [None, None, None, ARGUMENT_WIDTH, ARGUMENT_WIDTH, None, None]
    align = ("right", "right", "left", "left", "left", "right", "right")
    table = tabulate(lines, HEADERS, "simple", colalign=align, maxcolwidths=widths, disable_numparse=True)
    return f"{table}\n\n{_totals(model, imgsz, traces)}"


def _trace(model: Detector, imgsz: int | tuple[int, int]) -> list[RowTrace]:
    height, width = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz
    if height < 1 or width < 1 or height % model.size_divisor or width % model.size_divisor:
        raise ValueError(f"image size {height}x{width} must be a positive multiple of {model.size_divisor}")
    return trace_rows(model.rows, list(model.model), (1, model.in_channels, height, width), count_flops=True)


def _totals(model: Detector, imgsz: int | tuple[int, int], traces: Sequence[RowTrace]) -> str:
    height, width = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz
    strides = ", ".join(f"{stride:g}" for stride in model.stride.tolist())
    gflops = sum(trace.flops for trace in traces) / 1e9
    return (
        f"{len(model.rows)} rows, {count_parameters(model):,} parameters, {gflops:,.1f} GFLOPs at {height}x{width}, "
        f"{model.num_classes} classes, strides {strides}\n"
        "Shapes are channels x height x width; of YOLOv5's head anchors x height x width x outputs. FLOPs are two per\n"
        "multiply-add of convolutions and matrix products (torch.utils.flop_counter), for one image in evaluation\n"
        "mode, blocks not fused; normalisation, activation and pooling are not counted."
    )
