"""Weights to start from: one shape for this project's checkpoints, YOLOv5's, ultralytics', and bare state dicts."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from files.classes import Classes
from files.errors import InputError
from files.paths import exists, expanded, find, is_file, shown, why_missing
from files.problems import short
from models.errors import WeightsError
from models.weights.checks import check_kinds, check_numbers
from models.weights.foreign import foreign_model, plain_key, weights_in
from models.weights.unpickling import StandIn, read_foreign

FORMAT = "saconv-yolo/1"

# Computed from the anchors; releases up to v5.0 saved it.
_DERIVED_BUFFERS = {"anchor_grid"}
_LARGEST_SIDE = 65_536  # px


@dataclass(frozen=True)
class SourceWeights:
    """What a checkpoint has to give.

    Attributes:
        state: state dict on the CPU, floating-point numbers as float32; keys `model.{row}.…`.
        origin: what kind of file it is, for people.
        yaml: model configuration, as `build_model` takes it; None where the file does not say.
        classes: names and the data set's own ids (the index of each where the file has none); None where the file does
            not say.
        imgsz: network input size of the training, pixels.
        data: path of the data-set YAML of the training; may be empty.
        activations: by path in the model, text of each activation that `yaml` says nothing of.
        folded: whether the BatchNorms were folded away before it was saved: it detects, but is no start for a training.
    """

    state: Mapping[str, Tensor] = field(repr=False)
    origin: str
    yaml: dict[str, Any] | None = None
    classes: Classes | None = None
    imgsz: int | None = None
    data: str = ""
    activations: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False


def load_source(path: str | Path) -> SourceWeights:
    """Reads any checkpoint that weights can be taken from, without running code of the file.

    Raises:
        WeightsError: there is no such file, it is damaged, it might run code, or holds no weights.
    """
    path = find(str(path)) or expanded(path)
    try:
        content = read_plain(path)
    except pickle.UnpicklingError:
        content = read_foreign(path)
    try:
        return _own(content) if _is_own(content) else _foreign(content)
    except InputError as error:
        raise WeightsError(f"{path}: {error}") from None
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: holds no weights of a detector ({error}); give a trained checkpoint") from None


def read_plain(path: Path) -> Any:
    """The content of a file of tensors and plain data, on the CPU.

    Raises:
        WeightsError: there is no such file, or it is damaged.
        pickle.UnpicklingError: it holds more than that, or is damaged in a way that looks like it.
    """
    if not exists(path):
        raise WeightsError(f"{shown(path)}: {why_missing(path, 'checkpoint')}; check --weights")
    if not is_file(path):
        raise WeightsError(f"{path}: no such checkpoint, but a folder, pipe or device; check --weights")
    _check_inflation(path)
    try:
        with warnings.catch_warnings():
            # About files that only look like checkpoints, which are refused.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise
    except Exception as error:
        # Bytes that are no checkpoint make torch's readers raise almost anything, depending on where they stumble.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path}: not a checkpoint, or damaged ({reason}); copy or train it again") from None


def _check_inflation(path: Path) -> None:
    """Raises WeightsError for an archive whose records are larger than the file: torch stores them as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(record.file_size for record in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        return  # of the old format, or damaged: torch's reader says so
    if size > path.stat().st_size:
        raise WeightsError(f"{path}: its records inflate to {size:,} bytes; save it with torch.save, uncompressed")


def _is_own(content: Any) -> bool:
    return isinstance(content, Mapping) and content.get("format") == FORMAT


def _own(content: Mapping[str, Any]) -> SourceWeights:
    data = content.get("data", "")
    return SourceWeights(
        state=_checked_state(content["model"]),
        origin="saconv-yolo checkpoint",
        yaml=dict(content["yaml"]),
        classes=Classes.of(_texts(content["names"]), map(int, content["category_ids"])),
        imgsz=_side(content["imgsz"]),
        data=data if isinstance(data, str) else "",
    )


def _foreign(content: Any) -> SourceWeights:
    """YOLOv5's or ultralytics' `{'model': module, 'ema': module, ...}`, one of them None, or a state dict."""
    found = weights_in(content)
    if not isinstance(found, StandIn):
        return SourceWeights(_checked_state(found), "state dict")
    model = foreign_model(found, content)
    return SourceWeights(
        state=_checked_state(model.state),
        origin=model.origin,
        yaml=model.yaml,
        classes=_classes(model.names),
        imgsz=None if model.imgsz is None else _side(model.imgsz),
        activations=model.activations,
        folded=model.folded,
    )


def _checked_state(state: Any) -> dict[str, Tensor]:
    tensors = {
        plain_key(key): value
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, Tensor) and key.rpartition(".")[2] not in _DERIVED_BUFFERS
    }
    if not any(key.startswith("model.") for key in tensors):
        raise ValueError("no tensor is named model.…")
    check_kinds(tensors)
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    check_numbers(tensors)
    return tensors


def _classes(value: Any) -> Classes | None:
    """Classes from a list of names, or from the later map of index to name."""
    if isinstance(value, Mapping):
        value = _in_order(value)
    return Classes.of(_texts(value)) if isinstance(value, list | tuple) else None


def _in_order(names: Mapping[Any, Any]) -> list[Any]:
    """The names by their numbers, which may be texts: "10" comes after "9".

    Raises:
        ValueError: the numbers are not those from 0 on, so it is not known which name is whose.
    """
    by_number = {str(number): name for number, name in names.items()}
    missing = [number for number in range(len(names)) if str(number) not in by_number]
    if missing:
        raise ValueError(f"{len(names)} classes have names, but none has the number {missing[0]}")
    return [by_number[str(number)] for number in range(len(names))]


def _side(value: Any) -> int:
    """A side of the network input, px."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST_SIDE:
        raise ValueError(f"an input size of {short(value)} px")
    return value


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Names of classes; numbers are names too."""
    for value in values:
        if not isinstance(value, str | int | float):
            raise ValueError(f"a class is named {type(value).__name__}")
        yield str(value)
