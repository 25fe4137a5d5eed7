"""What the fuzzer feeds: each reader takes any bytes, and raises nothing but an input error.

    python -m tests.fuzz model         for ever, or with -max_total_time=300 for five minutes
    python -m tests.fuzz coco
    python -m tests.fuzz checkpoint

It needs atheris (`pip install atheris`), which nothing else does. Its own flags follow the target's name. The seeds are
run by the tests too, without atheris.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.coco.records import load_coco
from files.errors import InputError
from models import build_model
from models.weights.load import load_detector

SEEDS = Path(__file__).with_name("seeds")


def model(folder: Path, content: bytes) -> None:
    """The reader of model YAMLs."""
    file = folder / "model.yaml"
    file.write_bytes(content)
    build_model(file)


def coco(folder: Path, content: bytes) -> None:
    """The reader of COCO annotations."""
    file = folder / "annotations.json"
    file.write_bytes(content)
    load_coco(file, folder, cache=False)


def checkpoint(folder: Path, content: bytes) -> None:
    """The reader of checkpoints."""
    file = folder / "weights.pt"
    file.write_bytes(content)
    load_detector(file)


TARGETS: dict[str, Callable[[Path, bytes], None]] = {"model": model, "coco": coco, "checkpoint": checkpoint}


def feed(name: str, folder: Path, content: bytes) -> None:
    """One input for a target. Input errors, in one line, are right; any other exception is a finding."""
    try:
        TARGETS[name](folder, content)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError("the message has several lines") from error
