"""What an augmentation is, and the registry of those that exist.

An augmentation is one file in this folder: a class that declares its hyperparameters as fields and its place in the
sequence as `order`, and is called with a sample. The folder is imported as a whole, so nothing else is edited:

    @register_augmentation
    class Grey(Augmentation):
        order = 35
        grey: float = Field(0.0, ge=0, le=1)  # the key `grey` of the hyperparameter YAML: a chance

        def __call__(self, sample, rng):
            ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict


class Pool(Protocol):
    """The data set as an augmentation sees it: the network input that is wanted, and other samples.

    Attributes:
        imgsz: long side, in pixels, to which every image is resized.
        input_hw: height and width of the network input, pixels.
    """

    @property
    def imgsz(self) -> int: ...

    @property
    def input_hw(self) -> tuple[int, int]: ...

    def draw(self, rng: np.random.Generator) -> Sample:
        """Another image, resized and not augmented."""

    def draw_augmented(self, rng: np.random.Generator, before: Augmentation) -> Sample:
        """Another image after all augmentations that come before `before`."""


@dataclass(frozen=True)
class Sample:
    """An image and its boxes on their way through the augmentations.

    Attributes:
        image: `(H, W, 3)` uint8, BGR. Never written to: it may belong to a cache.
        boxes_xyxy: `(n, 4)` float32, pixels of `image`; pixel (x, y) covers the square from (x, y) to (x + 1, y + 1).
        labels: `(n,)` int64.
        pool: where other samples come from.
    """

    image: np.ndarray
    boxes_xyxy: np.ndarray
    labels: np.ndarray
    pool: Pool


class Augmentation(BaseModel):
    """Base of all augmentations: its fields are keys of the hyperparameter YAML, with default and bounds.

    Attributes:
        order: augmentations run in ascending order.
        mixes: puts several images together; skipped in the last epochs of a training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    order: ClassVar[int]
    mixes: ClassVar[bool] = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A new sample; every random choice is drawn from `rng`."""
        raise NotImplementedError


_AUGMENTATIONS: list[type[Augmentation]] = []


def register_augmentation(cls: type[Augmentation]) -> type[Augmentation]:
    """Class decorator that makes an augmentation part of the training."""
    for other in _AUGMENTATIONS:
        if shared := set(other.model_fields) & set(cls.model_fields):
            raise ValueError(
                f"{cls.__name__} and {other.__name__} both declare {sorted(shared)}; name the key otherwise"
            )
    _AUGMENTATIONS.append(cls)
    return cls


def augmentation_classes() -> tuple[type[Augmentation], ...]:
    """All augmentations in the order in which they run."""
    return tuple(sorted(_AUGMENTATIONS, key=lambda cls: (cls.order, cls.__name__)))
