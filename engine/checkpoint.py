"""Checkpoints: tensors and plain data only, written whole, read without running anybody's code.

A checkpoint is a dictionary that `torch.load(weights_only=True)` reads:

    format        'saconv-yolo/1'
    model         state dict of the detector (its EMA where training kept one): what `val.py` and `detect.py` run
    yaml          the model configuration, as `build_model` takes it
    names         class names; category_ids: the data set's own id of each class
    imgsz         network input size of the training, pixels
    data          path of the data-set YAML
    epoch         epochs that were complete
    training      in `last.pt` only, where it stays when the training is over: trained weights, optimiser, progress and
                  all else that `--resume` needs (see `engine.training_state`); `best.pt` is slim
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.conversion import Outcome
from engine.errors import EngineError
from engine.runs import atomic_path, sync_folder
from engine.source import FORMAT, SourceWeights, load_source, read_plain
from engine.transfer import transfer_weights
from models import build_model
from models.blocks.activation import build_activation
from models.detector import Detector
from models.errors import ConfigError


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint: after a kill or a crash at any moment `path` holds the previous one or this one, whole."""
    with atomic_path(path) as temporary:
        torch.save({"format": FORMAT, **content}, temporary)
    sync_folder(path.parent)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU.

    Raises:
        EngineError: there is no such file, it is damaged, it holds more than tensors and plain data (and might run
            code), or it is of another program.
    """
    try:
        content = read_plain(Path(path))
    except pickle.UnpicklingError:
        raise EngineError(
            f"{path}: damaged, or holds more than tensors and plain data; it is not loaded, since it might run code: "
            "use a checkpoint written by this project's train.py"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EngineError(f"{path}: not a checkpoint of this project (no format {FORMAT!r}); train one with train.py")
    return content


def load_detector(path: str | Path, device: torch.device | None = None, cfg: str = "") -> Detector:
    """The detector of a checkpoint (this project's or YOLOv5's), in evaluation mode and float32.

    Beside `names`, it carries the attributes `category_ids: list[int]` (the data set's own ids, by class; the class
    index where the file does not say), `imgsz: int` (network input size in pixels) and `data: str` (path of the
    data-set YAML, may be empty).

    Args:
        cfg: another architecture to run the weights in; it must find a place for itself in them entirely.

    Raises:
        EngineError: see `load_source`; or the weights do not fit the configuration.
        ConfigError: `cfg` is wrong.
    """
    source = load_source(path)
    model = _build_as(cfg, source, path) if cfg else _build_as_stored(source, path)
    model.category_ids = source.category_ids or model.category_ids
    model.imgsz = source.imgsz or model.imgsz
    model.data = source.data
    return model.to(device or torch.device("cpu")).eval().requires_grad_(False)


def _build_as_stored(source: SourceWeights, path: str | Path) -> Detector:
    if source.yaml is None:
        raise EngineError(f"{path}: does not say which architecture it is for; name it with --cfg")
    try:
        names = source.names
        model = build_model(source.yaml, num_classes=None if names is None else len(names))
        model.load_state_dict(source.state)
        for path_in_model, text in source.activations.items():
            block, _, name = path_in_model.rpartition(".")
            setattr(model.get_submodule(block), name, build_activation(text))
    except ConfigError as error:
        raise EngineError(f"{path}: its configuration cannot be built here ({error}); give one with --cfg") from None
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineError(f"{path}: its weights do not fit its configuration ({reason}); train it anew") from None
    model.names = names or model.names
    return model


def _build_as(cfg: str, source: SourceWeights, path: str | Path) -> Detector:
    names = source.names
    model = build_model(cfg, num_classes=None if names is None else len(names))
    model.names = names or model.names
    report = transfer_weights(model, source)
    left = report.keys(Outcome.LEFT)
    if left:
        raise EngineError(
            f"{path}: has no weights for {len(left)} of the {len(model.state_dict())} tensors of {cfg} (such as "
            f"{left[0]}), which would detect noise; start a training from them with train.py --cfg --weights"
        )
    print(f"{path} run as {cfg}\n{report.table()}")
    return model
