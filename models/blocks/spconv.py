"""Split to be slim: Zhang et al., "An Overlooked Redundancy in Vanilla Convolution", IJCAI 2020, arXiv 2006.12085."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.activation import Activation, build_activation
from models.blocks.blend import blend
from models.blocks.conv import Size2d, batchnorm_affine, fold_batchnorm, pair
from models.blocks.pooling import average_windows
from models.errors import ConfigError
from models.registry import conv_rule, register
from models.takeover import Approximate, PlainConv, Takeover, Tensors

# The gate divides by the outer BatchNorm's scale; a channel with a smaller one hardly depends on its gate any more.
_SMALLEST_SCALE = 1e-4


class SPConvCore(nn.Module):
    """Splits the channels in a representative part (3x3 in two groups, plus 1x1) and an uncertain part (1x1 only).

    A softmax over the means of the two results, per sample and channel, weighs them. Input `(N, c1, H, W)`, output
    `(N, c2, ceil(H/s), ceil(W/s))`.

    Args:
        c1: input channels.
        c2: output channels, even.
        s: stride, 1 or 2.
        ratio: representative share of the input channels; `int(ratio * c1)` must be even.

    Raises:
        ConfigError: an argument outside of that.
    """

    gate_scale: Tensor | None

    def __init__(self, c1: int, c2: int, s: int = 1, ratio: float = 0.5) -> None:
        super().__init__()
        split = int(ratio * c1)
        _check(c1, c2, s, ratio, split)
        self.split = split
        self.gwc = nn.Conv2d(split, c2, 3, s, 1, groups=2, bias=False)
        self.pwc = nn.Conv2d(split, c2, 1, bias=False)
        self.conv1x1 = nn.Conv2d(c1 - split, c2, 1)
        self.bn1: nn.Module = nn.BatchNorm2d(c2)
        self.bn2: nn.Module = nn.BatchNorm2d(c2)
        self.down = HalvingAverage() if s == 2 else nn.Identity()
        self.register_buffer("gate_scale", None)

    def forward(self, x: Tensor) -> Tensor:
        representative = x[:, : self.split]  # (N, split, H, W)
        pooled = self.down(x)  # (N, c1, H', W')
        yr = self.bn1(self.gwc(representative) + self.pwc(pooled[:, : self.split]))  # (N, c2, H', W')
        yu = self.bn2(self.conv1x1(pooled[:, self.split :]))  # (N, c2, H', W')
        # The softmax over two values is the sigmoid of their difference.
        difference = yr.mean((2, 3), keepdim=True) - yu.mean((2, 3), keepdim=True)  # (N, c2, 1, 1)
        if self.gate_scale is not None:
            difference = difference * self.gate_scale
        return blend(difference.sigmoid(), yr, yu)

    @torch.no_grad()
    def fuse(self) -> SPConvCore:
        """Fold both BatchNorms into the convolutions, in place; inference only from then on."""
        if isinstance(self.bn1, nn.BatchNorm2d):
            self._fold_representative(self.bn1)
            self.bn1 = nn.Identity()
        if isinstance(self.bn2, nn.BatchNorm2d):
            self._fold_uncertain(self.bn2)
            self.bn2 = nn.Identity()
        return self

    @torch.no_grad()
    def fold_output(self, bn: nn.BatchNorm2d) -> None:
        """Fold the BatchNorm that follows into a fused core.

        The weights of the two results sum to 1, so scale and shift can go into both results; the gate, which compares
        their means, then divides by the scale.
        """
        scale, _ = batchnorm_affine(bn)
        self._fold_representative(bn)
        self._fold_uncertain(bn)
        bounded = torch.where(scale.abs() < _SMALLEST_SCALE, torch.full_like(scale, _SMALLEST_SCALE), scale)
        self.gate_scale = 1 / bounded.reshape(1, -1, 1, 1)

    def _fold_representative(self, bn: nn.BatchNorm2d) -> None:
        # The two convolutions are summed: both are scaled, one carries the bias.
        gwc, _ = fold_batchnorm(self.gwc.weight, None, bn)
        pwc, bias = fold_batchnorm(self.pwc.weight, self.pwc.bias, bn)
        self.gwc.weight, self.pwc.weight = nn.Parameter(gwc, False), nn.Parameter(pwc, False)
        self.pwc.bias = nn.Parameter(bias, False)

    def _fold_uncertain(self, bn: nn.BatchNorm2d) -> None:
        weight, bias = fold_batchnorm(self.conv1x1.weight, self.conv1x1.bias, bn)
        self.conv1x1.weight, self.conv1x1.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)


class HalvingAverage(nn.Module):
    """2x2 average pooling that rounds odd sizes up, as a 3x3 convolution of stride 2 does.

    Windows at the border count real pixels only.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            # `ceil_mode` asks whether the last window starts inside the map, which ties an exported graph to odd or to
            # even sizes. A repeated border gives the same averages, and an even size never reaches it. Compilers merge
            # the border with the pooling; without one it would cost a copy of the map.
            return average_windows(functional.pad(x, (0, 1, 0, 1), mode="replicate"), 2, (2, 2))
        return functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _check(c1: int, c2: int, s: int, ratio: float, split: int) -> None:
    if s not in (1, 2):
        raise ConfigError(f"SPConv has stride 1 or 2, not {s!r}")
    if not 0 < split < c1 or split % 2:
        raise ConfigError(
            f"SPConv splits its {c1} input channels at int({ratio} * {c1}) = {split}, which must be even, above 0 and "
            f"below {c1}; choose another ratio or other channels"
        )
    if c2 % 2:
        raise ConfigError(f"SPConv needs an even number of output channels, not {c2}")


def split_kernel(kernel: Tensor, split: int) -> dict[str, Tensor]:
    """A plain 3x3 kernel `(C2, C1, 3, 3)` projected onto SPConv's kernels; exact where the input is locally constant.

    What has a 3x3 kernel in SPConv keeps its own: the first half of the output channels from the first half of the
    `split` representative channels, the second from the second. Everything else has a 1x1 kernel there and gets the
    sum over the 3x3. SPConv averages its two results where `Conv` adds them: both are doubled for that.
    """
    c2 = kernel.shape[0]
    representative, uncertain = kernel[:, :split], kernel[:, split:]
    pointwise = representative.sum((2, 3), keepdim=True)  # (C2, split, 1, 1)
    grouped = torch.empty_like(representative[:, : split // 2])  # (C2, split / 2, 3, 3)
    for rows, columns in (
        (slice(0, c2 // 2), slice(0, split // 2)),
        (slice(c2 // 2, c2), slice(split // 2, split)),
    ):
        grouped[rows] = representative[rows, columns]
        pointwise[rows, columns] = 0
    return {
        "core.gwc.weight": 2 * grouped,
        "core.pwc.weight": 2 * pointwise,
        "core.conv1x1.weight": 2 * uncertain.sum((2, 3), keepdim=True),
        "core.conv1x1.bias": kernel.new_zeros(c2),
    }


def _from_plain(plain: PlainConv, own: Tensors) -> Tensors:
    split = own["core.pwc.weight"].shape[1]
    return {**split_kernel(plain.kernel, split), **plain.batch_norm_as("bn.")}


def _kernel_shape(own: Tensors) -> tuple[int, ...]:
    """Of the 3x3 convolution that the block replaces: its two parts share the input channels."""
    c2, split = own["core.pwc.weight"].shape[:2]
    return (c2, split + own["core.conv1x1.weight"].shape[1], 3, 3)


@register(
    rule=conv_rule,
    takes_over=Takeover(
        marks=("core.gwc.weight", "bn.weight"),
        parts=("core", "bn"),
        kernel_shape=_kernel_shape,
        from_plain=Approximate(_from_plain, "its kernel projected, outer BatchNorm kept"),
    ),
)
class SPConv(nn.Module):
    """`act(BN(core(x)))`: `SPConvCore` in the place of a 3x3 `Conv`.

    Args:
        c1: input channels.
        c2: output channels, even.
        k: kernel size; only 3.
        s: stride, 1 or 2.
        ratio: share of the input channels that get the 3x3 convolution; `int(ratio * c1)` must be even.
        act: as in `Conv`.

    Raises:
        ConfigError: an argument outside of that.
    """

    def __init__(
        self, c1: int, c2: int, k: Size2d = 3, s: Size2d = 1, ratio: float = 0.5, act: Activation = True
    ) -> None:
        super().__init__()
        if pair(k) != (3, 3):
            raise ConfigError(f"SPConv has a 3x3 kernel, not {k!r}; use Conv for other kernels")
        stride, stride_w = pair(s)
        if stride != stride_w:
            raise ConfigError(f"SPConv has the same stride in both directions, not {s!r}")
        self.core = SPConvCore(c1, c2, stride, ratio)
        self.bn: nn.Module = nn.BatchNorm2d(c2)
        self.act = build_activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.core(x)))

    @torch.no_grad()
    def fuse(self) -> SPConv:
        """Fold all three BatchNorms, in place; inference only from then on."""
        self.core.fuse()
        if isinstance(self.bn, nn.BatchNorm2d):
            self.core.fold_output(self.bn)
            self.bn = nn.Identity()
        return self
