"""Which exceptions mean that the machine failed, and the line that says so."""

from __future__ import annotations

import errno

import pytest
import torch

from engine.errors import EngineError
from engine.faults import fault_line, faults_told
from files.errors import FaultError

TOLD = [
    (
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        "a process that loads images was ended from outside (Killed), as where memory runs out; use fewer --workers; 0 "
        "loads in the main process",
    ),
    (
        RuntimeError(
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are "
            "out of shared memory. Please try to raise your shared memory limit."
        ),
        "no shared memory is left for the processes that load images; use --workers 0",
    ),
    (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "a process that loads images has ended;"),
    (RuntimeError("unable to write to file </torch_7_1_0>: No space left on device (28)"), "no shared memory is left"),
    (RuntimeError("unable to allocate shared memory(shm) for file </torch_7>: x"), "no shared memory is left"),
    (OSError(errno.ENOSPC, "No space left on device", "/torch_7_1"), "no shared memory is left"),
    (RuntimeError("received 0 items of ancdata"), "too many files are open; use fewer --workers, or raise the limit"),
    (RuntimeError("Too many open files. Communication with the workers is no longer possible."), "too many files"),
    (OSError(errno.EMFILE, "Too many open files"), "too many files are open"),
    (
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        "the system starts no more processes (Resource",
    ),
    (MemoryError(), "no memory is left; use a smaller --batch-size or --imgsz, or fewer --workers"),
    (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), "no memory is left"),
]


@pytest.mark.parametrize(("error", "line"), TOLD, ids=lambda value: str(value)[:40])
def test_what_torch_and_the_system_say(error: BaseException, line: str) -> None:
    assert str(fault_line(error)).startswith(line)
    with (
        pytest.raises(FaultError, match=r"; last\.pt holds epoch 3$") as caught,
        faults_told(lambda: "; last.pt holds epoch 3"),
    ):
        raise error
    assert "\n" not in str(caught.value)


def test_what_torch_says_when_memory_runs_out() -> None:
    with pytest.raises(FaultError, match="no memory is left"), faults_told():
        torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        KeyError("x"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "a.jpg"),
        OSError(errno.ENOSPC, "No space left on device", "runs/a.csv"),
        EngineError("a.yaml: out of memory"),  # input's own words
    ],
)
def test_other_exceptions_stay_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, faults_told():
        raise error
    assert caught.value is error
