"""Switchable atrous convolution: Qiao, Chen, Yuille, "DetectoRS", arXiv 2006.02334, section 4.

The tests compare it with the published order of work. Here the same function costs less: the switch reduces the map to
one channel before it is pooled, and is pooled only where the stride looks; context, switch and blend are broadcast.
`forward` changes nothing on the module.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from models.blocks.activation import Activation, build_activation
from models.blocks.conv import Conv, Size2d, autopad, batchnorm_affine, pair
from models.blocks.saconv.atrous import AtrousGeometry, AtrousOperands, switch_of, switchable_atrous
from models.blocks.saconv.conversion import NEUTRAL, SACONV_TAKEOVER, beside_kernel
from models.blocks.saconv.standardise import kernel_statistics, standardise
from models.errors import ConfigError
from models.registry import conv_rule, register

# A folded BatchNorm scale below this would leave half-precision kernels too few digits.
_SMALLEST_FOLDED_SCALE = 1e-3


@register(rule=conv_rule, takes_over=SACONV_TAKEOVER)
class SAConv2d(nn.Module):
    """Switchable atrous convolution in the place of a `Conv`. Input `(N, c1, H, W)`, output as `Conv`'s.

    Two convolutions share a standardised kernel, one with three times the dilation (and its own difference to the
    kernel); a switch, one value per pixel and unbounded, blends them. A global context is added before and after.

    A new block computes what a `Conv` with torch's default kernel does, and a `Conv`'s state dict loads into it such
    that both are the same function.

    Args:
        c1: input channels.
        c2: output channels.
        k: kernel size.
        s: stride.
        p: padding; None keeps the size at stride 1. The branch with dilation 3 d has what gives it the same size and
            centre: 3 p for the default padding.
        g: groups.
        d: dilation.
        act: as in `Conv`.
        use_deform: both branches are deformable convolutions, DetectoRS's own setting.

    Raises:
        ConfigError: channels that do not divide by the groups.
    """

    weight_gamma: Tensor
    weight_beta: Tensor

    # What is neutral at first must not run away. Contexts and switch sum all channels of a mean, whose signs agree, so
    # that their gradients are large; Adam moves every element by about the learning rate, however small its gradient,
    # and `weight_diff` hardly has one while the switch is near 1. At the full rate the running statistics of BatchNorm
    # lag behind, block after block: evaluation overflows with Adam, and with SGD a pretrained detector first gets
    # worse. Offsets are slowed down as deformable convolutions usually are.
    rate_factors: ClassVar[Mapping[str, float]] = {
        "pre_context": 0.05,
        "post_context": 0.05,
        "switch": 0.05,
        "weight_diff": 0.1,
        "offset_s": 0.1,
        "offset_l": 0.1,
    }
    # Where the kernels have been taken over, BatchNorm keeps up. The gradient of `weight_diff` is that of a kernel
    # times 1 - switch, and its effect on the output has the same factor once more: at |1 - switch| of 0.1 to 0.2 it
    # needs a rate of about 1 / (1 - switch)^2 to learn as a kernel does. At the factor 1 it ends at a hundredth of the
    # kernel, and the large branch stays the small one's copy.
    # A block that comes along trained has the same rates: after 40 epochs of fine-tuning on BCCD its switch is still
    # near 1 (the root mean square of 1 - switch is 0.03 to 0.23 in yolov5n's nine blocks). Measured on HIT-UAV (320 px,
    # 10 epochs from a trained yolov5n-saconv, seeds 0 and 1): `weight_diff` at 30 gives AP 0.163 and 0.161, at 1 0.162
    # and 0.164. That is no difference larger than the seeds'.
    finetune_rate_factors: ClassVar[Mapping[str, float]] = {
        **rate_factors,
        "pre_context": 1.0,
        "post_context": 1.0,
        "switch": 1.0,
        "weight_diff": 30.0,
    }

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
        *,
        use_deform: bool = False,
    ) -> None:
        super().__init__()
        if c1 % g or c2 % g:
            raise ConfigError(f"SAConv2d: channels {c1} -> {c2} do not divide by {g} groups")
        self.geometry = AtrousGeometry(pair(k), pair(s), autopad(k, p, d), pair(d), g)
        self.use_deform = use_deform
        self.weight = nn.Parameter(torch.empty(c2, c1 // g, *pair(k)))
        self.weight_diff = nn.Parameter(torch.empty_like(self.weight))
        self.register_buffer("weight_gamma", torch.empty(c2, 1, 1, 1))
        self.register_buffer("weight_beta", torch.empty(c2, 1, 1, 1))
        self.switch = nn.Conv2d(c1, 1, 1, pair(s))
        self.pre_context = nn.Conv2d(c1, c1, 1)
        self.post_context = nn.Conv2d(c2, c2, 1)
        if use_deform:
            offsets = 2 * math.prod(pair(k))
            self.offset_s = nn.Conv2d(c1, offsets, 3, pair(s), 1)
            self.offset_l = nn.Conv2d(c1, offsets, 3, pair(s), 1)
        self.bn: nn.Module = nn.BatchNorm2d(c2)
        self.act = build_activation(act)
        self.fused: FusedOperands | None = None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """torch's default kernel, taken over as if it had been pretrained; everything else neutral."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        gamma, beta = kernel_statistics(self.weight)
        self.weight_gamma.copy_(gamma)
        self.weight_beta.copy_(beta)
        for name, parameter in self.named_parameters():
            if name in NEUTRAL:
                parameter.fill_(NEUTRAL[name])

    def forward(self, x: Tensor) -> Tensor:
        operands = self._operands() if self.fused is None else self.fused()
        return self.act(self.bn(switchable_atrous(x, operands, self.geometry)))

    def _operands(self) -> AtrousOperands:
        small = standardise(self.weight, self.weight_gamma, self.weight_beta)
        offset_weight = offset_bias = None
        if self.use_deform:
            # One convolution for both branches' offsets: they look at the same map.
            offset_weight = torch.cat((self.offset_s.weight, self.offset_l.weight))
            offset_bias = torch.cat((_bias(self.offset_s), _bias(self.offset_l)))
        return AtrousOperands(
            pre_weight=self.pre_context.weight.flatten(1),
            pre_bias=_bias(self.pre_context),
            switch_weight=self.switch.weight,
            switch_bias=_bias(self.switch),
            small=small,
            large=small + self.weight_diff,
            post_weight=self.post_context.weight.flatten(1),
            post_bias=_bias(self.post_context),
            offset_weight=offset_weight,
            offset_bias=offset_bias,
        )

    @torch.no_grad()
    def fuse(self) -> SAConv2d:
        """The inference form, in place: kernels standardised once, BatchNorm folded in. It cannot be trained further.

        With `bn(y) = scale * y + shift`, the scale goes into both kernels; the post-context then meets
        `scale * mean(y)` and divides by it. Channels whose scale is (almost) 0 keep their kernel and are scaled at the
        end instead.
        """
        if not isinstance(self.bn, nn.BatchNorm2d):
            return self
        scale, shift = batchnorm_affine(self.bn)
        foldable = scale.abs() >= _SMALLEST_FOLDED_SCALE
        factor = torch.where(foldable, scale, torch.ones_like(scale))
        plain = self._operands()
        self.fused = FusedOperands(
            plain._replace(
                small=plain.small * factor[:, None, None, None],
                large=plain.large * factor[:, None, None, None],
                post_weight=plain.post_weight * (scale[:, None] / factor),
                post_bias=plain.post_bias * scale + shift,
                out_scale=None if bool(foldable.all()) else (scale / factor)[:, None, None],
            )
        )
        for name in ("weight", "weight_diff", "weight_gamma", "weight_beta", "switch", "pre_context", "post_context"):
            delattr(self, name)
        if self.use_deform:
            del self.offset_s, self.offset_l
        self.bn = nn.Identity()
        return self

    @torch.no_grad()
    def simpler(self) -> Conv | None:
        """The plain convolution that it is where the switch is 1 and differences, contexts, offsets do nothing.

        What the post-context adds to every picture, its bias, is kept: BatchNorm's mean takes it in. None for a block
        that is fused already. See `models.simplify`.
        """
        if not isinstance(self.bn, nn.BatchNorm2d) or self.bn.running_mean is None:
            return None
        operands, g = self._operands(), self.geometry
        plain = Conv(
            operands.pre_bias.numel(),
            operands.post_bias.numel(),
            g.kernel,
            g.stride,
            g.padding,
            g.groups,
            g.dilation,
            act=copy.deepcopy(self.act),
        ).to(operands.small)
        plain.conv.weight.copy_(operands.small)
        plain.bn = copy.deepcopy(self.bn)
        cast(Tensor, plain.bn.running_mean).sub_(operands.post_bias)
        return plain.train(self.training)

    def departures(self, x: Tensor) -> dict[str, float]:
        """How far it is from `simpler` in what its output alone does not say: the switch from 1, at any pixel."""
        switch = switch_of(x, self._operands(), self.geometry)  # (N, 1, H', W')
        return {"switch": float((switch - 1).abs().max())}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Also takes a plain `Conv`'s entries, and ignores the `bias` that the original code saves but never uses."""
        if self.fused is None:
            state_dict.pop(f"{prefix}bias", None)
            if f"{prefix}weight" not in state_dict and f"{prefix}conv.weight" in state_dict:
                state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}conv.weight")
            kernel = state_dict.get(f"{prefix}weight")
            has_scale = f"{prefix}weight_gamma" in state_dict or f"{prefix}weight_beta" in state_dict
            if isinstance(kernel, Tensor) and kernel.ndim == 4 and not has_scale:
                self._take_over(kernel.detach(), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _take_over(self, kernel: Tensor, state_dict: dict[str, Any], prefix: str) -> None:
        """Completes a plain convolution's entries such that the standardised kernel is `kernel`."""
        for name, value in beside_kernel(kernel, dict(self.named_parameters())).items():
            state_dict.setdefault(f"{prefix}{name}", value)


class FusedOperands(nn.Module):
    """Holds the tensors of a fused block, so that they move and save with it; calling it returns them."""

    # What stays in float where the block is quantised: all but the two convolutions, see `engine.exporting.int8`.
    float_operands: ClassVar[tuple[str, ...]] = ("pre_weight", "switch_weight", "post_weight", "offset_weight")

    def __init__(self, operands: AtrousOperands) -> None:
        super().__init__()
        for name, value in operands._asdict().items():
            self.register_parameter(name, None if value is None else nn.Parameter(value.detach().clone(), False))

    def forward(self) -> AtrousOperands:
        return AtrousOperands(**{name: getattr(self, name) for name in AtrousOperands._fields})


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
