"""--help and a wrong flag answer at once: in a process of their own, which must not import what is slow."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.places import ROOT

SLOW = ("torch", "torchvision", "cv2", "numpy", "pydantic", "matplotlib", "PIL", "yaml", "pycocotools")
PROBE = f"""
import runpy, sys
target, *sys.argv = sys.argv[1:]
try:
    runpy.run_module(target, run_name="__main__", alter_sys=True) if target in ("models", "data") else \\
        runpy.run_path(target, run_name="__main__")
finally:
    print("imported:", *(name for name in {SLOW} if name in sys.modules))
"""


@pytest.mark.parametrize("target", ["train.py", "val.py", "detect.py", "export.py", "models", "data"])
@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--no-such-flag", 2)])
def test_nothing_slow_is_imported(target: str, argument: str, code: int) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, target, target, argument], cwd=ROOT, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"
    assert "usage: " in done.stdout + done.stderr
    # The time that the process worked, not that which it waited for a busy processor.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
