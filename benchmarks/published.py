"""What the project's SAConv2d is measured against: its formulas as published, and the least that they can cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks.activation import build_activation
from models.blocks.conv import autopad, fold_batchnorm

EPS = 1e-5


class PublishedSAConv2d(nn.Module):
    """DetectoRS, arXiv 2006.02334, section 4, in the paper's order of work, with BatchNorm and SiLU.

    It takes the state dict of `models.blocks.saconv.SAConv2d` and computes the same function.

    The kernel is standardised in steps, all channels are averaged for the switch, and nothing is fused. Maps must be
    larger than 2 pixels. Input `(N, c1, H, W)`, output `(N, c2, H', W')`.
    """

    weight_gamma: Tensor
    weight_beta: Tensor

    def __init__(self, c1: int, c2: int, k: int = 3, s: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = s, autopad(k)[0]
        self.weight = nn.Parameter(torch.empty(c2, c1, k, k))
        self.weight_diff = nn.Parameter(torch.empty_like(self.weight))
        self.register_buffer("weight_gamma", torch.empty(c2, 1, 1, 1))
        self.register_buffer("weight_beta", torch.empty(c2, 1, 1, 1))
        self.switch = nn.Conv2d(c1, 1, 1, s)
        self.pre_context = nn.Conv2d(c1, c1, 1)
        self.post_context = nn.Conv2d(c2, c2, 1)
        self.bn = nn.BatchNorm2d(c2)
        self.act = build_activation(True)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self._standardised()
        context = self.pre_context(functional.adaptive_avg_pool2d(x, 1))
        x = x + context.expand_as(x)
        average = functional.avg_pool2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
        switch = self.switch(average)
        small = functional.conv2d(x, kernel, None, self.stride, self.padding)
        large = functional.conv2d(x, kernel + self.weight_diff, None, self.stride, 3 * self.padding, 3)
        y = switch * small + (1 - switch) * large
        context = self.post_context(functional.adaptive_avg_pool2d(y, 1))
        return self.act(self.bn(y + context.expand_as(y)))

    def _standardised(self) -> Tensor:
        kernel = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        deviation = torch.sqrt(kernel.flatten(1).var(dim=1) + EPS).reshape(-1, 1, 1, 1)
        return self.weight_gamma * (kernel / deviation) + self.weight_beta


class TwoConvolutions(nn.Module):
    """The two branches of a SAConv2d, added, with BatchNorm and SiLU: no kernel to standardise, context or switch."""

    def __init__(self, c1: int, c2: int, k: int = 3, s: int = 1) -> None:
        super().__init__()
        padding = autopad(k)[0]
        self.small = nn.Conv2d(c1, c2, k, s, padding, bias=False)
        self.large = nn.Conv2d(c1, c2, k, s, 3 * padding, 3, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(c2)
        self.act = build_activation(True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.small(x) + self.large(x)))

    @torch.no_grad()
    def fuse(self) -> TwoConvolutions:
        """Folds the BatchNorm, for inference."""
        assert isinstance(self.bn, nn.BatchNorm2d)
        small, bias = fold_batchnorm(self.small.weight, None, self.bn)
        large, _ = fold_batchnorm(self.large.weight, None, self.bn)
        self.small.weight, self.large.weight = nn.Parameter(small, False), nn.Parameter(large, False)
        self.small.bias = nn.Parameter(bias, False)
        self.bn = nn.Identity()
        return self
