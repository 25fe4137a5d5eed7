"""Checkpoints: tensors and plain data only, written whole, read without running anybody's code.

A checkpoint is a dictionary that `torch.load(weights_only=True)` reads:

    format        'saconv-yolo/1'
    model         state dict of the detector (its EMA where training kept one): what `val.py` and `detect.py` run
    yaml          the model configuration, as `build_model` takes it
    names         class names; category_ids: the data set's own id of each class
    imgsz         network input size of the training, pixels
    data          path of the data-set YAML
    training      only in `last.pt` of an unfinished training: what `--resume` needs
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.errors import EngineError
from engine.runs import atomic_path
from models import build_model
from models.detector import Detector

FORMAT = "saconv-yolo/1"


@dataclass(frozen=True)
class TransferReport:
    """What a detector took over from a checkpoint, by state-dict key."""

    taken: tuple[str, ...]
    missing: tuple[str, ...]
    other_shape: tuple[str, ...]

    def summary(self) -> str:
        """One line with counts."""
        total = len(self.taken) + len(self.missing) + len(self.other_shape)
        return (
            f"{len(self.taken)} of {total} tensors taken over, {len(self.missing)} have no counterpart, "
            f"{len(self.other_shape)} differ in shape and keep their initial value"
        )


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint: after a crash at any moment `path` holds the previous one or this one, whole."""
    with atomic_path(path) as temporary:
        torch.save({"format": FORMAT, **content}, temporary)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU.

    Raises:
        EngineError: there is no such file, it is damaged, it holds more than tensors and plain data (and might run
            code), or it is of another program.
    """
    path = Path(path)
    if not path.is_file():
        raise EngineError(f"{path}: no such checkpoint; check --weights")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise EngineError(
            f"{path}: damaged, or holds more than tensors and plain data; it is not loaded, since it might run code: "
            "use a checkpoint written by this project's train.py"
        ) from None
    except Exception as error:
        # Bytes that are no checkpoint make torch's readers raise almost anything, depending on where they stumble.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineError(f"{path}: not a checkpoint, or damaged ({reason}); copy or train it anew") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EngineError(f"{path}: not a checkpoint of this project (no format {FORMAT!r}); train one with train.py")
    return content


def load_detector(path: str | Path, device: torch.device | None = None) -> Detector:
    """The detector of a checkpoint, in evaluation mode and float32.

    Beside `names`, it carries the attributes `category_ids: list[int]` (the data set's own ids, by class),
    `imgsz: int` (network input size in pixels) and `data: str` (path of the data-set YAML, may be empty).

    Raises:
        EngineError: see `load_checkpoint`; or the weights do not fit the configuration in the file.
    """
    content = load_checkpoint(path)
    try:
        model = build_model(content["yaml"], num_classes=len(content["names"]))
        model.load_state_dict(content["model"])
    except (RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineError(f"{path}: its weights do not fit its configuration ({reason}); train it anew") from None
    model.names = list(content["names"])
    model.category_ids = list(content["category_ids"])
    model.imgsz = int(content["imgsz"])
    model.data = str(content.get("data", ""))
    return model.to(device or torch.device("cpu")).eval().requires_grad_(False)


def transfer_weights(model: nn.Module, state: Mapping[str, torch.Tensor]) -> TransferReport:
    """Copies every tensor of `state` whose name and shape fit into `model`; the rest of the model stays as it is."""
    own = model.state_dict()
    taken = tuple(key for key, value in own.items() if key in state and state[key].shape == value.shape)
    other_shape = tuple(key for key, value in own.items() if key in state and state[key].shape != value.shape)
    model.load_state_dict({key: state[key] for key in taken}, strict=False)
    return TransferReport(taken, tuple(key for key in own if key not in state), other_shape)
