"""From a plain convolution to SAConv2d and back."""

from __future__ import annotations

import torch
from torch import Tensor

from models.blocks.saconv.standardise import kernel_statistics, standardise
from models.takeover import Approximate, Exact, PlainConv, Takeover, Tensors

NEUTRAL = {
    "weight_diff": 0.0,
    "switch.weight": 0.0,
    "switch.bias": 1.0,
    **{
        f"{module}.{part}": 0.0
        for module in ("pre_context", "post_context", "offset_s", "offset_l")
        for part in ("weight", "bias")
    },
}
"""Initial value of each parameter that a plain convolution does not have: with them, the block is one."""


def beside_kernel(kernel: Tensor, own: Tensors) -> dict[str, Tensor]:
    """What a block with the tensors `own` needs beside a plain kernel `(C2, C1/g, k, k)` to be that convolution.

    The standardised kernel is then `kernel`, and everything else neutral.
    """
    gamma, beta = kernel_statistics(kernel)
    entries = {"weight_gamma": gamma, "weight_beta": beta}
    for name, value in NEUTRAL.items():
        if name in own:
            entries[name] = torch.full(own[name].shape, value, dtype=gamma.dtype, device=kernel.device)
    return entries


def _from_plain(plain: PlainConv, own: Tensors) -> Tensors:
    return {"weight": plain.kernel, **beside_kernel(plain.kernel, own), **plain.batch_norm_as("bn.")}


def _to_plain(own: Tensors) -> PlainConv:
    kernel = standardise(own["weight"], own["weight_gamma"], own["weight_beta"])
    return PlainConv.of(kernel, own, "bn.")


_DEFORMABLE = "now deformable with offsets of 0"

SACONV_TAKEOVER = Takeover(
    marks=("weight_gamma", "bn.weight"),
    parts=(
        *("weight", "weight_gamma", "weight_beta", "weight_diff", "bn"),
        *("switch", "pre_context", "post_context", "offset_s", "offset_l"),
        "bias",  # which the original code saves and never uses
    ),
    kernel_shape=lambda own: own["weight"].shape,
    from_plain=Exact(_from_plain),
    to_plain=Approximate(_to_plain, "the small branch without switch and context"),
    additions={"offset_s": _DEFORMABLE, "offset_l": _DEFORMABLE},
)
