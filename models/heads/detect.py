"""The anchor-based head of YOLOv5: one 1x1 convolution per level, decoded by bounded offsets and anchor factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.errors import ConfigError
from models.heads.base import DetectionHead
from models.losses.anchor import AnchorLoss
from models.registry import RowContext, RowPlan, register

# Prior of the initial biases: about this many objects in an image of this size, all classes equally likely.
PRIOR_OBJECTS = 8
PRIOR_IMAGE_SIZE = 640
PRIOR_CLASS_PROBABILITY = 0.6


def detect_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[nc, anchors]` -> `(nc, anchors, channels of every level)`."""
    if len(args) != 2:
        raise ConfigError("takes the arguments [nc, anchors]")
    num_classes, anchors = args
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ConfigError(f"the number of classes must be a whole number from 1, not {num_classes!r}; write nc")
    levels = len(context.in_channels)
    shapes = _anchor_levels(anchors, levels)
    out_channels = len(shapes[0]) // 2 * (5 + num_classes)
    return RowPlan((num_classes, shapes, context.in_channels), out_channels, context.repeats)


def _anchor_levels(anchors: Any, levels: int) -> list[list[float]]:
    if anchors is None:
        raise ConfigError("needs anchors, but the file has no key 'anchors'; add it, or write them into the row")
    if isinstance(anchors, int) and not isinstance(anchors, bool) and anchors > 0:
        # YOLOv5's placeholder shapes, until the trainer fits anchors to the data
        return [[float(side) for side in range(2 * anchors)]] * levels
    if not isinstance(anchors, list) or not all(isinstance(level, list) for level in anchors):
        raise ConfigError(f"anchors must be a number per level or a list of sizes for each level, not {anchors!r}")
    if len(anchors) != levels:
        raise ConfigError(
            f"has {levels} inputs but anchors for {len(anchors)} levels; give one list of anchors per input"
        )
    lengths = {len(level) for level in anchors}
    if len(lengths) != 1 or lengths == {0} or lengths.pop() % 2:
        raise ConfigError("anchors must list as many pairs of width and height at every level")
    return anchors


@register(rule=detect_rule)
class Detect(DetectionHead):
    """YOLOv5's detection head.

    Args:
        nc: number of classes.
        anchors: per level `w0, h0, w1, h1, ...` in input pixels.
        ch: channels of each level's feature map.

    Attributes:
        nc, no, nl, na: classes, outputs per anchor (5 + nc), levels, anchors per level.
        anchors: `(nl, na, 2)` width and height in grid units (pixels divided by the level's stride), saved.
        stride: `(nl,)` input pixels per cell, found from the graph and not saved.
    """

    anchors: Tensor

    def __init__(self, nc: int, anchors: Sequence[Sequence[float]], ch: Sequence[int]) -> None:
        super().__init__()
        self.nc = self.num_classes = nc
        self.no = 5 + nc
        self.nl = len(anchors)
        self.na = len(anchors[0]) // 2
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32).view(self.nl, self.na, 2))
        self.register_buffer("stride", torch.ones(self.nl), persistent=False)
        self.m = nn.ModuleList(nn.Conv2d(channels, self.na * self.no, 1) for channels in ch)

    def set_stride(self, stride: Tensor) -> None:
        """Anchors from pixels to grid units, small ones to the fine levels; biases for rare objects."""
        self.stride = stride.to(self.anchors)
        area = self.anchors.prod(2).mean(1)
        if (area[-1] - area[0]) * (self.stride[-1] - self.stride[0]) < 0:
            self.anchors = self.anchors.flip(0)
        self.anchors = self.anchors / self.stride.view(-1, 1, 1)
        self._init_biases()

    @torch.no_grad()
    def _init_biases(self) -> None:
        # Without the prior the first steps only learn that nearly every cell is empty: Lin et al., "Focal Loss for
        # Dense Object Detection", ICCV 2017, section 3.3.
        for conv, stride in zip(self.m, self.stride.tolist(), strict=True):
            bias = cast(Tensor, conv.bias).view(self.na, self.no)
            bias[:, 4] += math.log(PRIOR_OBJECTS / (PRIOR_IMAGE_SIZE / stride) ** 2)
            bias[:, 5:] += math.log(PRIOR_CLASS_PROBABILITY / (self.nc - 0.99999))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps `(B, C_i, H_i, W_i)`, finest or coarsest first, to logits `(B, na, H_i, W_i, 5 + nc)`."""
        return [
            conv(feature).unflatten(1, (self.na, self.no)).permute(0, 1, 3, 4, 2)
            for conv, feature in zip(self.m, features, strict=True)
        ]

    def decode(self, logits: Sequence[Tensor]) -> Tensor:
        """Logits to predictions `(B, anchors, 5 + nc)`, rows ordered by level, anchor, y, x.

        The result is at least float32, whatever the precision of the logits: bfloat16 has steps of 4 px at 640 px.
        """
        return torch.cat([self._decode_level(level, index) for index, level in enumerate(logits)], 1)

    def _decode_level(self, logits: Tensor, level: int) -> Tensor:
        batch, _, height, width, _ = logits.shape
        probabilities = logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()
        xy, wh, scores = probabilities.split((2, 2, self.no - 4), 4)
        x = torch.arange(width, device=logits.device, dtype=probabilities.dtype)
        y = torch.arange(height, device=logits.device, dtype=probabilities.dtype)
        # the cell's corner, minus the half cell by which offsets may leave the cell on either side
        corner = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), 2) - 0.5
        stride = self.stride[level]
        anchor_px = (self.anchors[level] * stride).view(1, self.na, 1, 1, 2)
        boxes = torch.cat(((xy * 2 + corner) * stride, (wh * 2) ** 2 * anchor_px, scores), 4)
        return boxes.reshape(batch, self.na * height * width, self.no)

    def build_loss(self, gains: Mapping[str, float]) -> nn.Module:
        """YOLOv5's loss on this head's anchors, as they are now: fit anchors first."""
        return AnchorLoss(self, gains)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Detect:
        """Moves with the model, but keeps its precision: in bfloat16 a large anchor is off by a pixel."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            exact = tensor is self.anchors or tensor is self.stride
            return tensor.to(moved.device) if exact and moved.dtype != tensor.dtype else moved

        return super()._apply(move, recurse)
