"""What is exported: a detector that ends in boxes and scores, whatever its head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.device import network_input
from models.detector import Detector
from models.heads.base import Predictions

INPUT = "images"
OUTPUTS = ("boxes", "scores")
FINISHED_OUTPUTS = ("boxes", "scores", "classes")


class ExportedNetwork(nn.Module):
    """Images `(B, 3, H, W)` float32 RGB in [0, 1] to `boxes (B, N, 4)` xyxy in input pixels and `scores (B, N, nc)`.

    Both are float32 and decoded in float32, whatever the network itself computes in. N depends on H and W alone.

    Args:
        detector: fused here, in place.

    Attributes:
        dtype: what the network computes in.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector.eval().fuse().requires_grad_(False)
        self.dtype = torch.float32

    def half_inside(self) -> ExportedNetwork:
        """Weights and network in float16, in place; images, decoding and results stay float32."""
        self.detector.half()
        self.dtype = torch.float16
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        predictions: Predictions = self.detector.predict(images.to(self.dtype))
        return predictions.boxes_xyxy, predictions.scores

    @torch.inference_mode()
    def run(self, images: Tensor) -> Predictions:
        """What it gives for `(B, 3, H, W)` uint8 RGB, on the CPU."""
        return Predictions(*self(network_input(images, torch.device("cpu"), torch.contiguous_format)))
