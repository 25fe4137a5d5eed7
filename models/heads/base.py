"""What a detector, a trainer, an evaluator and an exporter ask of a detection head, whatever head it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from files.recipe import RecipeKeys
from models.heads.takeover import HeadTakeover


class Predictions(NamedTuple):
    """What any head says of a batch: N boxes per image, each with a score for every class.

    Attributes:
        boxes_xyxy: `(B, N, 4)` left, top, right, bottom in input pixels, not clipped; float32.
        scores: `(B, N, nc)` in [0, 1]; float32.
    """

    boxes_xyxy: Tensor
    scores: Tensor


class LossHyperparameters(RecipeKeys):
    """Base of what heads declare as `hyperparameters`: the loss of this one has none."""


class DetectionHead(nn.Module, ABC):
    """The last row of a model. A new head is one file in `models/heads` with a registered subclass.

    `forward` gives raw logits and is the same in training and evaluation; decoding and loss stand apart from it.

    Attributes:
        hyperparameters: the keys that the loss adds to a recipe, with their defaults and bounds.
        needs_suppression: whether several boxes may stand for one object, so that the weaker ones must be dropped.
        num_classes: number of classes.
        stride: `(levels,)` input pixels per cell of each level, in the order of the row's `from`, which may be any;
            ones until `set_stride`.
    """

    hyperparameters: ClassVar[type[LossHyperparameters]] = LossHyperparameters
    needs_suppression: bool = True

    num_classes: int
    stride: Tensor

    @abstractmethod
    def set_stride(self, stride: Tensor) -> None:
        """Called once, on the new model, with the `(levels,)` strides found from the graph.

        The place for whatever depends on them: anchors in grid units, initial biases.
        """

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps `(B, C_i, H_i, W_i)` to raw logits, one tensor per level (or per branch and level)."""

    @abstractmethod
    def decode(self, logits: Sequence[Tensor]) -> Predictions:
        """Raw logits of any floating type, in the shapes that `forward` gives them, to boxes and scores.

        Shapes, units and ranges of the result are those of `Predictions`; N is all that the levels have to say.
        """

    @abstractmethod
    def criterion(self, gains: Mapping[str, float]) -> nn.Module:
        """The loss that trains this head, for what it has been fitted to: `fit` comes first.

        It is called as `criterion(logits, targets, progress)` with the logits of `forward`, a
        `models.losses.targets.Targets`, and how much of the training is over, 0 to 1. It returns a dict of scalar
        losses by name: float32, weights applied, averaged over the images. Their sum is what is minimised.

        Args:
            gains: the head's `hyperparameters` by name; `imgsz`, the side of the training's input in pixels; and what
                older rules of a resumed training ask for, of which a head reads what concerns it.
        """

    def readable(self, logits: Sequence[Tensor]) -> Tensor:
        """The predictions for people, as one table `(B, N, columns)` that begins with cx, cy, w, h in input pixels.

        Here the class scores follow, `4 + nc` columns; a head that has more to show puts it between them.
        """
        boxes_xyxy, scores = self.decode(logits)
        return torch.cat((box_convert(boxes_xyxy, "xyxy", "cxcywh"), scores), 2)

    def fit(self, sizes: np.ndarray, gains: Mapping[str, float], seed: int = 0) -> str | None:
        """Fits a new head to the boxes of a data set, in place, where there is something to fit (anchors).

        Args:
            sizes: `(N, 2)` width and height of all training boxes, in pixels of the network input.
            gains: see `criterion`.
            seed: of whatever is drawn at random.

        Returns:
            One sentence that says what was done; None where there is nothing to say.
        """
        return None

    def anchor_sizes(self) -> Tensor:
        """`(n, 2)` widths and heights, in input pixels, of the boxes that predictions start from; none by default."""
        return self.stride.new_zeros((0, 2))

    def flaw(self) -> str:
        """What makes the head's values unfit to detect with, in words that name the entry; empty where nothing does."""
        return ""

    def take_over(
        self, given: Mapping[str, Tensor], given_names: Sequence[str] | None, names: Sequence[str]
    ) -> HeadTakeover | None:
        """Which tensors of a checkpoint's head this head starts from, where its rows belong to classes.

        Args:
            given: the state dict of the checkpoint's head, which may be of another kind.
            given_names: the classes that the checkpoint names; None where it names none.
            names: the classes of this head.

        Returns:
            None where no class has rows of its own: then the head is taken over unit by unit, like any other row.
        """
        return None
