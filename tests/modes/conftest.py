"""What every mode is tested with: both convolutions in their variants, and a small detector made of them.

Each is compared with its own plain form: float32, NCHW, unfused, eager, alone on one thread. That this one is right is
tested in tests/models, against golden files and the published formulas.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import build_model
from models.blocks.saconv import SAConv2d
from models.blocks.spconv import SPConv

DETECTOR = {
    "nc": 2,
    "anchors": [[10, 13, 16, 30], [30, 61, 62, 45]],
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "SAConv2d", [16, 3, 2]],
        [-1, 1, "SPConv", [16, 3, 2]],
        [-1, 1, "C3", [16], {"conv": "SAConv2d"}],
        [-1, 1, "SAConv2d", [16, 3, 2], {"use_deform": True}],
        [-1, 1, "SPConv", [16, 3, 1]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 3], 1, "Concat", [1]],
        [-1, 1, "C3", [16, False], {"conv": "SPConv"}],
        [[8, 5], 1, "Detect", ["nc", "anchors"]],
    ],
}


@dataclass(frozen=True)
class Subject:
    """One module under test.

    Attributes:
        name: for the test's id.
        block: makes it, with fresh weights.
        args: positional arguments of `block`.
        kwargs: keyword arguments of `block`.
        channels: of its input.
        cell: its input's height and width are multiples of this; sizes are given in cells.
        spread: how far the weights are moved from fresh ones.
    """

    name: str
    block: Callable[..., nn.Module]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    channels: int = 8
    cell: int = 1
    spread: float = 0.2

    def input(self, batch: int, height: int, width: int, seed: int = 0) -> Tensor:
        """Random input of `height x width` cells."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, self.channels, height * self.cell, width * self.cell, generator=generator)

    @staticmethod
    def tensors(output: Any) -> list[Tensor]:
        """What it returned, as a flat list; a detector's boxes apart from its scores, because they are far larger."""
        if isinstance(output, Tensor):
            return [output]
        if isinstance(output, list):
            return output
        decoded, logits = output
        return [decoded[..., :4], decoded[..., 4:], *logits]

    def loss(self, output: Any) -> Tensor:
        """A number that depends on every output; a mean over the batch."""
        return sum(((tensor - 0.5) ** 2).mean() for tensor in self.tensors(output))


def saconv(name: str, *args: Any, cell: int = 1, **kwargs: Any) -> Subject:
    return Subject(name, SAConv2d, (8, 12, *args), kwargs, cell=cell)


BLOCKS = [
    saconv("saconv", 3),
    saconv("saconv_dilated", 3, 2, g=2, d=2),
    saconv("saconv_deform", 3, use_deform=True),
    saconv("saconv_deform_dilated", 3, 2, g=2, d=2, use_deform=True),
    Subject("spconv", SPConv, (8, 12, 3, 1)),
    Subject("spconv_stride", SPConv, (8, 12, 3, 2)),
]
# Where nothing has to be compiled, these come on top.
FURTHER_BLOCKS = [
    saconv("saconv_stride", 3, 2),
    saconv("saconv_point", 1),
    saconv("saconv_groups", 5, g=2),
    saconv("saconv_stem", 6, 2, 2, cell=2),  # no smaller map holds a window
]
WHOLE = Subject("detector", build_model, (DETECTOR,), channels=3, cell=16, spread=0.05)


def _names(subject: Subject) -> str:
    return subject.name


@pytest.fixture(params=[*BLOCKS, *FURTHER_BLOCKS, WHOLE], ids=_names)
def subject(request: pytest.FixtureRequest) -> Subject:
    """Every subject, for tests that cost little."""
    return request.param


@pytest.fixture(params=[*BLOCKS, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=_names)
def main_subject(request: pytest.FixtureRequest) -> Subject:
    """Those that every mode is tested with."""
    return request.param


@pytest.fixture(scope="session")
def main_subjects() -> list[Subject]:
    """The same as a list, for a test that serves all of them at once."""
    return [*BLOCKS, WHOLE]


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
        return module.fuse() if fused else module

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
    """What the subject's plain form gives for an input, in evaluation mode."""

    def run(subject: Subject, x: Tensor) -> Any:
        with torch.no_grad():
            return make(subject)(x)

    return run
