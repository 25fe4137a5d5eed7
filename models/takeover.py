"""How a convolution block takes weights over, in the words that a block needs to say it about itself.

Blocks meet at the plain convolution: one says how it takes a plain convolution over (`from_plain`), the other which
plain convolution it stands for (`to_plain`). So two blocks that don't know each other can follow one another.

A block that is `act(BN(convolution))` with a kernel of its own registers, for example:

    @register(
        rule=conv_rule,
        takes_over=Takeover(
            marks=("scaled_kernel", "bn.weight"),
            parts=("scaled_kernel", "scale", "bn"),
            kernel_shape=lambda own: own["scaled_kernel"].shape,
            from_plain=Exact(split_scale),
            to_plain=Exact(multiply_scale),
        ),
    )
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

Tensors = Mapping[str, Tensor]
"""Tensors of a block by their state-dict names inside it."""


@dataclass(frozen=True)
class PlainConv:
    """A convolution without bias and the BatchNorm behind it, as `Conv` has them.

    Attributes:
        kernel: `(C2, C1/g, kh, kw)`.
        batch_norm: `weight`, `bias`, `running_mean`, `running_var`, each `(C2,)`, and `num_batches_tracked` where the
            file has it.
    """

    kernel: Tensor
    batch_norm: Tensors

    @classmethod
    def of(cls, kernel: Tensor, own: Tensors, prefix: str = "bn.") -> PlainConv:
        """The convolution of a kernel `(C2, C1/g, kh, kw)` and the BatchNorm under `prefix` among a block's tensors.

        What the block lacks of the BatchNorm, `batch_norm` lacks too.
        """
        return cls(kernel, {name.removeprefix(prefix): own[name] for name in own if name.startswith(prefix)})

    def batch_norm_as(self, prefix: str = "bn.") -> dict[str, Tensor]:
        """The BatchNorm's tensors, each `(C2,)` except the counter, under the names that they have in a block."""
        return {f"{prefix}{name}": tensor for name, tensor in self.batch_norm.items()}


FromPlain = Callable[[PlainConv, Tensors], Tensors]
"""A plain convolution, and the block's own tensors as they are (for their shapes), to the block's new tensors."""

ToPlain = Callable[[Tensors], PlainConv]
"""A block's tensors to the plain convolution that it stands for."""


Conversion = TypeVar("Conversion", FromPlain, ToPlain)


@dataclass(frozen=True)
class Exact(Generic[Conversion]):
    """A conversion after which the network computes the same function."""

    convert: Conversion


@dataclass(frozen=True)
class Approximate(Exact[Conversion]):
    """The best conversion there is; `how` says for people what is kept, or lost."""

    how: str


@dataclass(frozen=True)
class Takeover:
    """How weights come into a block and out of it.

    Attributes:
        marks: tensors by whose names the block is known in a state dict, where it has all of them; no two blocks may
            have the same.
        parts: first parts of the names of all tensors that are the block's own; they are taken as a whole or not at
            all.
        kernel_shape: shape of the plain convolution's kernel that the block is, or stands for, from its tensors.
        from_plain: how it takes a plain convolution over; None: it cannot.
        to_plain: which plain convolution it stands for; None: none.
        additions: parts that a checkpoint of the same block may lack, since the block is the same function with them
            at their initial values; each with the words for the report.
    """

    marks: tuple[str, ...]
    parts: tuple[str, ...]
    kernel_shape: Callable[[Tensors], tuple[int, ...]]
    from_plain: Exact[FromPlain] | None = None
    to_plain: Exact[ToPlain] | None = None
    additions: Mapping[str, str] = field(default_factory=dict)
