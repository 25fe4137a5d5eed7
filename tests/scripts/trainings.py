"""Tiny trainings in processes of their own that something happens to; see `interrupted_training.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.places import ROOT

SCRIPT = Path(__file__).with_name("interrupted_training.py")
EPOCHS = 4
CFG = {
    "nc": 1,
    "anchors": [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]],
    "backbone": [
        [-1, 1, "Conv", [8, 3, 4]],
        [-1, 1, "Noise", []],
        [-1, 1, "SAConv2d", [16, 3, 2]],
        [-1, 1, "C3", [16], {"conv": "SPConv"}],
        [-1, 1, "Conv", [32, 3, 2]],
    ],
    "head": [[[3, 4], 1, "Detect", ["nc", "anchors"]]],
}
"""With a block that `interrupted_training.py` brings along."""


def flags(folder: Path, project: Path, *more: object) -> list[str]:
    common = ("--cfg", folder / "tiny.yaml", "--data", folder / "data.yaml", "--device", "cpu", "--project", project)
    return [str(flag) for flag in (*common, "--hyp", folder / "hyp.yaml", "--noplots", *more)]


class Trainings:
    """Runs trainings in processes that something happens to."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.server = subprocess.Popen(
            [sys.executable, SCRIPT, log],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, moment: str, epoch: int, arguments: Sequence[object], deed: str = "SIGKILL") -> int:
        """The exit code of a training to which `deed` is done at a moment of an epoch (from 0)."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps([moment, epoch, [*map(str, arguments)], deed]) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())
