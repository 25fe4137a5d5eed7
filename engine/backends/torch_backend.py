"""The back end for checkpoints: PyTorch, with BatchNorm folded and the layout that is fastest."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from engine.backends.base import Backend, register_backend
from engine.channels import require_colour
from engine.device import memory_format_of, network_input
from models.heads.base import Predictions
from models.weights.load import load_detector


@register_backend(".pt", ".pth")
class TorchBackend(Backend):
    """Runs a checkpoint of `train.py` or of YOLOv5. Half precision concerns the network alone, not the decoding.

    Args:
        cfg: another architecture to run the weights in; '' is their own.
    """

    takes_cfg = True

    def __init__(
        self, weights: Path, *, device: torch.device, dtype: torch.dtype = torch.float32, cfg: str = ""
    ) -> None:
        model = load_detector(weights, device, cfg)
        require_colour(model.in_channels, cfg or str(weights))
        self.classes = model.classes
        self.imgsz = model.imgsz
        self.stride = math.lcm(model.size_divisor, round(float(model.stride.max())))
        self.needs_suppression = model.head.needs_suppression
        self.device = device
        self.dtype = dtype
        # Folded in float32, then rounded once.
        self.layout = memory_format_of(device, dtype)
        self.model = model.fuse().to(dtype).to(memory_format=self.layout)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Predictions:
        # Scaled before rounding to half precision; 0..255 is not exact in bfloat16 after a division there.
        return self.model.predict(network_input(images, self.device, self.layout).to(self.dtype))
