"""The moving average of the weights."""

from __future__ import annotations

import math

import pytest
import torch

from engine.training.ema import build_ema
from tests.engine.training.small import small_model


@pytest.mark.parametrize(("updates", "ramp"), [(100_000, 2000), (300, 100)])
def test_ema_follows_its_formula_and_copies_counters(updates: int, ramp: int) -> None:
    torch.manual_seed(0)
    model = small_model()
    ema = build_ema(model, updates)
    expected: list[torch.Tensor] = []
    for step in range(5):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model(torch.randn(2, 3, 8, 8))  # moves the running statistics
        ema.update_parameters(model)
        now = [model[0].weight.detach().clone(), model[1].running_var.clone()]  # statistics are averaged, too
        decay = 0.9999 * (1 - math.exp(-(step + 1) / ramp))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected or now, now, strict=True)]
    torch.testing.assert_close([ema.module[0].weight.detach(), ema.module[1].running_var], expected)
    assert ema.module[1].num_batches_tracked == 5
    assert not ema.module.training
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())
