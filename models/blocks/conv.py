"""Plain convolution blocks: convolution, BatchNorm, activation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from models.blocks.activation import Activation, build_activation
from models.registry import conv_rule, register
from models.takeover import Exact, PlainConv, Takeover, Tensors

Size2d = int | tuple[int, int] | list[int]
"""One number for both axes, or height and width."""


def pair(value: Size2d) -> tuple[int, int]:
    """Height and width of a size."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width


def autopad(k: Size2d, p: Size2d | None = None, d: Size2d = 1) -> tuple[int, int]:
    """Padding `p`, or where it is None the padding that keeps the size at stride 1 (odd kernels), dilation included."""
    if p is not None:
        return pair(p)
    (kh, kw), (dh, dw) = pair(k), pair(d)
    return (dh * (kh - 1) + 1) // 2, (dw * (kw - 1) + 1) // 2


def _from_plain(plain: PlainConv, own: Tensors) -> Tensors:
    return {"conv.weight": plain.kernel, **plain.batch_norm_as("bn.")}


def _to_plain(own: Tensors) -> PlainConv:
    return PlainConv.of(own["conv.weight"], own, "bn.")


@register(
    rule=conv_rule,
    takes_over=Takeover(
        marks=("conv.weight", "bn.weight"),
        parts=("conv", "bn"),
        kernel_shape=lambda own: own["conv.weight"].shape,
        from_plain=Exact(_from_plain),
        to_plain=Exact(_to_plain),
    ),
)
class Conv(nn.Module):
    """`act(BN(conv(x)))`, the block that YOLO networks are made of.

    Input `(N, c1, H, W)`, output `(N, c2, H', W')`.

    Args:
        c1: input channels.
        c2: output channels.
        k: kernel size.
        s: stride.
        p: padding; None keeps the size at stride 1.
        g: groups.
        d: dilation.
        act: True = the model's default activation (SiLU unless the YAML names another), False = none, or a module.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        k: Size2d = 1,
        s: Size2d = 1,
        p: Size2d | None = None,
        g: int = 1,
        d: Size2d = 1,
        act: Activation = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, pair(k), pair(s), autopad(k, p, d), pair(d), g, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(c2)
        self.act = build_activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))

    @torch.no_grad()
    def fuse(self) -> Conv:
        """Fold the BatchNorm's running statistics into the convolution, in place; inference only from then on."""
        if isinstance(self.bn, nn.BatchNorm2d):
            weight, bias = fold_batchnorm(self.conv.weight, self.conv.bias, self.bn)
            self.conv.weight, self.conv.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
            self.bn = nn.Identity()
        return self


def fold_batchnorm(weight: Tensor, bias: Tensor | None, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the convolution that equals `bn(conv(x))` in evaluation mode."""
    mean, var = _running_statistics(bn)
    fused_weight, fused_bias = fuse_conv_bn_weights(weight, bias, mean, var, bn.eps, bn.weight, bn.bias)
    return fused_weight.detach(), fused_bias.detach()


def batchnorm_affine(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """`scale, shift`, each `(C,)`, with which `bn(y) = scale * y + shift` in evaluation mode."""
    identity = torch.ones_like(_running_statistics(bn)[1])[:, None, None, None]
    scale, shift = fold_batchnorm(identity, None, bn)
    return scale.flatten(), shift


def _running_statistics(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("a BatchNorm without running statistics cannot be folded into a convolution")
    return bn.running_mean, bn.running_var


@register(rule=conv_rule)
class DWConv(Conv):
    """`Conv` with as many groups as input and output channels allow: depth-wise where they are equal."""

    def __init__(self, c1: int, c2: int, k: Size2d = 1, s: Size2d = 1, d: Size2d = 1, act: Activation = True) -> None:
        super().__init__(c1, c2, k, s, g=math.gcd(c1, c2), d=d, act=act)


@register(rule=conv_rule)
class DWConvTranspose2d(nn.ConvTranspose2d):
    """Depth-wise transposed convolution; `p1` is its padding, `p2` its output padding."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, p1: int = 0, p2: int = 0) -> None:
        super().__init__(c1, c2, k, s, p1, p2, groups=math.gcd(c1, c2))


@register(rule=conv_rule)
class Focus(nn.Module):
    """Moves every second pixel to the channels, `(N, c1, H, W)` to `(N, 4 c1, H/2, W/2)`; then a `Conv`.

    `H` and `W` must be even.
    """

    def __init__(
        self,
        c1: int,
        c2: int,
        k: Size2d = 1,
        s: Size2d = 1,
        p: Size2d | None = None,
        g: int = 1,
        act: Activation = True,
    ) -> None:
        super().__init__()
        self.conv = Conv(4 * c1, c2, k, s, p, g, act=act)

    def forward(self, x: Tensor) -> Tensor:
        even, odd = x[..., ::2, :], x[..., 1::2, :]
        return self.conv(torch.cat((even[..., ::2], odd[..., ::2], even[..., 1::2], odd[..., 1::2]), 1))
