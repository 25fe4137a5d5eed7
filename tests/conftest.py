"""What tests of several folders share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from files.cache import VARIABLE
from tests.places import SMALL_DISK


def _randomise(module: nn.Module, seed: int = 0, spread: float = 0.2) -> nn.Module:
    """Gives every parameter and statistic a value at which each term of the formulas matters; returns the module."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in filter(lambda each: each.requires_grad, module.parameters()):  # a fixed one has its meaning
            parameter += spread * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        for name, buffer in module.named_buffers():
            if name.endswith(("running_var", "weight_gamma")):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
            elif name.endswith(("running_mean", "weight_beta")):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
    return module


def _close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """Within `tolerance` of the largest value expected (some gradients are 0 but for rounding: not below 0.01)."""
    scale = max(0.01, float(expected.detach().abs().max()))
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder for this session, also for the processes that it starts; the user's own stays as it is."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def randomise() -> Callable[..., nn.Module]:
    return _randomise


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    return _close


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of `SMALL_DISK` bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small disk, and not everywhere")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
