"""The hyperparameters of a training: a flat YAML of YOLOv5's keys, checked before anything starts.

The keys are those of the training recipe (below) and those that the augmentations of `data.augment` declare, so a new
augmentation brings its own keys and nothing is edited here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.augment import check_hyperparameters, hyperparameter_names
from data.errors import DataError
from engine.errors import EngineError
from files.hints import did_you_mean
from files.lookup import Shelf
from files.places import CONFIGS
from files.problems import first_problem
from files.strict_yaml import Document, read_yaml

SHELF = Shelf(CONFIGS / "hyps", "hyperparameter file", EngineError)
_FORM = "it must hold 'key: value' lines, such as lr0: 0.01"

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
    return _parse(read_yaml(SHELF.find(path), EngineError, _FORM))


def parse_hyperparameters(values: Mapping[str, Any], source: str) -> Hyperparameters:
    """Checks the values of a checkpoint, or of another mapping.

    Raises:
        EngineError: see `load_hyperparameters`; `source` is named in the message.
    """
    return _parse(Document.from_mapping(values, source))


def _parse(document: Document) -> Hyperparameters:
    augment_names = set(hyperparameter_names())
    training: dict[str, Any] = {}
    augment: dict[str, Any] = {}
    for key, value in document.content.items():
        if key in augment_names:
            augment[key] = value
        elif key in TrainingHyperparameters.model_fields:
            training[key] = value
        elif key in _ABSENT:
            if value != _ABSENT[key]:
                off = _ABSENT[key]
                raise EngineError(
                    f"{document.where(key)}: {key}: {value} is not supported; set it to {off} or remove it"
                )
        elif key not in _UNUSED:
            hint = did_you_mean(str(key), [*TrainingHyperparameters.model_fields, *hyperparameter_names()], "remove it")
            raise EngineError(f"{document.where(str(key))}: unknown key {key!r}; {hint}")
    try:
        return Hyperparameters(TrainingHyperparameters(**training), check_hyperparameters(augment))
    except ValidationError as error:
        problem = first_problem(error)
        raise EngineError(f"{document.where(*problem.location)}: {problem.sentence()}") from None
    except DataError as error:
        raise EngineError(f"{document.where(*error.entry)}: {error}") from None
