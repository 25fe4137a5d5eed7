"""Are the numbers of a checkpoint such that a network can run with them?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from models.budget import current_budget
from models.errors import WeightsError

_VARIANCE = "running_var"


def check_kinds(state: Mapping[str, Tensor]) -> None:
    """Looks at every tensor of a state dict, before anything is computed with it.

    Raises:
        WeightsError: one is no plain tensor of real numbers: complex, sparse, quantised, without storage, or larger
            than its storage.
        BudgetError: they are more numbers than a model may have.
    """
    current_budget().check("bytes", sum(4 * tensor.numel() for tensor in state.values()), "{} bytes of weights")
    for name, tensor in state.items():
        kind = _wrong_kind(tensor)
        if kind:
            raise WeightsError(f"{name} is {kind}, not one of plain real numbers; save the model's state dict as it is")


def check_numbers(state: Mapping[str, Tensor]) -> None:
    """Looks at every number of a state dict of float32.

    Raises:
        WeightsError: one is not finite, or a variance is negative.
    """
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        finite = torch.isfinite(tensor)
        if not finite.all():
            count = tensor.numel() - int(finite.sum())
            raise WeightsError(
                f"{name}: {count:,} of {tensor.numel():,} numbers are NaN or infinite, since the training diverged or "
                "the file was damaged; take an earlier checkpoint, such as the best.pt of its run"
            )
        if name.endswith(_VARIANCE) and bool((tensor < 0).any()):
            raise WeightsError(f"{name}: has negative variances, so the file was damaged; copy it again")


def _wrong_kind(tensor: Tensor) -> str:
    """What makes a tensor unfit for a network, in words; empty for a plain one."""
    if tensor.is_meta:
        return "a tensor without numbers (on the device meta)"
    if tensor.is_nested or tensor.layout is not torch.strided:
        return "a sparse or nested tensor"
    if tensor.is_quantized:
        return "a quantised tensor"
    if tensor.is_complex():
        return "a tensor of complex numbers"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "a tensor that repeats its numbers"
    return ""


def integers_for_floats(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterable[str]:
    """Names of tensors that hold whole numbers where the network has floating-point ones: their scale is unknown."""
    return (
        name
        for name, tensor in own.items()
        if name in given and tensor.is_floating_point() and not given[name].is_floating_point()
    )
