"""A training that writes down what reaches its criterion, its optimiser and its network, by PyTorch's own hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from models.detector import Detector
from models.heads.detect import Detect
from models.losses.anchor import AnchorLoss


@dataclass
class Loss:
    """A call of the criterion.

    Attributes:
        training: whether its result can be differentiated.
        logits, targets: what it got; targets are rows of image, class, cx, cy, w, h in 0..1.
        parts: box, objectness and class loss, as it said.
        waiting: whether gradients of earlier batches wait for a step.
    """

    module: AnchorLoss
    training: bool
    logits: list[Tensor]
    targets: Tensor
    parts: list[float]
    waiting: bool


@dataclass
class Step:
    """A step of the optimiser.

    Attributes:
        losses: calls of the criterion in training before it, counted from the beginning.
        norm: Euclidean norm of all gradients as the optimiser saw them.
        groups: per group its settings, with the names of its parameters as `names`.
        weights: the network's parameters and buffers afterwards.
    """

    losses: int
    norm: float
    groups: list[dict[str, Any]]
    weights: dict[str, Tensor] = field(default_factory=dict)

    def of(self, name: str) -> dict[str, Any]:
        """The settings of the group that holds a parameter."""
        (found,) = [group for group in self.groups if name in group["names"]]
        return found


@dataclass
class Recording:
    """All of them in their order.

    Attributes:
        evaluated: the tensors of every head that was called in evaluation mode once the training had begun, and the
            number of steps before.
        model: what is trained.
    """

    losses: list[Loss] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    evaluated: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)
    model: nn.Module | None = None

    @property
    def training(self) -> list[Loss]:
        """The criterion's calls that were differentiated."""
        return [loss for loss in self.losses if loss.training]

    def on_forward(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """A hook of every module."""
        if isinstance(module, Detector) and module.training:
            self.model = module
        elif isinstance(module, Detect) and not module.training and self.steps:
            self.evaluated.append((len(self.steps), _weights(module)))
        elif isinstance(module, AnchorLoss):
            logits = [level.detach().clone() for level in inputs[0]]
            waiting = self.model is not None and any(p.grad is not None for p in self.model.parameters())
            self.losses.append(
                Loss(module, torch.is_grad_enabled(), logits, rows_of(inputs[1]), parts_of(output), waiting)
            )

    def before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """A hook of every optimiser."""
        assert self.model is not None
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        groups = [
            {
                **{key: value for key, value in group.items() if key != "params"},
                "names": {names[id(p)] for p in group["params"]},
            }
            for group in optimizer.param_groups
        ]
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
        self.steps.append(Step(len(self.training), norm, groups))

    def after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """A hook of every optimiser."""
        assert self.model is not None
        self.steps[-1].weights = _weights(self.model)


@contextmanager
def recording() -> Iterator[Recording]:
    """Records everything that happens inside."""
    record = Recording()
    hooks = [
        register_module_forward_hook(record.on_forward),
        register_optimizer_step_pre_hook(record.before_step),
        register_optimizer_step_post_hook(record.after_step),
    ]
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


def rows_of(targets: Any) -> Tensor:
    """`(N, 6)` image, class, cx, cy, w, h in 0..1."""
    return targets.boxes.clone()


def parts_of(output: Any) -> list[float]:
    """Box, objectness and class loss, gains applied."""
    return [output[name].item() for name in ("box", "obj", "cls")]


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
