"""What an augmentation is, and the registry of those that exist.

An augmentation is one file in this folder: a class that declares its hyperparameters as fields, and after which other
one it runs, and is called with a sample. The folder is imported as a whole, so nothing else is edited:

    @register_augmentation
    class Grey(Augmentation):
        after = "MixUp"
        grey: float = Field(0.0, ge=0, le=1)  # the key `grey` of the hyperparameter YAML: a chance

        def __call__(self, sample, rng):
            ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from files.recipe import RecipeKeys


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
        regions_xyxy: `(r, 4)` float32: regions in which nothing is right or wrong; they move as the boxes do.
    """

    image: np.ndarray
    boxes_xyxy: np.ndarray
    labels: np.ndarray
    pool: Pool
    regions_xyxy: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))


class Augmentation(RecipeKeys, ABC):
    """Base of all augmentations: its fields are keys of the hyperparameter YAML, with default and bounds.

    Attributes:
        after: name of the augmentation that this one follows; empty: it runs last. Means nothing for those of `USUAL`.
        mixes: puts several images together; skipped in the last epochs of a training.
    """

    after: ClassVar[str] = ""
    mixes: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A new sample; every random choice is drawn from `rng`."""


USUAL = ("Mosaic", "Affine", "MixUp", "Hsv", "FlipUpDown", "FlipLeftRight")
"""The augmentations of every recipe, by class name, in the order in which they run.

Further ones take part in recipes that name a key of theirs. So a new file changes nobody's training: each stage draws
from the same stream of random numbers, and one stage more would move the draws of all that follow.
"""

_AUGMENTATIONS: list[type[Augmentation]] = []


def register_augmentation(cls: type[Augmentation]) -> type[Augmentation]:
    """Class decorator that makes an augmentation known to recipes.

    Raises:
        ValueError: another augmentation has a hyperparameter of the same name.
    """
    for other in _AUGMENTATIONS:
        if shared := set(other.model_fields) & set(cls.model_fields):
            raise ValueError(
                f"{cls.__name__} and {other.__name__} both declare {sorted(shared)}; name the key otherwise"
            )
    _AUGMENTATIONS.append(cls)
    return cls


def augmentation_classes() -> tuple[type[Augmentation], ...]:
    """All augmentations in the order in which they run."""
    known = {cls.__name__: cls for cls in _AUGMENTATIONS}
    order = [name for name in USUAL if name in known]
    for name in sorted(known.keys() - set(USUAL)):
        after = known[name].after
        order.insert(order.index(after) + 1 if after in order else len(order), name)
    return tuple(known[name] for name in order)
