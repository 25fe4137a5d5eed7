"""Post-training quantisation to int8, by NNCF: convolutions and matrix products, but for what must stay in float.

In float stay the decoding of the logits, where a step of a distance would be pixels, and in a block what it asks for
itself: a module's attribute `float_operands` names those of its tensors whose operations, and what is computed from
them up to the next convolution, are not quantised. SAConv2d names its switch and contexts, so that its two convolutions
are int8 and the blend between them is not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.exporting.format import ExportJob
from engine.exporting.network import OUTPUTS, ExportedNetwork
from engine.exporting.openvino_graph import LogitsKept, openvino_graph
from engine.exporting.pictures import inputs_of, picture_paths
from engine.exporting.quiet import quiet
from engine.openvino_packages import import_nncf
from files.words import count

log = logging.getLogger(__name__)

CALIBRATION = 300
"""Most training pictures that ranges are measured on."""

_PRODUCTS = ("Convolution", "GroupConvolution", "MatMul", "DeformableConvolution")
"""Operations that are computed in int8."""

_GATES = ("Subtract", "Multiply", "Divide", "Select", "ReduceMean", "AvgPool")
"""Operations of gates, blends and contexts: in int8 they save nothing, and a gate has but 256 values."""


def quantised_graph(network: ExportedNetwork, job: ExportJob) -> Any:
    """The `openvino.Model` of a network in int8, calibrated on the training pictures of `job.dataset`.

    Raises:
        DataError, EngineError: there are none, or they cannot be read.
    """
    nncf = import_nncf("--int8")
    assert job.dataset is not None
    paths = picture_paths(job.dataset, "train", CALIBRATION)
    model = openvino_graph(LogitsKept(network), job)
    stays_float = _behind(result.input_value(0).get_node() for result in model.get_results()[len(OUTPUTS) :])
    for result in model.get_results()[len(OUTPUTS) :]:
        model.remove_result(result)
    stays_float |= _float_parts(model, network)
    log.info("int8: calibrating on %s of %s", count(len(paths), "training picture"), job.dataset.file)
    with quiet(), torch.no_grad():
        return nncf.quantize(
            model,
            nncf.Dataset(_batches(paths, job.batch_size), partial(_input, imgsz=job.imgsz)),
            # SiLU gives values from -0.28 on: activations want a zero that is not in the middle.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(paths),
            ignored_scope=nncf.IgnoredScope(names=sorted(stays_float), types=list(_GATES), validate=False),
        )


def _batches(paths: Sequence[Path], size: int) -> list[list[Path]]:
    """The pictures, so many at a time; the last batch is filled up with the first ones."""
    return [[paths[(at + offset) % len(paths)] for offset in range(size)] for at in range(0, len(paths), size)]


def _input(batch: Sequence[Path], imgsz: tuple[int, int]) -> np.ndarray:
    """What the network sees of these pictures: `(B, 3, H, W)` float32 in [0, 1]."""
    return torch.cat(list(inputs_of(batch, imgsz))).float().div(255).numpy()


def _float_parts(model: Any, network: nn.Module) -> set[str]:
    """Names of the operations that blocks want in float."""
    wanted = {_digest(value) for value in _float_operands(network)}
    operations = model.get_ordered_ops()
    starts = [node for node in operations if _kernel_digest(node) in wanted]
    found = {node.get_friendly_name() for node in starts} | _behind(starts, _is_quantised)
    # What serves these alone, such as the difference of two maps that a switch is multiplied by.
    for node in reversed(operations):
        users = {user.get_friendly_name() for user in _users(node)}
        if users and users <= found and node.get_type_name() not in (*_PRODUCTS, "Constant", "Parameter"):
            found.add(node.get_friendly_name())
    return found


def _float_operands(network: nn.Module) -> Iterator[np.ndarray]:
    for module in network.modules():
        for name in getattr(module, "float_operands", ()):
            value = getattr(module, name)
            if value is not None:
                yield value.detach().numpy()


def _is_quantised(node: Any) -> bool:
    """Whether an operation is one with trained weights: the average over a window is a convolution without any."""
    if node.get_type_name() not in _PRODUCTS:
        return False
    kernel = _kernel(node)
    return kernel is None or not bool((kernel == kernel.flat[0]).all())


def _kernel(node: Any) -> np.ndarray | None:
    """The constant that a convolution or a matrix product multiplies by."""
    if node.get_type_name() not in _PRODUCTS:
        return None
    for value in node.input_values():
        if value.get_node().get_type_name() == "Constant":
            return value.get_node().data
    return None


def _kernel_digest(node: Any) -> str:
    kernel = _kernel(node)
    return "" if kernel is None else _digest(kernel)


def _digest(values: np.ndarray) -> str:
    """Of the numbers in their order: the converter drops the names of tensors, and gives kernels other shapes."""
    return sha256(np.ascontiguousarray(values, np.float32).tobytes()).hexdigest()


def _behind(starts: Iterable[Any], stops: Callable[[Any], bool] = lambda node: False) -> set[str]:
    """Names of the operations that are computed from these, up to those where it stops."""
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        for node in _users(waiting.pop()):
            name = node.get_friendly_name()
            if name not in found and node.get_type_name() != "Result" and not stops(node):
                found.add(name)
                waiting.append(node)
    return found


def _users(node: Any) -> list[Any]:
    return [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
