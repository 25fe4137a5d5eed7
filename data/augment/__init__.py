"""Augmentations of training images. Every module in this folder is imported: a new augmentation is one new file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from data.augment.base import USUAL, Augmentation, Pool, Sample, augmentation_classes, register_augmentation
from data.errors import DataError
from files.hints import did_you_mean
from files.problems import first_problem

__all__ = [
    "Augmentation",
    "Pipeline",
    "Pool",
    "Sample",
    "check_hyperparameters",
    "hyperparameter_fields",
    "hyperparameter_names",
    "register_augmentation",
]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def hyperparameter_fields() -> dict[str, FieldInfo]:
    """Every key that an augmentation declares, with default and bounds."""
    return {key: info for cls in augmentation_classes() for key, info in cls.model_fields.items()}


def hyperparameter_names() -> tuple[str, ...]:
    """Every key that an augmentation declares."""
    return tuple(hyperparameter_fields())


def check_hyperparameters(values: Mapping[str, Any]) -> dict[str, float]:
    """The values of all keys of the stages that take part: those given, checked, and the defaults of the others.

    Raises:
        DataError: an unknown key, or a value of the wrong type or out of bounds.
    """
    return {key: value for stage in Pipeline.build(values).stages for key, value in stage.model_dump().items()}


@dataclass(frozen=True)
class Pipeline:
    """Augmentations in the order in which they run."""

    stages: tuple[Augmentation, ...]

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Pipeline:
        """The usual augmentations, and those that the values name a key of; keys that are missing get their defaults.

        Raises:
            DataError: see `check_hyperparameters`.
        """
        known = hyperparameter_names()
        for key in values:
            if key not in known:
                hint = did_you_mean(str(key), known, f"known are {', '.join(known)}")
                raise DataError(f"unknown augmentation hyperparameter '{key}'; {hint}", entry=(str(key),))
        taking_part = (
            kind for kind in augmentation_classes() if kind.__name__ in USUAL or {*kind.model_fields} & {*values}
        )
        return cls(tuple(_construct(kind, values) for kind in taking_part))

    def without_mixing(self) -> Pipeline:
        """The stages that work on one image."""
        return Pipeline(tuple(stage for stage in self.stages if not stage.mixes))

    def __call__(self, sample: Sample, rng: np.random.Generator, before: Augmentation | None = None) -> Sample:
        """Run the stages one after the other, up to and without `before`."""
        for stage in self.stages:
            if stage is before:
                break
            sample = stage(sample, rng)
        return sample


def _construct(kind: type[Augmentation], values: Mapping[str, Any]) -> Augmentation:
    try:
        return kind(**{key: values[key] for key in kind.model_fields if key in values})
    except ValidationError as error:
        problem = first_problem(error)
        raise DataError(problem.sentence(), entry=problem.location) from None
