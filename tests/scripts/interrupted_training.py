"""Trainings in processes that end early, as a server, since starting torch takes longer than the trainings.

`interrupted_training.py LOG` reads lines of JSON `[moment, epoch, [flags of train.py], deed]`. For each it forks a
process that trains, with its output into the log, and answers with the exit code. What `DEEDS` says is done at the
moment (see `MOMENTS`) of the epoch (from 0), once; "never" trains to the end. The registry gets a block that draws from
every generator, as no block of the project does, so that a generator that is not restored shows.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

import engine.training.loop  # once, before the forks
import engine.training.start
from data.loading.loader import Loader
from engine.cli.run import run_cli
from engine.cli.train import main
from engine.metrics.coco import CocoEvaluator
from models.registry import register, same_channels_rule

STEPS_BEFORE_THE_KILL = 2  # of three per epoch
epoch = -1


@register(rule=same_channels_rule)
class Noise(nn.Module):
    """Scales its input by numbers from torch's, Python's and NumPy's global generators while training."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        scale = 1 + 0.1 * (torch.rand(()).item() + random.random() + np.random.rand())  # noqa: NPY002
        return nn.functional.dropout(x, 0.1) * scale


def _to_a_worker(number: signal.Signals) -> None:
    worker = multiprocessing.active_children()[0]
    os.kill(int(worker.pid or 0), number)
    time.sleep(10)  # its death interrupts this, as whatever runs


DEEDS: dict[str, Callable[[], None]] = {
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGINT": lambda: os.kill(os.getpid(), signal.SIGINT),
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGTERM to all": lambda: os.killpg(os.getpid(), signal.SIGTERM),
    "a worker is killed": lambda: _to_a_worker(signal.SIGKILL),
    "a worker has a bus error": lambda: _to_a_worker(signal.SIGBUS),
}
deed = DEEDS["SIGKILL"]
done = False


def kill() -> None:
    """Does the deed, once."""
    global done
    if not done:
        done = True
        deed()


def in_the_middle_of_the_epoch(at: int) -> None:
    steps = 0

    def count(*_: Any) -> None:
        nonlocal steps
        steps += epoch == at
        if steps == STEPS_BEFORE_THE_KILL:
            kill()

    register_optimizer_step_post_hook(count)


def in_validation(at: int) -> None:
    _before(CocoEvaluator, "measure", lambda *_: epoch == at)


def in_the_preparation(_: int) -> None:
    _before(engine.training.start, "load_data", lambda *_: True)


def in_the_report(_: int) -> None:
    _before(engine.training.loop, "finish_report", lambda *_: True)


def half_of_the_checkpoint_written(at: int) -> None:
    save = torch.save

    def save_half(content: Any, file: Any) -> None:
        if epoch != at or ".last." not in Path(file._file.name).name:
            return save(content, file)
        whole = io.BytesIO()
        save(content, whole)
        file.write(whole.getvalue()[: whole.tell() // 2])
        file.flush()
        return kill()

    torch.save = save_half  # type: ignore[assignment]


def before_the_checkpoint_is_renamed(at: int) -> None:
    _before(Path, "replace", lambda _, target: epoch == at and target.name == "last.pt")


def between_results_and_checkpoint(at: int) -> None:
    _before(torch, "save", lambda *_: epoch == at)


def after_the_checkpoint(at: int) -> None:
    """Of the last epoch: the training is over, the report and the note that it is finished are missing."""
    saved = False

    def second(_: Path, target: Path) -> bool:
        nonlocal saved
        before, saved = saved, saved or (epoch == at and target.name == "last.pt")
        return before

    _before(Path, "replace", second)


def _before(owner: Any, name: str, due: Callable[..., bool]) -> None:
    """Kills the process when the function is called and `due` of its arguments is true."""
    function = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        if due(*args):
            kill()
        return function(*args, **kwargs)

    setattr(owner, name, called)


def _follow_the_epochs() -> None:
    set_epoch = Loader.set_epoch

    def follow(self: Loader, number: int) -> None:
        global epoch
        epoch = number
        set_epoch(self, number)

    Loader.set_epoch = follow  # type: ignore[method-assign]


MOMENTS: dict[str, Callable[[int], None]] = {
    "never": lambda _: None,
    "preparation": in_the_preparation,
    "step": in_the_middle_of_the_epoch,
    "validation": in_validation,
    "half": half_of_the_checkpoint_written,
    "rename": before_the_checkpoint_is_renamed,
    "results": between_results_and_checkpoint,
    "end": after_the_checkpoint,
    "report": in_the_report,
}


def _serve(log: Path) -> None:
    for line in sys.stdin:
        moment, at, arguments, name = json.loads(line)
        child = os.fork()
        if child == 0:
            with log.open("a") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            global deed
            deed = DEEDS[name]
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the background of a shell ignores Ctrl-C
            _follow_the_epochs()
            MOMENTS[moment](at)
            sys.exit(run_cli(main, arguments))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
