"""Running a model's rows on tensors without storage: output shapes, strides and FLOPs for next to nothing.

A row that does not fit its inputs is named, with the file and the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from models.budget import IMAGE_SIDE, ActivationLimit
from models.errors import BudgetError, ConfigError
from models.parser import IMAGE, Row

PROBE_SIZE = IMAGE_SIDE
"""Side in pixels of the image that strides are found with."""


@dataclass(frozen=True)
class RowTrace:
    """What one row gave.

    Attributes:
        shapes: shape of its output; of each level's logits where it is the head.
        flops: floating-point operations (two per multiply-add) of its convolutions and matrix products; 0 unless asked.
    """

    shapes: tuple[tuple[int, ...], ...]
    flops: int = 0


def trace_rows(
    rows: Sequence[Row],
    modules: Sequence[nn.Module],
    image_shape: Sequence[int],
    *,
    count_flops: bool = False,
    limited: bool = False,
) -> list[RowTrace]:
    """One trace per row for an image batch of `image_shape` (B, C, H, W), in evaluation mode; no state changes.

    Args:
        limited: refuse maps that are larger than the budget allows; for images of about `PROBE_SIZE`.

    Raises:
        ConfigError: a row does not fit its inputs.
        BudgetError: a map is too large.
    """
    limit = ActivationLimit() if limited else nullcontext()
    with _evaluating(modules), torch.no_grad(), limit:
        try:
            return _trace(rows, modules, torch.empty(*image_shape, device="meta"), _call_without_storage, count_flops)
        except BudgetError:
            raise
        except ConfigError:
            # An operation may lack a kernel for tensors without storage: the real thing decides.
            device = next((parameter.device for module in modules for parameter in module.parameters()), None)
            return _trace(rows, modules, torch.zeros(*image_shape, device=device), _call, count_flops)


def find_strides(rows: Sequence[Row], traces: Sequence[RowTrace], size: int) -> list[int]:
    """Input pixels per cell of each input of the head, from traces for an image of side `size`.

    Raises:
        ConfigError: a map is no whole fraction of the image.
    """
    strides = []
    for source in rows[-1].sources:
        height, width = (size, size) if source == IMAGE else traces[source].shapes[0][2:]
        if height != width or size % height:
            raise ConfigError(
                f"{rows[-1].location}: takes a map of {height}x{width} cells from row {source} for an image of "
                f"{size}x{size}, which is no whole stride; check strides and paddings of the rows before it"
            )
        strides.append(size // height)
    return strides


def find_size_divisor(rows: Sequence[Row], modules: Sequence[nn.Module], channels: int, strides: Sequence[int]) -> int:
    """What both sides of an image must be a multiple of: the largest stride in the graph, head's inputs or not."""
    divisor = max(strides)
    while divisor < PROBE_SIZE:
        size = 3 * divisor  # an odd multiple, so that a map of twice this stride would not be whole
        try:
            traces = trace_rows(rows, modules, (1, channels, size, size), limited=True)
            if find_strides(rows, traces, size) == list(strides):
                return divisor
        except ConfigError:
            pass
        divisor *= 2
    return divisor


Call = Callable[[nn.Module, Any], Any]


def _trace(
    rows: Sequence[Row], modules: Sequence[nn.Module], image: Tensor, call: Call, count_flops: bool
) -> list[RowTrace]:
    counter = _flop_counter() if count_flops else None
    outputs: list[Any] = []
    traces: list[RowTrace] = []
    total = 0
    with counter or nullcontext():
        for row, module in zip(rows, modules, strict=True):
            inputs = [image if source == IMAGE else outputs[source] for source in row.sources]
            output = _run_row(row, module, inputs, call)
            outputs.append(output)
            before, total = total, counter.get_total_flops() if counter else 0
            tensors = [output] if isinstance(output, Tensor) else output
            traces.append(RowTrace(tuple(tuple(tensor.shape) for tensor in tensors), total - before))
            if row is not rows[-1]:
                _check_output(row, output)
    return traces


def _run_row(row: Row, module: nn.Module, inputs: list[Tensor], call: Call) -> Any:
    try:
        return call(module, inputs if row.takes_list else inputs[0])
    except BudgetError as error:
        raise BudgetError(f"{row.location}: {error}") from error
    except Exception as error:  # whatever a block raises on an input that it does not fit
        shapes = " and ".join("x".join(map(str, tensor.shape[1:])) for tensor in inputs)
        text = next(iter(str(error).splitlines()), "") or type(error).__name__
        remedy = "check 'from', the channels and the arguments"
        if row.takes_list and len(inputs) == 1:
            remedy = "write 'from' as a number, not as a list, where a block takes one input"
        raise ConfigError(
            f"{row.location}: does not fit its input of channels x height x width {shapes} ({text}); {remedy}"
        ) from error


def _check_output(row: Row, output: Any) -> None:
    shape = tuple(output.shape) if isinstance(output, Tensor) else None
    if shape is None or len(shape) != 4 or shape[1] != row.out_channels:
        given = type(output).__name__ if shape is None else f"a tensor of shape {shape}"
        raise ConfigError(
            f"{row.location}: gives {given} where its channel rule promised {row.out_channels} channels; "
            "check the arguments, or the rule that the block is registered with"
        )


def _call(module: nn.Module, inputs: Any) -> Any:
    return module(inputs)


def _call_without_storage(module: nn.Module, inputs: Any) -> Any:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    state = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    return functional_call(module, state, (inputs,))


@contextmanager
def _evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Evaluation mode, so that batch statistics of a 1x1 map are no error; each module's mode comes back."""
    modes = [(module, module.training) for row in modules for module in row.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _flop_counter() -> FlopCounterMode:
    """Torch's counter, taught torchvision's deformable convolution, which it does not know."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.torchvision.deform_conv2d: _deform_conv_flops})


def _deform_conv_flops(x_shape: Any, weight_shape: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    batch, out_channels, height, width = out_shape
    kernel_elements = weight_shape[1] * weight_shape[2] * weight_shape[3]
    return 2 * batch * out_channels * height * width * kernel_elements
