"""Feature maps of every size, down to a single pixel: sizes are in cells of the subject's coarsest map."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.modes.subjects import Subject, learned


@pytest.fixture(params=[(1, 1), (1, 7), (7, 1), (2, 2), (3, 2), (5, 9)], ids="{0[0]}x{0[1]}".format)
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


def test_a_batch_is_its_samples_one_by_one(
    subject: Subject, size: tuple[int, int], fused: bool, make: Any, reference: Any, same: Any
) -> None:
    """Also across the forms: the fused module sees the batch, the unfused one the samples."""
    x = subject.input(3, *size)
    with torch.no_grad():
        together = subject.tensors(make(subject, fused)(x))
    alone = [subject.tensors(reference(subject, sample, fused)) for sample in x.split(1)]
    same(together, [torch.cat(parts) for parts in zip(*alone, strict=True)])


def test_trains(subject: Subject, size: tuple[int, int], make: Any) -> None:
    module = make(subject).train()
    x = subject.input(4, *size).requires_grad_()
    subject.loss(module(x)).backward()
    inputs = [("x", x), *learned(module).items()]
    assert [name for name, tensor in inputs if tensor.grad is None or not bool(tensor.grad.isfinite().all())] == []
