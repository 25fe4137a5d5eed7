"""The models that `hubconf.py` offers: any trained file, and every architecture of `configs/models/`."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from engine.backends import Backend, open_backend
from engine.backends.torch_backend import DetectorBackend
from engine.channels import require_colour
from engine.device import detection_precision, select_device
from engine.errors import EngineError
from engine.hub.model import HubModel
from files.classes import Classes
from models.budget import model_budget
from models.detector import Detector, build_model
from models.weights.load import load_detector

log = logging.getLogger(__name__)


def open_weights(
    path: str | Path,
    *,
    cfg: str = "",
    autoshape: bool = True,
    device: str | int = "",
    half: bool = False,
    bf16: bool = False,
    fp32: bool = False,
    budget: int = 1,
) -> HubModel | Detector:
    """A trained detector, on whichever back end its file or folder is for.

    Args:
        path: `best.pt`, YOLOv5's or ultralytics' own, or what `export.py` wrote.
        cfg: another architecture to run a checkpoint's weights in.
        autoshape: whether pictures of all kinds are taken; else the bare `Detector` of a checkpoint, in evaluation
            mode: images `(B, 3, H, W)` in [0, 1] to `(readable, logits)`.
        device, half, bf16, fp32, budget: as `--device`, `--half`, ..., `--model-budget` of `detect.py`.

    Raises:
        InputError: the file or an option cannot be used.
    """
    chosen = select_device(str(device))
    if not autoshape:
        with model_budget(budget):
            return load_detector(path, chosen, cfg)

    def opener(place: torch.device) -> Backend:
        dtype = detection_precision(place, half=half, bf16=bf16, fp32=fp32)
        with model_budget(budget):
            return open_backend(path, device=place, dtype=dtype, cfg=cfg)

    return HubModel(opener, chosen)


def open_architecture(
    name: str,
    weights: str | Path = "",
    *,
    pretrained: bool = False,
    classes: int | None = None,
    autoshape: bool = True,
    device: str | int = "",
) -> HubModel | Detector:
    """A detector built from a file of `configs/models/`.

    Args:
        name: of the file, or of a size of its family.
        weights: a checkpoint to run in this architecture; '' for fresh weights, which find noise before a training.
        pretrained: refused, since none are published here.
        classes: how many, for fresh weights; None as the file says.
        autoshape: whether pictures of all kinds are taken; else the bare `Detector`, in training mode if it is fresh.
        device: as `--device` of `detect.py`.

    Raises:
        InputError: the weights or an option cannot be used.
    """
    if weights:
        return open_weights(weights, cfg=name, autoshape=autoshape, device=device)
    if pretrained:
        raise EngineError(f"{name}: no trained weights come along; give a checkpoint as weights=, or train with it")
    detector = build_model(name, classes)
    chosen = select_device(str(device))
    if not autoshape:
        return detector.to(chosen)
    log.warning("%s: fresh weights, which find noise; give a checkpoint as weights=", name)
    require_colour(detector.in_channels, name)
    detector.classes = Classes.numbered(detector.num_classes)
    state = detector.state_dict()

    def opener(place: torch.device) -> Backend:
        fresh = build_model(name, classes)
        fresh.load_state_dict(state)
        return DetectorBackend(fresh.to(place).eval().requires_grad_(False), device=place, dtype=torch.float32)

    return HubModel(opener, chosen)
