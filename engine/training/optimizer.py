"""The optimiser: which parameters learn at which pace.

Parameters form groups: biases, other vectors (normalisation) and kernels, which alone are decayed; each of these by
the rate factor that the parameters' block states. How a new training's factors follow from what its weights were taken
from, see `new_groups`. A resumed one has the groups that it began with: see `stored_groups`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from engine.errors import EngineError
from engine.options import OPTIMIZERS, TrainOptions
from engine.training.hyperparameters import TrainingHyperparameters
from engine.training.rules import Rules, began_from_kernels
from models.weights.report import Outcome, TransferReport


@dataclass(frozen=True)
class Group:
    """Parameters that learn at the same pace.

    Attributes:
        names: of the parameters, as `named_parameters` gives them.
        is_bias: whether the group starts at `warmup_bias_lr`.
        decayed: whether weight decay applies.
        rate_factor: what the learning rate is multiplied by, above 0.
    """

    names: tuple[str, ...]
    is_bias: bool
    decayed: bool
    rate_factor: float


def new_groups(model: nn.Module, optimizer: str, rules: Rules, taken: TransferReport | None) -> tuple[Group, ...]:
    """The groups of a training that begins.

    A block's `rate_factors` (own parameter or child -> factor) set the pace of its parameters. It may state other ones,
    `finetune_rate_factors`, for SGD, whose steps follow the gradients' size: they apply where the block took weights
    over, its own or a plain convolution's. Each block gets what happened to it.

    Args:
        taken: what the model took over; None where it starts from initial values.
    """
    finetuned: set[str] = set()
    if taken is not None and optimizer == "SGD":
        for transfer in taken.transfers:
            if transfer.outcome is not Outcome.LEFT:
                finetuned.update(transfer.keys)
    return _grouped(model, _stated_factors(model, finetuned), rules)


def groups_before_they_were_stored(model: nn.Module, options: TrainOptions) -> tuple[Group, ...]:
    """The groups of a training whose checkpoint does not name them, in the order in which its optimiser had them.

    All blocks had the pace for pretrained kernels where a checkpoint was given, whatever they took from it.
    """
    finetuned = {name for name, _ in model.named_parameters()} if began_from_kernels(options) else set()
    return _grouped(model, _stated_factors(model, finetuned), Rules.before_they_were_stored(options))


def _stated_factors(model: nn.Module, finetuned: Set[str]) -> dict[str, float]:
    """Full parameter name -> factor, from the blocks that ask for one.

    Args:
        finetuned: the parameters for which `finetune_rate_factors` count, where the block has them.
    """
    factors: dict[str, float] = {}
    for path, module in model.named_modules():
        for own, _ in module.named_parameters():
            name = f"{path}.{own}" if path else own
            stated: Mapping[str, float] = getattr(module, "rate_factors", {})
            if name in finetuned:
                stated = getattr(module, "finetune_rate_factors", stated)
            for part, factor in stated.items():
                if own == part or own.startswith(f"{part}."):
                    factors[name] = factor
    return factors


def _grouped(model: nn.Module, factors: Mapping[str, float], rules: Rules) -> tuple[Group, ...]:
    """All parameters that learn, by kind and factor. The order is part of old checkpoints: kind, then factor."""
    members: dict[tuple[str, float], list[str]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            warms_as_bias = name.endswith("bias") and (rules.bias_warmup == "all" or name not in factors)
            kind = "bias" if warms_as_bias else "vector" if parameter.ndim <= 1 else "kernel"
            members.setdefault((kind, factors.get(name, 1.0)), []).append(name)
    return tuple(
        Group(tuple(names), is_bias=kind == "bias", decayed=kind == "kernel", rate_factor=factor)
        for (kind, factor), names in sorted(members.items(), key=lambda member: member[0])
    )


def groups_as_plain(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Plain values, for the checkpoint."""
    return [{**asdict(group), "names": list(group.names)} for group in groups]


def stored_groups(values: Any, model: nn.Module, source: str) -> tuple[Group, ...]:
    """The inverse of `groups_as_plain`; `source` is named in messages.

    Raises:
        EngineError: the values describe no groups, or not those of the model's parameters that learn.
    """
    try:
        groups = tuple(Group(**{**value, "names": tuple(value["names"])}) for value in values)
        sound = all(map(_is_sound, groups))
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise EngineError(f"{source}: its optimiser groups are damaged; start a new training with --weights {source}")
    named = sorted(name for group in groups for name in group.names)
    if named != sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad):
        raise EngineError(
            f"{source}: its optimiser groups do not name the parameters of its model; start a new training with "
            f"--weights {source}"
        )
    return groups


def _is_sound(group: Group) -> bool:
    flags = isinstance(group.is_bias, bool) and isinstance(group.decayed, bool)
    factor = group.rate_factor
    is_factor = isinstance(factor, int | float) and not isinstance(factor, bool) and math.isfinite(factor)
    return flags and is_factor and factor > 0 and all(isinstance(name, str) for name in group.names)


def build_optimizer(
    model: nn.Module, groups: Sequence[Group], name: str, hyp: TrainingHyperparameters, weight_decay: float
) -> torch.optim.Optimizer:
    """An optimiser of these groups.

    Args:
        weight_decay: of the groups that are decayed, per step.

    Raises:
        EngineError: unknown name.
    """
    if name not in OPTIMIZERS:
        raise EngineError(f"--optimizer {name}: unknown; use one of {', '.join(OPTIMIZERS)}")
    parameters = dict(model.named_parameters())
    members = [
        {
            "params": [parameters[key] for key in group.names],
            "weight_decay": weight_decay if group.decayed else 0.0,
            "is_bias": group.is_bias,
            "rate_factor": group.rate_factor,
        }
        for group in groups
    ]
    if name == "SGD":
        return torch.optim.SGD(members, lr=hyp.lr0, momentum=hyp.momentum, nesterov=hyp.momentum > 0)
    kind_of_adam = torch.optim.Adam if name == "Adam" else torch.optim.AdamW
    return kind_of_adam(members, lr=hyp.lr0, betas=(hyp.momentum, 0.999))


def clip_gradients(parameters: Iterator[nn.Parameter], max_norm: float = 10.0) -> None:
    """Keeps one bad batch from throwing the weights away."""
    nn.utils.clip_grad_norm_(parameters, max_norm)
