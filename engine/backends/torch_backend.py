"""The back end for checkpoints: PyTorch, with BatchNorm folded and the layout that is fastest."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from engine.backends.base import Backend, register_backend
from engine.channels import require_colour
from engine.device import describe_device, describe_precision, memory_format_of, network_input
from models.detector import Detector
from models.heads.base import Predictions
from models.weights.load import load_detector


class DetectorBackend(Backend):
    """Runs a detector that is there already. Half precision concerns the network alone, not the decoding.

    Args:
        detector: on the device, in evaluation mode and float32; fused here, in place.
        autocast: see `TorchBackend`.
    """

    def __init__(
        self, detector: Detector, *, device: torch.device, dtype: torch.dtype = torch.float32, autocast: bool = False
    ) -> None:
        self.classes = detector.classes
        self.imgsz = detector.imgsz
        self.data = detector.data
        self.stride = math.lcm(detector.size_divisor, round(float(detector.stride.max())))
        self.needs_suppression = detector.head.needs_suppression
        self.device = device
        self.dtype = dtype
        self.layout = memory_format_of(device, dtype)
        self.weights_dtype = torch.float32 if autocast else dtype
        self.autocast = torch.autocast(device.type, dtype=dtype, enabled=autocast and dtype != torch.float32)
        # Folded in float32, then rounded once.
        self.model = detector.fuse().to(self.weights_dtype).to(memory_format=self.layout)

    @classmethod
    def opens_file(cls, start: bytes) -> bool:
        """A zip archive or a pickle, as torch writes checkpoints."""
        return start == b"PK\x03\x04" or start[:1] == b"\x80"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Predictions:
        # Scaled before rounding to half precision; 0..255 is not exact in bfloat16 after a division there.
        inputs = self.prepare(images).to(self.weights_dtype)
        with self.autocast:
            return self.model.predict(inputs)

    def prepare(self, images: Tensor) -> Tensor:
        """To float32 in [0, 1] on the device, in the layout that is fastest there."""
        return network_input(images, self.device, self.layout)

    def where(self) -> str:
        """Device, layout and precision in words."""
        return f"{describe_device(self.device)}; {describe_precision(self.layout, self.dtype)}"


@register_backend(".pt", ".pth")
class TorchBackend(DetectorBackend):
    """Runs a checkpoint. Half precision concerns the network alone, not the decoding.

    Args:
        cfg: another architecture to run the weights in; '' is their own.
        autocast: the weights stay float32, and torch.autocast decides where `dtype` is computed in.
    """

    takes_cfg = True

    def __init__(
        self,
        weights: Path,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        cfg: str = "",
        autocast: bool = False,
    ) -> None:
        detector = load_detector(weights, device, cfg)
        require_colour(detector.in_channels, cfg or str(weights))
        super().__init__(detector, device=device, dtype=dtype, autocast=autocast)
