"""The anchor-free head of YOLOv8 and its successors: every cell says how far the sides of a box are, and its class.

A distance is the mean of a distribution over whole numbers of cells: Li et al., "Generalized Focal Loss", NeurIPS 2020,
arXiv 2006.04388, section 3. With a second, one-to-one pair of branches it detects without suppression: Wang et al.,
"YOLOv10: Real-Time End-to-End Object Detection", NeurIPS 2024, arXiv 2405.14458, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, takewhile
from typing import Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from models.blocks.conv import Conv, DWConv
from models.budget import current_budget
from models.errors import ConfigError
from models.heads.base import DetectionHead, LossHyperparameters, Predictions
from models.heads.takeover import SAME, HeadTakeover, join_classes, shared_classes
from models.losses.anchor_free import SIDES, AnchorFreeLoss
from models.losses.cells import Cells, flattened
from models.registry import RowContext, RowPlan, register

# Prior of the initial biases: about this many objects in an image of this size, all classes equally likely.
PRIOR_OBJECTS = 5
PRIOR_IMAGE_SIZE = 640
INITIAL_BOX_BIAS = 1.0


class AnchorFreeHyperparameters(LossHyperparameters):
    """What weighs the parts of the loss; see `models.losses.anchor_free.AnchorFreeLoss`."""

    box: float = Field(7.5, ge=0)
    cls: float = Field(0.5, ge=0)
    dfl: float = Field(1.5, ge=0)


Branch = tuple[str, str]
"""Names of the box and of the class branch of a pair."""

_FIXED = "dfl."  # what no training changes

ONE_TO_MANY: Branch = ("cv2", "cv3")
ONE_TO_ONE: Branch = ("one2one_cv2", "one2one_cv3")


def anchor_free_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """`[nc]` -> `(nc, channels of every level)`.

    Raises:
        ConfigError: not this one argument, or nc is not a whole number from 1.
    """
    if len(args) != 1:
        raise ConfigError("takes one argument, [nc]")
    (num_classes,) = args
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ConfigError(f"the number of classes must be a whole number from 1, not {num_classes!r}; write nc")
    return RowPlan((num_classes, context.in_channels), SIDES + num_classes, context.repeats)


class DistanceMean(nn.Module):
    """From a distribution over whole distances to its mean.

    Args:
        reg_max: the distances are 0 to `reg_max - 1` cells.

    Attributes:
        conv: holds them as a fixed kernel `(1, reg_max, 1, 1)`, under the name that checkpoints know.
    """

    def __init__(self, reg_max: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(reg_max, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.data[:] = torch.arange(reg_max).view(1, reg_max, 1, 1)

    def forward(self, logits: Tensor) -> Tensor:
        """Logits `(..., 4 * reg_max)`, sides outermost and at least float32, to distances `(..., 4)` in cells."""
        weight = self.conv.weight.flatten().to(logits.dtype)  # (reg_max,)
        probabilities = logits.unflatten(-1, (SIDES, len(weight))).softmax(-1)  # (..., 4, reg_max)
        return (probabilities * weight).sum(-1)


@register(rule=anchor_free_rule)
class AnchorFreeDetect(DetectionHead):
    """The detection head of YOLOv8, 11, 12 and 26; their files call it `Detect`.

    Args:
        nc: number of classes.
        ch: channels of each level's feature map. The widths of all branches follow from the first one.
        reg_max: how many distances 0, 1, ... a side's distribution covers; 1: each side is one raw number instead.
        end2end: whether a second pair of branches learns to answer for each object once. It detects; the first one
            then only trains, and teaches the rows before the head.
        legacy_class_branch: whether the class branch has plain 3x3 convolutions (v8), or depth-wise ones (v10 on).

    Attributes:
        nc, nl, reg_max: classes, levels, and see above.
        stride: `(nl,)` input pixels per cell, found from the graph and not saved.
    """

    hyperparameters = AnchorFreeHyperparameters

    def __init__(
        self,
        nc: int,
        ch: Sequence[int],
        reg_max: int = 16,
        end2end: bool = False,
        legacy_class_branch: bool = True,
    ) -> None:
        super().__init__()
        if reg_max < 1:
            raise ConfigError(f"reg_max must be a whole number from 1, not {reg_max}")
        current_budget().check("channels", SIDES * reg_max + nc, "{} logits in each cell")
        self.nc = self.num_classes = nc
        self.nl = len(ch)
        self.reg_max = reg_max
        self.needs_suppression = not end2end
        self.register_buffer("stride", torch.ones(self.nl), persistent=False)
        box_width, class_width = max(16, ch[0] // 4, SIDES * reg_max), max(ch[0], min(nc, 100))

        def add(branch: Branch) -> None:
            box, label = branch
            setattr(self, box, nn.ModuleList(_box_branch(channels, box_width, reg_max) for channels in ch))
            build = _plain_class_branch if legacy_class_branch else _depthwise_class_branch
            setattr(self, label, nn.ModuleList(build(channels, class_width, nc) for channels in ch))

        # in the order in which checkpoints list them
        add(ONE_TO_MANY)
        self.dfl: nn.Module = DistanceMean(reg_max) if reg_max > 1 else nn.Identity()
        if end2end:
            add(ONE_TO_ONE)

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The pairs that there are; the last one detects."""
        return tuple(pair for pair in (ONE_TO_MANY, ONE_TO_ONE) if hasattr(self, pair[0]))

    def set_stride(self, stride: Tensor) -> None:
        """Biases for boxes of a few cells, and for rare objects."""
        self.stride = stride.to(self.stride)
        for box, label in self.branches:
            for level, cell in enumerate(stride.tolist()):
                nn.init.constant_(_last(self, box, level).bias, INITIAL_BOX_BIAS)
                # Without the prior the first steps only learn that nearly every cell is empty: Lin et al., "Focal Loss
                # for Dense Object Detection", ICCV 2017, section 3.3.
                prior = math.log(PRIOR_OBJECTS / self.nc / (PRIOR_IMAGE_SIZE / cell) ** 2)
                nn.init.constant_(_last(self, label, level).bias, prior)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps `(B, C_i, H_i, W_i)`, in any order of levels, to logits `(B, 4 * reg_max + nc, H_i, W_i)`.

        The box logits come first, sides outermost. With two pairs of branches the levels of the one that only trains
        come first, then those of the one that detects.
        """
        logits = []
        for pair in self.branches:
            # The one-to-one pair learns from what the other one made of the rows before the head (YOLOv10).
            given = [map_.detach() for map_ in features] if pair == ONE_TO_ONE and self.training else features
            logits += self._run_pair(pair, given)
        return logits

    def _run_pair(self, pair: Branch, features: Sequence[Tensor]) -> list[Tensor]:
        box, label = (cast(nn.ModuleList, getattr(self, name)) for name in pair)
        return [torch.cat((b(map_), c(map_)), 1) for b, c, map_ in zip(box, label, features, strict=True)]

    def decode(self, logits: Sequence[Tensor]) -> Predictions:
        """Logits to boxes and scores of the branches that detect, rows ordered by level, y, x.

        The result is at least float32, whatever the precision of the logits: a softmax in half precision moves a side
        of a large box by a pixel.
        """
        levels = logits[-self.nl :]
        dtype = torch.promote_types(levels[0].dtype, torch.float32)
        flat = flattened(levels).to(dtype)  # (B, N, 4 * reg_max + nc)
        box_logits, class_logits = flat.split((SIDES * self.reg_max, self.nc), 2)
        cells = Cells.of_maps([(level.shape[2], level.shape[3]) for level in levels], self.stride.to(dtype), flat)
        return Predictions(cells.boxes_xyxy(self.dfl(box_logits)), class_logits.sigmoid())

    def criterion(self, gains: Mapping[str, float]) -> nn.Module:
        """The loss of the cells that predict a box best already: YOLOv8's, and YOLOv10's where there are two pairs."""
        return AnchorFreeLoss(self, gains)

    def fuse(self) -> AnchorFreeDetect:
        """Drops the branches that only train, in place; inference only from then on."""
        for pair in self.branches[:-1]:
            for name in pair:
                delattr(self, name)
        return self

    def flaw(self) -> str:
        """A kernel of the distances that holds others."""
        if isinstance(self.dfl, DistanceMean):
            weight = self.dfl.conv.weight.flatten()
            if not torch.equal(weight, torch.arange(self.reg_max).to(weight)):
                return f"its dfl.conv.weight does not hold the distances 0 to {self.reg_max - 1}"
        return ""

    def take_over(
        self, given: Mapping[str, Tensor], given_names: Sequence[str] | None, names: Sequence[str]
    ) -> HeadTakeover:
        """All layers of a branch up to the first one of another shape, and the rows of the classes that both know."""
        own = self.state_dict()
        levels = sum(f"cv2.{level}.2.weight" in given for level in range(len(given)))
        if levels != self.nl:
            reason = "the checkpoint's head has other levels" if levels else "the checkpoint's head is of another kind"
            return HeadTakeover(dict.fromkeys(own, reason))
        classes = next(iter(given["cv3.0.2.bias"].shape), 0) if "cv3.0.2.bias" in given else 0
        pairs = shared_classes(given_names, classes, names)
        same = classes == self.nc and pairs == [(index, index) for index in range(self.nc)]
        reasons = {key: _why_left(own, given, classes, key) for key in own}
        entries: dict[str, Tensor] = {}
        for keys in chain.from_iterable(
            takewhile(partial(_fit, own, given, classes), layers) for layers in self._layers()
        ):
            by_class = _is_class_layer(keys[0]) and not same
            reasons.update(dict.fromkeys(keys, _shared(pairs) if by_class else SAME))
            if not by_class:
                entries.update({key: given[key] for key in keys})
            elif pairs:
                entries.update({key: join_classes(own[key], given[key], 1, 0, pairs) for key in keys})
        if all(key.startswith(_FIXED) for key in entries):  # which every such head has
            return HeadTakeover(reasons)
        class_keys = frozenset(filter(_is_class_layer, entries))
        return HeadTakeover(reasons, entries, frozenset() if same else class_keys, bool(class_keys))

    def _layers(self) -> Iterator[list[list[str]]]:
        """For every branch and level the keys of its three layers, from the features on; and the fixed kernel's."""
        keys = list(self.state_dict())
        for name in [name for pair in self.branches for name in pair]:
            for level in range(self.nl):
                yield [[key for key in keys if key.startswith(f"{name}.{level}.{layer}.")] for layer in range(3)]
        yield [[key] for key in keys if key.startswith(_FIXED)]


def _box_branch(channels: int, width: int, reg_max: int) -> nn.Sequential:
    return nn.Sequential(Conv(channels, width, 3), Conv(width, width, 3), nn.Conv2d(width, SIDES * reg_max, 1))


def _plain_class_branch(channels: int, width: int, nc: int) -> nn.Sequential:
    return nn.Sequential(Conv(channels, width, 3), Conv(width, width, 3), nn.Conv2d(width, nc, 1))


def _depthwise_class_branch(channels: int, width: int, nc: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(DWConv(channels, channels, 3), Conv(channels, width, 1)),
        nn.Sequential(DWConv(width, width, 3), Conv(width, width, 1)),
        nn.Conv2d(width, nc, 1),
    )


def _last(head: AnchorFreeDetect, branch: str, level: int) -> Any:
    """The 1x1 convolution of a branch that gives the logits."""
    return getattr(head, branch)[level][-1]


def _is_class_layer(key: str) -> bool:
    """Whether the rows of a tensor are the classes, by its name such as `one2one_cv3.0.2.bias`."""
    branch, _, layer, *_ = key.split(".")
    return branch.endswith("cv3") and layer == "2"


def _fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor], classes: int, keys: Sequence[str]) -> bool:
    """Whether the checkpoint, which knows so many classes, has a layer in this one's shape but for the classes."""
    if any(key not in given or given[key].shape != _shape(own, classes, key) for key in keys):
        return False
    # A fixed kernel is nobody's to change: it comes along only where it is the same.
    return not keys[0].startswith(_FIXED) or torch.equal(given[keys[0]].to(own[keys[0]]), own[keys[0]])


def _shape(own: Mapping[str, Tensor], classes: int, key: str) -> tuple[int, ...]:
    """What shape a tensor has in a head like this one for so many classes."""
    return (classes, *own[key].shape[1:]) if _is_class_layer(key) else tuple(own[key].shape)


def _why_left(own: Mapping[str, Tensor], given: Mapping[str, Tensor], classes: int, key: str) -> str:
    """Why a tensor stays as it is, where its layer, or one before it, does not fit."""
    if key.startswith(_FIXED):
        return "a fixed kernel"
    if key not in given:
        return "the checkpoint has nothing at this place"
    return "other shape" if given[key].shape != _shape(own, classes, key) else "belongs to a layer of another shape"


def _shared(pairs: Sequence[tuple[int, int]]) -> str:
    return f"the {len(pairs)} classes that both know" if pairs else "no class in common with the checkpoint"


@register("v10Detect", rule=anchor_free_rule)
class V10Detect(AnchorFreeDetect):
    """YOLOv10's head: two pairs of branches, the class branch with depth-wise convolutions.

    Args:
        nc, ch, reg_max: see `AnchorFreeDetect`.
    """

    def __init__(self, nc: int, ch: Sequence[int], reg_max: int = 16) -> None:
        super().__init__(nc, ch, reg_max, end2end=True, legacy_class_branch=False)
