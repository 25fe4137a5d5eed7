"""What a detector, a trainer and an evaluator ask of a detection head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class DetectionHead(nn.Module, ABC):
    """The last row of a model. A new head is one file in `models/heads` with a registered subclass.

    `forward` gives raw logits and is the same in training and evaluation; decoding and loss stand apart from it.

    Attributes:
        num_classes: number of classes.
        stride: `(levels,)` input pixels per cell of each level; ones until `set_stride`.
    """

    num_classes: int
    stride: Tensor

    @abstractmethod
    def set_stride(self, stride: Tensor) -> None:
        """Called once, on the new model, with the `(levels,)` strides found from the graph.

        The place for whatever depends on them: anchors in grid units, initial biases.
        """

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps `(B, C_i, H_i, W_i)` to raw logits per level."""

    @abstractmethod
    def decode(self, logits: Sequence[Tensor]) -> Tensor:
        """Raw logits to `(B, anchors, 5 + nc)`: cx, cy, w, h in input pixels, objectness and class probabilities."""

    @abstractmethod
    def build_loss(self, gains: Mapping[str, float]) -> nn.Module:
        """The loss that trains this head: called as `loss(logits, targets)`, with `gains` from the recipe."""
