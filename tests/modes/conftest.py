"""Fixtures of the tests of modes: every subject, and what its own plain form gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.modes.subjects import BLOCKS, DETECTORS, FURTHER_BLOCKS, Subject, fuse


def _names(subject: Subject) -> str:
    return subject.name


@pytest.fixture(params=[*BLOCKS, *FURTHER_BLOCKS, *DETECTORS], ids=_names)
def subject(request: pytest.FixtureRequest) -> Subject:
    """Every subject, for tests that cost little."""
    return request.param


@pytest.fixture(params=[*BLOCKS, *(pytest.param(each, marks=pytest.mark.slow) for each in DETECTORS)], ids=_names)
def main_subject(request: pytest.FixtureRequest) -> Subject:
    """Those that every mode is tested with."""
    return request.param


@pytest.fixture(scope="session")
def main_subjects() -> list[Subject]:
    """The same as a list, for a test that serves all of them at once."""
    return [*BLOCKS, *DETECTORS]


@pytest.fixture(params=[False, True], ids=["unfused", "fused"])
def fused(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(scope="session")
def make(randomise: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Makes a subject's module in evaluation mode; its weights and statistics are random, but the same each time."""
    made: dict[str, nn.Module] = {}

    def build(subject: Subject, fused: bool = False) -> nn.Module:
        if subject.name not in made:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                fresh = subject.block(*subject.args, **subject.kwargs)
            made[subject.name] = randomise(fresh, spread=subject.spread).eval()
        module = copy.deepcopy(made[subject.name])
        return fuse(module) if fused else module

    return build


@pytest.fixture
def same(close: Callable[..., None]) -> Callable[..., None]:
    """Asserts that two outputs have the same shapes and, within a relative tolerance, the same values."""

    def check(actual: Any, expected: Any, tolerance: float = 1e-4) -> None:
        for one, other in zip(Subject.tensors(actual), Subject.tensors(expected), strict=True):
            assert one.shape == other.shape
            close(one.float(), other, tolerance)

    return check


@pytest.fixture
def reference(make: Callable[..., nn.Module]) -> Callable[[Subject, Tensor], Any]:
    """What the subject's plain form gives for an input, in evaluation mode; of it, what the fused form gives too."""

    def run(subject: Subject, x: Tensor, fused: bool = False) -> Any:
        with torch.no_grad():
            output = make(subject)(x)
        return subject.of_fused(output) if fused else output

    return run
