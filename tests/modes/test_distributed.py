"""DistributedDataParallel over two gloo processes, which waits for the gradient of every parameter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.places import ROOT

if TYPE_CHECKING:
    from tests.modes.subjects import Subject

SCRIPT = Path(__file__).with_name("data_parallel.py")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gradients(main_subjects: list[Subject], make: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each of the two processes saved; they are started once for all subjects."""
    folder = tmp_path_factory.mktemp("data_parallel")
    # Two batches: a parameter without a gradient in the first step is an error in the second.
    jobs = {s.name: (make(s), [s.input(4, 3, 4, seed=step) for step in range(2)]) for s in main_subjects}
    torch.save(jobs, folder / "jobs.pt")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(rank), folder],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=300)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"gradients{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("kind", ["train", "frozen"])
def test_every_parameter_has_the_same_gradient_in_both(gradients: list[dict], kind: str, main_subject: Subject) -> None:
    steps = [saved[main_subject.name, kind] for saved in gradients]
    assert [len(each) for each in steps] == [2, 2]
    for first, second in zip(*steps, strict=True):
        assert first.keys() == second.keys()
        for name, gradient in first.items():
            assert gradient is not None, name
            assert bool(gradient.isfinite().all()), name
            assert torch.equal(gradient, second[name]), name


def test_the_gradient_is_that_of_the_whole_batch(gradients: list[dict], main_subject: Subject, close: Any) -> None:
    together, alone = (gradients[0][main_subject.name, kind] for kind in ("frozen", "alone"))
    for one, other in zip(together, alone, strict=True):
        for name, gradient in one.items():
            close(gradient, other[name])
