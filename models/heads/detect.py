"""The anchor-based head of YOLOv5: one 1x1 convolution per level, decoded by bounded offsets and anchor factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from files.problems import short
from models.budget import current_budget
from models.errors import ConfigError
from models.heads.anchors import check_anchors
from models.heads.base import DetectionHead, LossHyperparameters, Predictions
from models.heads.takeover import SAME, HeadTakeover, join_classes, shared_classes
from models.losses.anchor import AnchorLoss, level_rank
from models.registry import RowContext, RowPlan, register

# Prior of the initial biases: about this many objects in an image of this size, all classes equally likely.
PRIOR_OBJECTS = 8
PRIOR_IMAGE_SIZE = 640
PRIOR_CLASS_PROBABILITY = 0.6


def detect_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[nc, anchors]` -> `(nc, anchors, channels of every level)`.

    Raises:
        ConfigError: not these two arguments; nc is not a whole number from 1; or the anchors are missing, not pairs of
            width and height, or not for as many levels as the row has inputs.
    """
    if len(args) != 2:
        raise ConfigError("takes the arguments [nc, anchors], or [nc] for the head without anchors")
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
        current_budget().check("anchors", anchors, "{} anchors at each level")
        # YOLOv5's placeholder shapes, until the trainer fits anchors to the data
        return [[float(side) for side in range(2 * anchors)]] * levels
    if not isinstance(anchors, list) or not all(isinstance(level, list) for level in anchors):
        raise ConfigError(f"anchors must be a number per level or a list of sizes for each level, not {short(anchors)}")
    if len(anchors) != levels:
        raise ConfigError(
            f"has {levels} inputs but anchors for {len(anchors)} levels; give one list of anchors per input"
        )
    lengths = {len(level) for level in anchors}
    if len(lengths) != 1 or lengths == {0} or lengths.pop() % 2:
        raise ConfigError("anchors must list as many pairs of width and height at every level")
    for side in chain.from_iterable(anchors):
        if isinstance(side, bool) or not isinstance(side, int | float) or not 0 < side < math.inf:
            raise ConfigError(f"anchors must be positive widths and heights in pixels, not {short(side)}")
    current_budget().check("anchors", len(anchors[0]) // 2, "{} anchors at each level")
    return anchors


class AnchorHyperparameters(LossHyperparameters):
    """What weighs the parts of the anchor-based loss; see `models.losses.anchor.AnchorLoss`."""

    box: float = Field(0.05, ge=0)
    cls: float = Field(0.5, ge=0)
    cls_pw: float = Field(1.0, gt=0)
    obj: float = Field(1.0, ge=0)
    obj_pw: float = Field(1.0, gt=0)
    anchor_t: float = Field(4.0, gt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)


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

    hyperparameters = AnchorHyperparameters

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
        area = self.anchors.prod(2).mean(1)  # (nl,)
        smallest_first = self.anchors[area.argsort(stable=True)]
        self.anchors = smallest_first[level_rank(self.stride)] / self.stride.view(-1, 1, 1)
        self._init_biases()

    def anchor_sizes(self) -> Tensor:
        """`(nl * na, 2)` widths and heights in input pixels, level by level."""
        return (self.anchors * self.stride.view(-1, 1, 1)).flatten(0, 1)

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

    def decode(self, logits: Sequence[Tensor]) -> Predictions:
        """Logits to boxes and scores, rows ordered by level, anchor, y, x. A score is objectness times class.

        The result is at least float32, whatever the precision of the logits: bfloat16 has steps of 4 px at 640 px.
        """
        boxes, objectness, classes = zip(*self._decode_anchors(logits), strict=True)
        centre, size = torch.cat(boxes, 1).split((2, 2), 2)  # (B, N, 2) each
        boxes_xyxy = torch.cat((centre - size / 2, centre + size / 2), 2)
        scores, factors = torch.cat(classes, 1), torch.cat(objectness, 1)  # (B, N, nc), (B, N, 1)
        # In place where nobody wants gradients: another copy of the scores would take as long as the sigmoid.
        return Predictions(boxes_xyxy, scores * factors if torch.is_grad_enabled() else scores.mul_(factors))

    def readable(self, logits: Sequence[Tensor]) -> Tensor:
        """`(B, N, 5 + nc)`: cx, cy, w, h in input pixels, objectness, class probabilities; rows as in `decode`."""
        boxes, objectness, classes = zip(*self._decode_anchors(logits), strict=True)
        return torch.cat((torch.cat(boxes, 1), torch.cat(objectness, 1), torch.cat(classes, 1)), 2)

    def _decode_anchors(self, logits: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each anchor of each level cx, cy, w, h in input pixels `(B, H * W, 4)`, objectness and classes.

        Apart by anchor they are views: the scores, nearly all of the numbers, are copied once and not twice.
        """
        decoded = []
        for level, level_logits in enumerate(logits):
            height, width = level_logits.shape[2:4]
            dtype = torch.promote_types(level_logits.dtype, torch.float32)
            probabilities = level_logits.to(dtype).sigmoid()  # (B, A, H, W, 5 + nc)
            x = torch.arange(width, device=level_logits.device, dtype=dtype)  # (W,)
            y = torch.arange(height, device=level_logits.device, dtype=dtype)  # (H,)
            corner = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), 2)  # (H, W, 2)
            # minus the half cell by which offsets may leave the cell on either side
            corner = corner.flatten(0, 1) - 0.5  # (H * W, 2)
            stride = self.stride[level]
            for anchor in range(self.na):
                cells = probabilities[:, anchor].flatten(1, 2)  # (B, H * W, 5 + nc)
                xy, wh, objectness, classes = cells.split((2, 2, 1, self.nc), 2)
                centre, size = (xy * 2 + corner) * stride, (wh * 2) ** 2 * (self.anchors[level, anchor] * stride)
                decoded.append((torch.cat((centre, size), 2), objectness, classes))
        return decoded

    def criterion(self, gains: Mapping[str, float]) -> nn.Module:
        """YOLOv5's loss on this head's anchors, as they are now: `fit` comes first.

        Args:
            gains: also `balance_by_position`, where a resumed training weighed the levels by their place, as if the
                finest stood first.
        """
        return AnchorLoss(self, gains)

    def fit(self, sizes: np.ndarray, gains: Mapping[str, float], seed: int = 0) -> str | None:
        """Re-fits the anchors in place when they recall less than 98 % of the boxes, and k-means finds better ones."""
        if not len(sizes):
            return None
        stride = self.stride.view(-1, 1, 1)
        anchors = (self.anchors * stride).reshape(-1, 2).cpu().numpy()  # (nl * na, 2) pixels
        check = check_anchors(sizes, anchors, gains["anchor_t"], seed)
        if check.better is not None:
            finest_first = torch.from_numpy(check.better).view_as(self.anchors).to(self.anchors)  # (nl, na, 2) pixels
            self.anchors.copy_(finest_first[level_rank(self.stride)] / stride)
        return check.sentence

    def flaw(self) -> str:
        """Anchors that have no size; the first of YOLOv5's placeholders has no width, and detects nothing."""
        sides = self.anchors  # (nl, na, 2)
        placeholders = torch.arange(2.0 * self.na).view(self.na, 2).to(sides) / self.stride.view(-1, 1, 1)
        if torch.equal(sides, placeholders) or bool((sides > 0).all()):
            return ""
        return "its anchors are not all positive"

    def take_over(
        self, given: Mapping[str, Tensor], given_names: Sequence[str] | None, names: Sequence[str]
    ) -> HeadTakeover:
        """The rows of the classes that both know, with the box and objectness rows and the anchors of the checkpoint.

        Without a class in common, the box and objectness rows are still a better start than random ones: what they say
        of a cell is relative to its anchor.
        """
        own = self.state_dict()
        anchors, bias = given.get("anchors"), given.get("m.0.bias")
        if anchors is None or bias is None or anchors.shape != self.anchors.shape or not bias.dim():
            return HeadTakeover(dict.fromkeys(own, "the checkpoint's head has other levels or anchors"))
        rows = len(bias)
        classes = rows // self.na - 5
        pairs = shared_classes(given_names, classes, names)
        same = classes == self.nc and pairs == [(index, index) for index in range(self.nc)]
        kept = f"box, objectness and the {len(pairs)} classes that both know"
        if not pairs:
            kept = "box and objectness; no class in common with the checkpoint"
        entries: dict[str, Tensor] = {}
        reasons: dict[str, str] = {}
        for level in range(self.nl):
            keys = (f"m.{level}.weight", f"m.{level}.bias")
            fits = all(key in given and given[key].shape == (rows, *own[key].shape[1:]) for key in keys)
            if not fits or rows % self.na or classes < 1:
                reasons.update(dict.fromkeys(keys, "other shape"))
                continue
            entries.update(
                {key: given[key] if same else join_classes(own[key], given[key], self.na, 5, pairs) for key in keys}
            )
            reasons.update(dict.fromkeys(keys, SAME if same else kept))
        if not entries:
            return HeadTakeover({**reasons, "anchors": "belongs to the head's kernels"})
        return HeadTakeover(
            reasons={**reasons, "anchors": SAME},
            entries={**entries, "anchors": anchors},
            converted=frozenset() if same else frozenset(entries),
            knows_classes=bool(pairs),
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Detect:
        """Moves with the model, but keeps its precision: in bfloat16 a large anchor is off by a pixel."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            exact = tensor is self.anchors or tensor is self.stride
            return tensor.to(moved.device) if exact and moved.dtype != tensor.dtype else moved

        return super()._apply(move, recurse)
