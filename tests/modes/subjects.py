"""What every mode is tested with: both convolutions in their variants, blocks, and a small detector for every head.

Each is compared with its own plain form: float32, NCHW, unfused, eager, alone on one thread. That this one is right is
tested in tests/models, against golden files and the published formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models import build_model
from models.blocks.area_attention import A2C2f, ABlock
from models.blocks.attention import PSABlock
from models.blocks.c2f import C2f, C3k2
from models.blocks.cib import C2fCIB
from models.blocks.conv import Conv
from models.blocks.saconv import SAConv2d
from models.blocks.spconv import SPConv

ANCHOR_BASED = {
    "nc": 2,
    "anchors": [[10, 13, 16, 30], [30, 61, 62, 45]],
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "SAConv2d", [16, 3, 2]],
        [-1, 1, "SPConv", [16, 3, 2]],
        [-1, 1, "C3", [16], {"conv": "SAConv2d"}],
        [-1, 1, "SAConv2d", [16, 3, 2], {"use_deform": True}],
        [-1, 1, "SPConv", [16, 3, 1]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 3], 1, "Concat", [1]],
        [-1, 1, "C3", [16, False], {"conv": "SPConv"}],
        [[8, 5], 1, "Detect", ["nc", "anchors"]],
    ],
}
# Few strides: a compiler that follows sizes through them takes minutes for five.
ANCHOR_FREE = {
    "nc": 2,
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "C3k2", [8]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "C2f", [16, True]],
    ],
    "head": [[[3, 1], 1, "AnchorFreeDetect", ["nc"]]],
}
TWO_HEADED = {
    "nc": 2,
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "C2fCIB", [8, True, True]],
        [-1, 1, "SCDown", [16, 3, 2]],
        [-1, 1, "SPPF", [16, 5, 3, True]],
    ],
    "head": [
        [[1, 3], 1, "AnchorFreeDetect", ["nc"], {"reg_max": 1, "end2end": True, "legacy_class_branch": False}],
    ],
}


@dataclass(frozen=True)
class Subject:
    """One module under test.

    Attributes:
        name: for the test's id.
        block: makes it, with fresh weights.
        args: positional arguments of `block`.
        kwargs: keyword arguments of `block`.
        channels: of its input.
        cell: its input's height and width are multiples of this; sizes are given in cells.
        spread: how far the weights are moved from fresh ones.
        trains_only: how many of the first logits the fused form has no more.
    """

    name: str
    block: Callable[..., nn.Module]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    channels: int = 8
    cell: int = 1
    spread: float = 0.2
    trains_only: int = 0

    def input(self, batch: int, height: int, width: int, seed: int = 0) -> Tensor:
        """Random input of `height x width` cells."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, self.channels, height * self.cell, width * self.cell, generator=generator)

    @staticmethod
    def tensors(output: Any) -> list[Tensor]:
        """What it returned, as a flat list; a detector's boxes apart from its scores, because they are far larger."""
        if isinstance(output, Tensor):
            return [output]
        if isinstance(output, list):
            return output
        decoded, logits = output
        return [decoded[..., :4], decoded[..., 4:], *logits]

    def of_fused(self, output: Any) -> Any:
        """What of the plain form's output the fused form gives as well: a branch that only trains is gone."""
        if self.trains_only and isinstance(output, tuple):
            return output[0], output[1][self.trains_only :]
        return output

    def loss(self, output: Any) -> Tensor:
        """A number that depends on every output; a mean over the batch."""
        return sum(((tensor - 0.5) ** 2).mean() for tensor in self.tensors(output))


def saconv(name: str, *args: Any, cell: int = 1, **kwargs: Any) -> Subject:
    return Subject(name, SAConv2d, (8, 12, *args), kwargs, cell=cell)


def after_convolution(block: type[nn.Module], channels: int, *args: Any) -> nn.Module:
    """A block that adds its input, behind a convolution as in a network: so that this is in half precision too."""
    return nn.Sequential(Conv(channels, channels), block(channels, *args))


BLOCKS = [
    saconv("saconv", 3),
    saconv("saconv_dilated", 3, 2, g=2, d=2),
    saconv("saconv_deform", 3, use_deform=True),
    saconv("saconv_deform_dilated", 3, 2, g=2, d=2, use_deform=True),
    Subject("spconv", SPConv, (8, 12, 3, 1)),
    Subject("spconv_stride", SPConv, (8, 12, 3, 2)),
    Subject("attention", after_convolution, (PSABlock, 8, 0.5, 2), spread=0.05),
    Subject("area_attention", after_convolution, (ABlock, 8, 2, 1.2, 4), cell=2, spread=0.05),
]
# Where nothing has to be compiled, these come on top.
FURTHER_BLOCKS = [
    saconv("saconv_stride", 3, 2),
    saconv("saconv_point", 1),
    saconv("saconv_groups", 5, g=2),
    saconv("saconv_stem", 6, 2, 2, cell=2),  # no smaller map holds a window
    Subject("c2f_saconv", C2f, (8, 12, 2, True), {"conv": SAConv2d, "use_deform": True}, spread=0.05),
    Subject("c2f_cib", C2fCIB, (8, 12, 1, True, True), {"conv": SAConv2d}),
    Subject("c3k2_attention", C3k2, (8, 16, 1, True, 0.5, True)),
    Subject("a2c2f", A2C2f, (8, 64, 1, True, 4), cell=2),
]


def detector(name: str, config: dict[str, Any], cell: int, spread: float = 0.05, **further: Any) -> Subject:
    return Subject(name, build_model, (config,), channels=3, cell=cell, spread=spread, **further)


DETECTORS = [
    detector("anchor_based", ANCHOR_BASED, 16),
    detector("anchor_free", ANCHOR_FREE, 4, spread=0.02),
    detector("two_headed", TWO_HEADED, 4, trains_only=2),
]


def fuse(module: nn.Module) -> nn.Module:
    """Brings a module, or every part of it that can, into its form for inference, in place; returns it."""
    if hasattr(module, "fuse"):
        return module.fuse()
    for part in list(module.modules()):
        if hasattr(part, "fuse"):
            part.fuse()
    return module


def learned(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
