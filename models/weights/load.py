"""From a checkpoint file to the network that it holds, or that takes its weights over: read, match, build."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from files.printable import Lines
from files.words import cut
from models.blocks.activation import build_activation
from models.detector import Detector, build_model
from models.errors import ConfigError, WeightsError
from models.weights.checks import integers_for_floats
from models.weights.foreign import FOLDED
from models.weights.report import Outcome
from models.weights.source import SourceWeights, load_source
from models.weights.transfer import transfer_weights

log = logging.getLogger(__name__)


def load_detector(path: str | Path, device: torch.device | None = None, cfg: str = "") -> Detector:
    """The detector of a checkpoint (this project's, YOLOv5's or ultralytics'), in evaluation mode and float32.

    It carries the attributes `classes` (names, and the data set's own ids), `imgsz: int` (network input size in pixels)
    and `data: str` (path of the data-set YAML, may be empty).

    Args:
        cfg: another architecture to run the weights in; it must find a place for itself in them entirely.

    Raises:
        WeightsError: see `load_source`; or the weights do not fit the configuration.
        ConfigError: `cfg` is wrong.
    """
    source = load_source(path)
    model = _build_as(cfg, source, path) if cfg else _build_as_stored(source, path)
    model.imgsz = source.imgsz or model.imgsz
    model.data = source.data
    return model.to(device or torch.device("cpu")).eval().requires_grad_(False)


def _build_as_stored(source: SourceWeights, path: str | Path) -> Detector:
    if source.yaml is None:
        raise WeightsError(f"{path}: does not say which architecture it is for; name it with --cfg")
    try:
        classes = source.classes
        model = build_model(source.yaml, num_classes=None if classes is None else len(classes))
        wrong = next(iter(integers_for_floats(source.state, model.state_dict())), None)
        if wrong is not None:
            raise WeightsError(f"{path}: {wrong} holds whole numbers, whose scale is not known; save it as float32")
        model.load_state_dict(source.state)
        for path_in_model, text in source.activations.items():
            block, _, name = path_in_model.rpartition(".")
            setattr(model.get_submodule(block), name, build_activation(text))
    except ConfigError as error:
        raise WeightsError(f"{path}: its configuration cannot be built here ({error}); give one with --cfg") from None
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        reason = _misfit(source) or _first_misfit(error)
        remedy = f"{FOLDED}; give the file that its training wrote" if source.folded else "train it again"
        raise WeightsError(f"{path}: its weights do not fit its configuration ({reason}); {remedy}") from None
    flaw = model.head.flaw()
    if flaw:
        raise WeightsError(f"{path}: {flaw}; train it again")
    model.classes = classes or model.classes
    return model


def _misfit(source: SourceWeights) -> str:
    """That names and classes differ in number; "" where they don't, or where that is unknown."""
    stated = None if source.yaml is None else source.yaml.get("nc")
    if source.classes is None or not isinstance(stated, int) or stated == len(source.classes):
        return ""
    return f"it has the names of {len(source.classes)} classes, and its configuration says nc: {stated}"


def _first_misfit(error: Exception) -> str:
    """What torch says first of the tensors that do not fit; the line above it says only that there are some."""
    lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
    return cut(lines[1] if lines[0].endswith(":") and len(lines) > 1 else lines[0], 200).rstrip(".")


def _build_as(cfg: str, source: SourceWeights, path: str | Path) -> Detector:
    classes = source.classes
    model = build_model(cfg, num_classes=None if classes is None else len(classes))
    model.classes = classes or model.classes
    report = transfer_weights(model, source)
    left = report.keys(Outcome.LEFT)
    if left:
        raise WeightsError(
            f"{path}: has no weights for {len(left)} of the {len(model.state_dict())} tensors of {cfg} (such as "
            f"{left[0]}), which would detect noise; start a training from them with train.py --cfg --weights"
        )
    if report.notes:
        raise WeightsError(f"{path}: as {cfg} it would detect noise: {report.notes[0]}")
    log.info("%s run as %s\n%s", path, cfg, Lines(report.table()))
    return model
