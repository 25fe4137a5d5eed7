"""A block against a golden file: its outputs in evaluation and training, and all gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def golden_state(data: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The state dict in a golden file."""
    return {key[6:]: torch.from_numpy(data[key]) for key in data if key.startswith("state/")}


def assert_golden(block: nn.Module, data: Mapping[str, np.ndarray], close: Callable[..., Any]) -> None:
    """A block that has the file's state computes what the file says."""
    x = torch.from_numpy(data["x"]).requires_grad_()
    close(block.eval()(x).detach(), torch.from_numpy(data["out_eval"]))
    with torch.no_grad():
        close(block(x), torch.from_numpy(data["out_eval"]))
    out = block.train()(x)
    close(out.detach(), torch.from_numpy(data["out_train"]))
    out.backward(torch.from_numpy(data["grad_out"]))
    gradients = {name: parameter.grad for name, parameter in block.named_parameters()} | {"x": x.grad}
    assert set(gradients) == {key[5:] for key in data if key.startswith("grad/")}
    for name, gradient in gradients.items():
        close(gradient, torch.from_numpy(data[f"grad/{name}"]), 1e-3)
