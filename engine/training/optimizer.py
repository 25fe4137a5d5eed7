"""The optimiser: which parameters learn at which pace."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from engine.errors import EngineError
from engine.options import OPTIMIZERS
from engine.training.hyperparameters import TrainingHyperparameters


def build_optimizer(
    model: nn.Module, name: str, hyp: TrainingHyperparameters, weight_decay: float, *, pretrained: bool = False
) -> torch.optim.Optimizer:
    """An optimiser whose groups separate biases, other vectors (normalisation) and kernels, which alone are decayed.

    A block's `rate_factors` (own parameter or child -> factor) set the pace of its parameters. Under SGD, whose steps
    follow the gradients' size, a block may state other ones for a training that starts from pretrained kernels:
    `finetune_rate_factors`. Biases among those warm up from 0 like kernels; `warmup_bias_lr` is for the biases of a
    head that has to learn how rare objects are.

    Raises:
        EngineError: unknown name.
    """
    if name not in OPTIMIZERS:
        raise EngineError(f"--optimizer {name}: unknown; use one of {', '.join(OPTIMIZERS)}")
    finetune = pretrained and name == "SGD"
    factors = _rate_factors(model, "finetune_rate_factors" if finetune else "rate_factors")
    members: dict[tuple[str, float], list[Tensor]] = {}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_bias = key.endswith("bias") and not (finetune and key in factors)
            kind = "bias" if is_bias else "vector" if parameter.ndim <= 1 else "kernel"
            members.setdefault((kind, factors.get(key, 1.0)), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "weight_decay": weight_decay if kind == "kernel" else 0.0,
            "is_bias": kind == "bias",
            "rate_factor": factor,
        }
        for (kind, factor), parameters in sorted(members.items(), key=lambda member: member[0])
    ]
    if name == "SGD":
        return torch.optim.SGD(groups, lr=hyp.lr0, momentum=hyp.momentum, nesterov=hyp.momentum > 0)
    kind_of_adam = torch.optim.Adam if name == "Adam" else torch.optim.AdamW
    return kind_of_adam(groups, lr=hyp.lr0, betas=(hyp.momentum, 0.999))


def _rate_factors(model: nn.Module, attribute: str) -> dict[str, float]:
    """Full parameter name -> factor, from the blocks that ask for one; those without `attribute` have one for all."""
    factors = {}
    for path, module in model.named_modules():
        stated = getattr(module, attribute, getattr(module, "rate_factors", {}))
        for own, factor in stated.items():
            prefix = f"{path}.{own}" if path else own
            names = (f"{path}.{name}" if path else name for name, _ in module.named_parameters())
            factors.update({name: factor for name in names if name == prefix or name.startswith(f"{prefix}.")})
    return factors


def clip_gradients(parameters: Iterator[nn.Parameter], max_norm: float = 10.0) -> None:
    """Keeps one bad batch from throwing the weights away."""
    nn.utils.clip_grad_norm_(parameters, max_norm)
