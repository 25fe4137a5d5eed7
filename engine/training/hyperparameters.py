"""The hyperparameters of a training: a flat YAML of YOLOv5's keys, checked before anything starts.

The keys are those of the training recipe (below) and those that the augmentations of `data.augment` declare, so a new
augmentation brings its own keys and nothing is edited here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.augment import check_hyperparameters, hyperparameter_names
from data.errors import DataError
from engine.errors import EngineError
from files.places import CONFIGS

HYPS_FOLDER = CONFIGS / "hyps"

# Keys of YOLOv5's files that this recipe does not have: accepted at the value that means "off", refused otherwise.
_ABSENT = {"fl_gamma": 0.0, "copy_paste": 0.0}
_UNUSED = {"iou_t", "anchors"}


class TrainingHyperparameters(BaseModel):
    """Rates, warm-up, loss weights, and when images are no longer mixed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lr0: float = Field(0.01, gt=0, le=10)
    lrf: float = Field(0.01, gt=0, le=1)
    momentum: float = Field(0.937, ge=0, lt=1)
    weight_decay: float = Field(0.0005, ge=0, lt=1)
    nominal_batch: int = Field(64, ge=1)
    warmup_epochs: float = Field(3.0, ge=0)
    warmup_momentum: float = Field(0.8, ge=0, lt=1)
    warmup_bias_lr: float = Field(0.1, ge=0)
    box: float = Field(0.05, ge=0)
    cls: float = Field(0.5, ge=0)
    cls_pw: float = Field(1.0, gt=0)
    obj: float = Field(1.0, ge=0)
    obj_pw: float = Field(1.0, gt=0)
    anchor_t: float = Field(4.0, gt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    close_mosaic: int = Field(0, ge=0)

    def gains(self, imgsz: int) -> dict[str, float]:
        """What the loss of a head reads, for images of `imgsz` px.

        `obj` is stated for 640 px. Objectness is a mean over cells, of which a smaller image has fewer empty ones, so
        its weight follows the area.
        """
        return {**self.model_dump(), "obj": self.obj * (imgsz / 640) ** 2}


@dataclass(frozen=True)
class Hyperparameters:
    """The recipe's values and the augmentations' values, by key."""

    training: TrainingHyperparameters
    augment: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Flat, as in the YAML."""
        return {**self.training.model_dump(), **self.augment}


def load_hyperparameters(path: str | Path) -> Hyperparameters:
    """Reads a hyperparameter YAML; a bare name is looked up in `configs/hyps/`.

    Raises:
        EngineError: no such file, no YAML, an unknown key, or a value out of range.
    """
    file = Path(path)
    if not file.is_file() and file.name == str(path):
        file = HYPS_FOLDER / file.with_suffix(".yaml").name
    if not file.is_file():
        known = ", ".join(sorted(entry.name for entry in HYPS_FOLDER.glob("*.yaml")))
        raise EngineError(f"{path}: no such hyperparameter file; give a path, or one of {known}")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EngineError(f"{file}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise EngineError(f"{file}: must hold 'key: value' lines, such as lr0: 0.01")
    return parse_hyperparameters(values, source=str(file))


def parse_hyperparameters(values: Mapping[str, Any], source: str) -> Hyperparameters:
    """Checks the values of a hyperparameter file (or of a checkpoint).

    Raises:
        EngineError: see `load_hyperparameters`; `source` is named in the message.
    """
    augment_names = set(hyperparameter_names())
    training: dict[str, Any] = {}
    augment: dict[str, Any] = {}
    for key, value in values.items():
        if key in augment_names:
            augment[key] = value
        elif key in TrainingHyperparameters.model_fields:
            training[key] = value
        elif key in _ABSENT:
            if value != _ABSENT[key]:
                raise EngineError(f"{source}: {key}: {value} is not supported; set it to {_ABSENT[key]} or remove it")
        elif key not in _UNUSED:
            near = difflib.get_close_matches(str(key), {*augment_names, *TrainingHyperparameters.model_fields}, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "remove it"
            raise EngineError(f"{source}: unknown key {key!r}; {hint}")
    try:
        return Hyperparameters(TrainingHyperparameters(**training), check_hyperparameters(augment))
    except ValidationError as error:
        first = error.errors()[0]
        entry = ".".join(str(part) for part in first["loc"])
        raise EngineError(f"{source}: {entry}: {first['input']!r}: {first['msg'].lower()}") from None
    except DataError as error:
        raise EngineError(f"{source}: {error}") from None
