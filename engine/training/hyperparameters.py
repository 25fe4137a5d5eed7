"""The hyperparameters of a training: a flat YAML of YOLOv5's keys, checked before anything starts.

The keys are those of the training recipe (below), those that the augmentations of `data.augment` declare and those that
the losses of the heads in `models.heads` declare, so a new augmentation or head brings its own keys and nothing is
edited here. A recipe may serve several heads: a training uses the keys of its own, where they are meant for it; see
`Hyperparameters.for_head`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from data.augment import check_hyperparameters, hyperparameter_names
from data.errors import DataError
from engine.errors import EngineError
from files.hints import did_you_mean
from files.lookup import Shelf
from files.places import CONFIGS
from files.problems import first_problem
from files.recipe import RecipeKeys
from files.strict_yaml import Document, read_yaml
from models.heads import registered_heads
from models.heads.base import DetectionHead

SHELF = Shelf(CONFIGS / "hyps", "hyperparameter file", EngineError)
_FORM = "it must hold 'key: value' lines, such as lr0: 0.01"

# Keys of YOLOv5's files that this recipe does not have: accepted at the value that means "off", refused otherwise.
_ABSENT = {"fl_gamma": 0.0, "copy_paste": 0.0}
_UNUSED = {"iou_t", "anchors"}


class TrainingHyperparameters(RecipeKeys):
    """Rates, warm-up, and when images are no longer mixed."""

    lr0: float = Field(0.01, gt=0, le=10)
    lrf: float = Field(0.01, gt=0, le=1)
    momentum: float = Field(0.937, ge=0, lt=1)
    weight_decay: float = Field(0.0005, ge=0, lt=1)
    nominal_batch: int = Field(64, ge=1)
    warmup_epochs: float = Field(3.0, ge=0)
    warmup_momentum: float = Field(0.8, ge=0, lt=1)
    warmup_bias_lr: float = Field(0.1, ge=0)
    close_mosaic: int = Field(0, ge=0)


@dataclass(frozen=True)
class Hyperparameters:
    """The values of the recipe, of the augmentations and of the head's loss, by key.

    Attributes:
        loss: as given, for any head, until `for_head`; complete then.
        document: where they were read, for messages.
    """

    training: TrainingHyperparameters
    augment: Mapping[str, float]
    loss: Mapping[str, float]
    document: Document = field(repr=False, compare=False)

    def for_head(self, head: DetectionHead | type[DetectionHead]) -> Hyperparameters:
        """The same for one head: all keys of its loss, with defaults; those of other heads are dropped.

        A value belongs to the loss that it was chosen for: YOLOv5's `box: 0.05` would all but switch the box loss of an
        anchor-free head off. So where the recipe names keys that this head lacks, what it shares with the heads that
        have these is theirs, too. Only keys that are this head's alone still count.

        Raises:
            EngineError: a value that this head refuses.
        """
        declared = head.hyperparameters
        foreign = self.foreign_to(head)
        others = [other.hyperparameters.model_fields.keys() for other in registered_heads()]
        theirs = {key for fields in others if fields & foreign for key in fields}
        own = {key: value for key, value in self.loss.items() if key in declared.model_fields and key not in theirs}
        return replace(self, loss=_checked(declared, own, self.document).model_dump())

    def foreign_to(self, head: DetectionHead | type[DetectionHead]) -> set[str]:
        """The named keys of other heads' losses."""
        return self.loss.keys() - head.hyperparameters.model_fields.keys()

    def gains(self, imgsz: int) -> dict[str, float]:
        """What `DetectionHead.criterion` takes, for a network input of side `imgsz` px."""
        return {**self.loss, "imgsz": imgsz}

    def as_dict(self) -> dict[str, Any]:
        """Flat, as in the YAML."""
        training = self.training.model_dump()
        mixing = {"close_mosaic": training.pop("close_mosaic")}  # beside the augmentations that it ends
        return {**training, **self.loss, **mixing, **self.augment}


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
    return _parse(Document.from_mapping(values, source, EngineError))


def _parse(document: Document) -> Hyperparameters:
    augment_names = set(hyperparameter_names())
    heads = [head.hyperparameters for head in registered_heads()]
    loss_names = {name for declared in heads for name in declared.model_fields}
    training: dict[str, Any] = {}
    augment: dict[str, Any] = {}
    loss: dict[str, Any] = {}
    for key, value in document.content.items():
        if key in augment_names:
            augment[key] = value
        elif key in TrainingHyperparameters.model_fields:
            training[key] = value
        elif key in loss_names:
            loss[key] = value
        elif key in _ABSENT:
            if value != _ABSENT[key]:
                off = _ABSENT[key]
                raise EngineError(
                    f"{document.where(key)}: {key}: {value} is not supported; set it to {off} or remove it"
                )
        elif key not in _UNUSED:
            known = [*TrainingHyperparameters.model_fields, *hyperparameter_names(), *sorted(loss_names)]
            hint = did_you_mean(str(key), known, "remove it")
            raise EngineError(f"{document.where(str(key))}: unknown key {key!r}; {hint}")
    recipe = _checked(TrainingHyperparameters, training, document)
    for key, value in loss.items():
        _check_loss_value(key, value, [declared for declared in heads if key in declared.model_fields], document)
    try:
        return Hyperparameters(recipe, check_hyperparameters(augment), loss, document)
    except DataError as error:
        raise EngineError(f"{document.where(*error.entry)}: {error}") from None


Model = TypeVar("Model", bound=BaseModel)


def _checked(model: type[Model], values: Mapping[str, Any], document: Document) -> Model:
    try:
        return model(**values)
    except ValidationError as error:
        problem = first_problem(error)
        raise EngineError(f"{document.where(*problem.location)}: {problem.sentence()}") from None


def _check_loss_value(key: str, value: Any, heads: Sequence[type[BaseModel]], document: Document) -> None:
    """Raises EngineError where no head takes the value; whether the training's own does shows with the model."""
    *others, last = heads
    for declared in others:
        with suppress(EngineError):
            _checked(declared, {key: value}, document)
            return
    _checked(last, {key: value}, document)
