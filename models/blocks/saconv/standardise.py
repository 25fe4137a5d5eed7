"""Weight standardisation with fixed scale and offset (ConvAWS2d): DetectoRS, arXiv 2006.02334, section 4."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5


def kernel_statistics(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Per output channel of a kernel `(C2, C1/g, k, k)`: `sqrt(var + 1e-5)` and the mean, each `(C2, 1, 1, 1)`.

    They are the `gamma` and `beta` with which `standardise` gives the kernel back unchanged. The variance is the
    unbiased one; that of a single number (depth-wise 1x1) is 0. Half-precision kernels are measured in float32.
    """
    measured = weight.to(torch.promote_types(weight.dtype, torch.float32))
    correction = min(1, weight[0].numel() - 1)
    var, mean = torch.var_mean(measured, dim=(1, 2, 3), correction=correction, keepdim=True)
    return (var + EPS).sqrt(), mean


def standardise(weight: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """`gamma * (weight - mean) / sqrt(var + 1e-5) + beta` per output channel, in the kernel's own memory format.

    Written as `weight * scale + offset`, so that autograd keeps the kernel it has anyway and two numbers per channel.
    """
    sd, mean = kernel_statistics(weight)
    scale = gamma / sd
    offset = beta - scale * mean
    return torch.addcmul(offset.to(weight.dtype), weight, scale.to(weight.dtype))
