"""Averages over the windows of a map, in a form that compilers follow for every size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def average_windows(x: Tensor, window: int, stride: tuple[int, int]) -> Tensor:
    """Averages of `x (N, C, H, W)` over the `window x window` windows inside it, at every `stride`-th place."""
    if torch.compiler.is_compiling() and stride != (1, 1):
        # In torch 2.11, for one, the size of a strided pooling asks whether the stride divides, which ties an exported
        # graph to odd or to even sizes. That of a convolution does not.
        channels = x.shape[1]
        kernel = x.new_full((channels, 1, window, window), 1 / window**2)
        return functional.conv2d(x, kernel, None, stride, groups=channels)
    return functional.avg_pool2d(x, window, stride)
