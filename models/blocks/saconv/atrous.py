"""The function that SAConv2d computes, on plain tensors: the same for the trained and the deployed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import deform_conv2d

from models.blocks.blend import blend
from models.blocks.saconv.local_average import local_average

LARGE_RATE = 3
"""Dilation of the second branch as a multiple of the first one's."""


@dataclass(frozen=True)
class AtrousGeometry:
    """Kernel size, stride, padding, dilation (each height, width) and groups of the branch with the small dilation."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @property
    def reach(self) -> tuple[int, int]:
        """Pixels from a kernel's first to its last tap: `d * (k - 1)`."""
        return self.dilation[0] * (self.kernel[0] - 1), self.dilation[1] * (self.kernel[1] - 1)

    def branch(self, rate: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding and dilation at `rate` times the dilation: the padding that keeps output size and centres.

        It is `rate * p` where `p` is half the reach, the only padding for which `rate * p` gives equal sizes at all.
        """
        dilation = (rate * self.dilation[0], rate * self.dilation[1])
        extra = [(rate - 1) * reach for reach in self.reach]
        return (self.padding[0] + extra[0] // 2, self.padding[1] + extra[1] // 2), dilation

    @property
    def average_pads(self) -> tuple[int, int, int, int]:
        """Left, right, top, bottom: what makes the 5x5 average have one value per output position, at its centre."""
        (top, bottom), (left, right) = (
            (2 + p - reach // 2, 2 + p - (reach - reach // 2))
            for p, reach in zip(self.padding, self.reach, strict=True)
        )
        return left, right, top, bottom


class AtrousOperands(NamedTuple):
    """The tensors of one forward pass.

    Attributes:
        pre_weight, pre_bias: `(C1, C1)`, `(C1,)`.
        switch_weight, switch_bias: `(1, C1, 1, 1)`, `(1,)`.
        small, large: kernels `(C2, C1/g, k, k)` of the two branches.
        post_weight, post_bias: `(C2, C2)`, `(C2,)`.
        offset_weight, offset_bias: of a 3x3 convolution to `2 * 2 k k` channels, the offsets of both branches; None
            where the block is not deformable.
        out_scale: `(C2, 1, 1)`, multiplies the blend, or None.
    """

    pre_weight: Tensor
    pre_bias: Tensor
    switch_weight: Tensor
    switch_bias: Tensor
    small: Tensor
    large: Tensor
    post_weight: Tensor
    post_bias: Tensor
    offset_weight: Tensor | None = None
    offset_bias: Tensor | None = None
    out_scale: Tensor | None = None


def switch_of(x: Tensor, t: AtrousOperands, geometry: AtrousGeometry) -> Tensor:
    """The switch alone, `(N, 1, H', W')`, of an input `x (N, C1, H, W)`: the share of the small dilation.

    Also of a deformable block, up to rounding.
    """
    return _switch(x + _context(x, t.pre_weight, t.pre_bias), t, geometry)


def switchable_atrous(x: Tensor, t: AtrousOperands, geometry: AtrousGeometry) -> Tensor:
    """Pre-context, switch, two branches, blend, post-context. `x (N, C1, H, W)`, result `(N, C2, H', W')`."""
    x = x + _context(x, t.pre_weight, t.pre_bias)  # (N, C1, H, W)
    if t.offset_weight is None:
        switch = _switch(x, t, geometry)  # (N, 1, H', W')
        # (N, C2, H', W') each
        small, large = (_conv(x, kernel, rate, geometry) for kernel, rate in ((t.small, 1), (t.large, LARGE_RATE)))
    else:
        switch, small, large = _deformed(x, t, geometry)
    y = _in_format_of(x, blend(switch, small, large))  # (N, C2, H', W')
    context = _context(y, t.post_weight, t.post_bias)  # (N, C2, 1, 1)
    if t.out_scale is not None:
        y = y * t.out_scale
    return y.add_(context)


def _context(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1x1 convolution of the map's mean, `(N, C, 1, 1)`."""
    return functional.linear(x.mean((2, 3)), weight, bias)[:, :, None, None]


def _switch(x: Tensor, t: AtrousOperands, geometry: AtrousGeometry) -> Tensor:
    """`(N, 1, H', W')`. Averages and a 1x1 convolution commute, so a single channel is averaged, at the stride."""
    reduced = functional.conv2d(x, t.switch_weight)  # (N, 1, H, W)
    return local_average(reduced, geometry.stride, geometry.average_pads) + t.switch_bias


def _conv(x: Tensor, kernel: Tensor, rate: int, geometry: AtrousGeometry) -> Tensor:
    padding, dilation = geometry.branch(rate)
    return functional.conv2d(x, kernel, None, geometry.stride, padding, dilation, geometry.groups)


def _deformed(x: Tensor, t: AtrousOperands, geometry: AtrousGeometry) -> tuple[Tensor, Tensor, Tensor]:
    """Switch and both branches of the deformable form: its offsets need the average of every channel."""
    average = local_average(x, (1, 1), geometry.average_pads)  # (N, C1, H, W)
    switch = functional.conv2d(average, t.switch_weight, t.switch_bias, geometry.stride)  # (N, 1, H', W')
    assert t.offset_weight is not None
    # (N, 2 * 2 k k, H', W'): y and x of each tap, first for the small branch and then for the large one
    offsets = functional.conv2d(average, t.offset_weight, t.offset_bias, geometry.stride, padding=1)
    # torchvision's CPU kernel turns an offset into an address: NaN, which a diverged training brings, is one outside
    # the map and ends the process. With NaN in `x` the result is NaN all the same.
    offsets = torch.nan_to_num(offsets)
    small, large = (
        _deform_conv(x, offset, kernel, rate, geometry)
        for offset, kernel, rate in zip(offsets.chunk(2, 1), (t.small, t.large), (1, LARGE_RATE), strict=True)
    )
    return switch, small, large


def _deform_conv(x: Tensor, offset: Tensor, kernel: Tensor, rate: int, geometry: AtrousGeometry) -> Tensor:
    padding, dilation = geometry.branch(rate)
    # torchvision has no bfloat16 kernel for it, and offsets of a pixel's fraction want the digits of float32.
    precise = torch.promote_types(x.dtype, torch.float32)
    y = deform_conv2d(x.to(precise), offset.to(precise), kernel.to(precise), None, geometry.stride, padding, dilation)
    return y.to(offset.dtype)


def _in_format_of(x: Tensor, y: Tensor) -> Tensor:
    """`y` in channels-last where `x` is: convolutions keep the format by themselves, deformable ones do not."""
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        return y.contiguous(memory_format=torch.channels_last)
    return y
