"""What learns: the network and its loss, the optimiser with its schedule, and the moving average of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from data.loading.loader import Batch
from engine.device import Compute
from engine.options import TrainOptions
from engine.targets import targets_of
from engine.training.damage import DamageError, check_fit, check_optimizer
from engine.training.ema import build_ema
from engine.training.hyperparameters import Hyperparameters
from engine.training.optimizer import Group, build_optimizer, clip_gradients, groups_as_plain
from engine.training.random_state import random_states, set_random_states
from engine.training.rules import Rules
from engine.training.schedule import Schedule
from models.detector import Detector

if TYPE_CHECKING:
    from engine.training.state import SavedTraining


@dataclass(frozen=True, eq=False)
class Learner:
    """What changes from step to step of a training, and how it changes.

    Attributes:
        model: on its device, in its layout, with frozen rows frozen.
        criterion: the loss of the model's head.
        groups: of the optimiser.
        ema: the moving average of the model, which is what is validated and kept.
        scaler: of the loss, where gradients are float16.
    """

    model: Detector
    criterion: nn.Module
    groups: tuple[Group, ...]
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    ema: AveragedModel
    scaler: torch.amp.GradScaler
    compute: Compute

    @classmethod
    def of(
        cls,
        model: Detector,
        groups: tuple[Group, ...],
        options: TrainOptions,
        hyp: Hyperparameters,
        rules: Rules,
        batches: int,
        compute: Compute,
    ) -> Learner:
        """A learner at the beginning of a training.

        Args:
            options: complete.
            batches: per epoch.
        """
        schedule = Schedule(hyp.training, options.epochs, batches, options.batch_size, options.cos_lr)
        return cls(
            model=model,
            criterion=model.head.criterion({**hyp.gains(options.imgsz), **rules.gains()}).to(compute.device),
            groups=groups,
            optimizer=build_optimizer(model, groups, options.optimizer, hyp.training, schedule.weight_decay),
            schedule=schedule,
            ema=build_ema(model, schedule.updates),
            scaler=torch.amp.GradScaler(compute.device.type, enabled=compute.precision == torch.float16),
            compute=compute,
        )

    @property
    def rate(self) -> float:
        """The learning rate now, of the last group."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def losses(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch.

        Args:
            batch: B images `(B, 3, H, W)`, uint8.
            progress: how much of the training is over, 0 to 1.

        Returns:
            What is minimised, a scalar with gradients: the sum of the parts, times B. And the parts by name, scalars
            without gradients, means over the images.

        Raises:
            ValueError: a size of the images that the network's strides do not divide.
        """
        images = self.compute.inputs(batch.images)
        with self.compute.autocast():
            logits = self.model(images)
        losses = self.criterion(logits, targets_of(batch, self.compute.device), progress)
        total = torch.stack([*losses.values()]).sum() * len(batch)
        return total, {name: loss.detach() for name, loss in losses.items()}

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss to those that wait for a step."""
        self.scaler.scale(loss).backward()

    def step(self) -> None:
        """One step of the optimiser, and one of the moving average."""
        self.scaler.unscale_(self.optimizer)
        clip_gradients(self.model.parameters())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update_parameters(self.model)

    def state(self) -> dict[str, Any]:
        """What `restore` takes, beside the average's weights, which are the checkpoint's own; see `state.py`."""
        return {
            "groups": groups_as_plain(self.groups),
            "schedule": {
                "epochs": self.schedule.epochs,
                "batches": self.schedule.batches,
                "batch_size": self.schedule.batch_size,
                "cosine": self.schedule.cosine,
            },
            "model": self.model.state_dict(),
            "ema_updates": int(self.ema.n_averaged),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random_states(self.compute.device),
        }

    def restore(self, saved: SavedTraining) -> None:
        """Goes back to where a saved training was, generators of random numbers included.

        Raises:
            EngineError: the checkpoint does not fit the model that its own configuration builds.
        """
        state, average = saved.state, self.ema.module
        try:
            check_fit(saved.content["model"], average.state_dict(), "model")
            check_fit(state["model"], self.model.state_dict(), "training.model")
            check_optimizer(state["optimizer"], self.optimizer, [group.names for group in self.groups])
        except DamageError as error:
            raise saved.damaged(error) from None
        try:
            self.model.load_state_dict(state["model"])
            self.ema.module.load_state_dict(saved.content["model"])
            self.ema.n_averaged.fill_(state["ema_updates"])
            self.optimizer.load_state_dict(state["optimizer"])
            if state["scaler"]:  # empty where it was off, such as on a CPU
                self.scaler.load_state_dict(state["scaler"])
            set_random_states(state["random"], self.compute.device)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise saved.damaged((str(error).splitlines() or [type(error).__name__])[0]) from None
