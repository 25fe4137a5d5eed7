"""Rules of a training that change its figures, as one value that `last.pt` keeps.

A rule may change from one version to the next. A training that began under the old one goes on under it, so that it
ends as it would have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.errors import EngineError
from engine.options import TrainOptions

ALLOWED = {"bias_warmup": ("unstated", "all"), "interpolation": ("linear", "area")}
"""The values that each rule may have; a new training gets the first."""


@dataclass(frozen=True)
class Rules:
    """Every rule that changes a figure.

    Attributes:
        bias_warmup: which biases start at `warmup_bias_lr` and come down from there: "all", or "unstated", those for
            which no block states a rate factor. The others warm up from 0 as kernels do. The high rate is for the
            biases of a head that has to learn how rare objects are.
        interpolation: how validation pictures shrink, "linear" or "area"; see `data.loading.dataset.SHRINKING`.
    """

    bias_warmup: str = ALLOWED["bias_warmup"][0]
    interpolation: str = ALLOWED["interpolation"][0]

    @classmethod
    def current(cls) -> Rules:
        """Those of a new training."""
        return cls()

    @classmethod
    def before_they_were_stored(cls, options: TrainOptions) -> Rules:
        """Those of a training whose checkpoint has none: it began before rules were kept, with these options."""
        return cls(bias_warmup="unstated" if began_from_kernels(options) else "all", interpolation="area")

    def as_dict(self) -> dict[str, str]:
        """Plain values, for the checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str) -> Rules:
        """The inverse of `as_dict`; `source` is named in messages.

        Raises:
            EngineError: a rule is missing or unknown, or has a value that is not allowed.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or {*values} != names:
            raise EngineError(f"{source}: its rules are not {', '.join(sorted(names))}; resume it where it was trained")
        for name, value in values.items():
            if value not in ALLOWED[name]:
                known = " or ".join(map(repr, ALLOWED[name]))
                raise EngineError(f"{source}: rule {name}: {value!r} is not {known}; resume it where it was trained")
        return cls(**values)


def began_from_kernels(options: TrainOptions) -> bool:
    """Whether a training began with the rates for pretrained kernels, before these followed from what was taken over.

    Under SGD the steps follow the gradients' size; Adam moves every element by about the learning rate.
    """
    return bool(options.weights) and options.optimizer == "SGD"
