"""One module in two threads, and modules that are copied, pickled and averaged."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.modes.subjects import Subject, fuse, learned

COPIERS = {"deepcopy": copy.deepcopy, "pickle": lambda module: pickle.loads(pickle.dumps(module))}  # noqa: S301


def test_two_threads_run_one_module(subject: Subject, fused: bool, make: Any, same: Any) -> None:
    module = make(subject, fused)
    inputs = [subject.input(1, 4 + index, 5, seed=index) for index in range(2)]

    def run(x: Tensor) -> Any:
        with torch.no_grad():
            return module(x)

    expected = [run(x) for x in inputs]
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(run, inputs * 20))
    for index, result in enumerate(results):
        same(result, expected[index % 2], 1e-5)


def test_two_threads_take_the_gradient_of_one_module(subject: Subject, make: Any, close: Any) -> None:
    module = make(subject)
    inputs = [subject.input(1, 4 + index, 5, seed=index) for index in range(2)]

    def run(x: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(subject.loss(module(x)), list(learned(module).values()))

    expected = [run(x) for x in inputs]
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(run, inputs * 5))
    for index, result in enumerate(results):
        for gradient, wanted in zip(result, expected[index % 2], strict=True):
            close(gradient, wanted, 1e-5)


@pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
def test_a_copy_is_equal_and_independent(subject: Subject, fused: bool, copier: Any, make: Any, same: Any) -> None:
    module = make(subject, fused)
    x = subject.input(1, 4, 5)
    with torch.no_grad():
        expected = module(x)
        twin = copier(module)
        for parameter in module.parameters():
            parameter.zero_()
        same(twin(x), expected, 0)
        assert twin.training == module.training


@pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
def test_a_copy_can_be_fused_and_trained(subject: Subject, copier: Any, make: Any, reference: Any, same: Any) -> None:
    module = make(subject)
    x = subject.input(2, 4, 5)
    with torch.no_grad():
        same(fuse(copier(module))(x), reference(subject, x, fused=True))
    twin = copier(module).train()
    subject.loss(twin(x)).backward()
    assert all(parameter.grad is not None for parameter in learned(twin).values())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_moving_average(subject: Subject, make: Any) -> None:
    module = make(subject)
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.75), use_buffers=True)
    average.update_parameters(module)  # the first call copies
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1
    average.update_parameters(module)
    averaged: nn.Module = average.module
    for name, parameter in averaged.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] + 0.25)
