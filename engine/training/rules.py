"""Rules of a training that change its figures, as one value that `last.pt` keeps.

A rule may change from one version to the next. A training that began under the old one continues under it, so that it
ends as it would have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.errors import EngineError
from engine.options import TrainOptions

ALLOWED = {
    "bias_warmup": ("unstated", "all"),
    "categories": ("leaves", "all"),
    "interpolation": ("linear", "area"),
    "level_balance": ("stride", "position"),
    "truth": ("scan", "file"),
}
"""The values that each rule may have; a new training gets the first."""


@dataclass(frozen=True)
class Rules:
    """Every rule that changes a figure.

    Attributes:
        bias_warmup: which biases start at `warmup_bias_lr` and come down from there: "all", or "unstated", those for
            which no block states a rate factor. The others warm up from 0 as kernels do. The high rate is for the
            biases of a head that has to learn how rare objects are.
        categories: which categories are classes where none is asked for by name: "leaves", not those without boxes that
            only stand above others, or "all".
        interpolation: how validation pictures shrink, "linear" or "area"; see `data.loading.dataset.SHRINKING`.
        level_balance: whether a loss weighs the head's levels by their "stride", or by their "position", as if the
            finest always stood first.
        truth: what is measured against, "scan", the boxes as the scan cleans and reports them, or "file", the
            annotation file as it is. Under "file", too, `ignore` is not read, a box may be learnt from twice, and an
            undefined AP counts as 0.
    """

    bias_warmup: str = ALLOWED["bias_warmup"][0]
    categories: str = ALLOWED["categories"][0]
    interpolation: str = ALLOWED["interpolation"][0]
    level_balance: str = ALLOWED["level_balance"][0]
    truth: str = ALLOWED["truth"][0]

    @classmethod
    def current(cls) -> Rules:
        """Those of a new training."""
        return cls()

    @classmethod
    def before_they_were_stored(cls, options: TrainOptions) -> Rules:
        """Those of a training with these options that began before any rule was kept."""
        bias_warmup = "unstated" if began_from_kernels(options) else "all"
        return cls(
            bias_warmup=bias_warmup, categories="all", interpolation="area", level_balance="position", truth="file"
        )

    def gains(self) -> dict[str, float]:
        """What a head's criterion must know of them, beside its hyperparameters."""
        return {"balance_by_position": 1.0} if self.level_balance == "position" else {}

    def as_dict(self) -> dict[str, str]:
        """Plain values, for the checkpoint."""
        return asdict(self)

    @classmethod
    def stored(cls, values: Any, options: TrainOptions, source: str) -> Rules:
        """The rules of a checkpoint from their plain values; `source` is named in messages.

        One that is missing is younger than the checkpoint, which goes by what was done before.

        Raises:
            EngineError: a rule is unknown, or has a value that is not allowed.
        """
        if not isinstance(values, Mapping):
            raise EngineError(f"{source}: its rules are damaged; start a new training with --weights {source}")
        for name, value in values.items():
            if name not in ALLOWED:
                raise EngineError(f"{source}: rule {name!r} is not known; resume it with the version that began it")
            if value not in ALLOWED[name]:
                known = " or ".join(map(repr, ALLOWED[name]))
                raise EngineError(
                    f"{source}: rule {name}: {value!r} is not {known}; resume it with the version that began it"
                )
        return replace(cls.before_they_were_stored(options), **values)


def began_from_kernels(options: TrainOptions) -> bool:
    """Whether a training began with the rates for pretrained kernels, before these followed from what was taken over.

    Under SGD the steps follow the gradients' size; Adam moves every element by about the learning rate.
    """
    return bool(options.weights) and options.optimizer == "SGD"
