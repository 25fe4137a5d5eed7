"""What the fuzzer feeds: each reader takes any bytes, and raises nothing but an input error.

    python -m tests.fuzz model         for ever, or with -max_total_time=300 for five minutes
    python -m tests.fuzz coco
    python -m tests.fuzz yolo
    python -m tests.fuzz voc
    python -m tests.fuzz checkpoint

It needs atheris (`pip install atheris`), which nothing else does. Its own flags follow the target's name. The seeds are
run by the tests too, without atheris.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from data.coco.records import load_coco, load_split
from data.formats.voc import VocFolder
from data.formats.yolo import YoloSource
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


def yolo(folder: Path, content: bytes) -> None:
    """The reader of labels in YOLO's format."""
    file = _beside_a_picture(folder, "a.txt")
    file.write_bytes(content)
    load_split(YoloSource((folder / "set",), folder, ("cat", "dog")), cache=False)


def voc(folder: Path, content: bytes) -> None:
    """The reader of Pascal VOC's XML."""
    file = _beside_a_picture(folder, "a.xml")
    file.write_bytes(content)
    load_split(VocFolder(folder / "set", folder / "set", None, ()), cache=False)


def _beside_a_picture(folder: Path, name: str) -> Path:
    (folder / "set").mkdir(exist_ok=True)
    if not (folder / "set" / "a.png").exists():
        cv2.imwrite(str(folder / "set" / "a.png"), np.zeros((20, 40, 3), np.uint8))
    return folder / "set" / name


def checkpoint(folder: Path, content: bytes) -> None:
    """The reader of checkpoints."""
    file = folder / "weights.pt"
    file.write_bytes(content)
    load_detector(file)


TARGETS: dict[str, Callable[[Path, bytes], None]] = {
    "model": model,
    "coco": coco,
    "yolo": yolo,
    "voc": voc,
    "checkpoint": checkpoint,
}


def feed(name: str, folder: Path, content: bytes) -> None:
    """One input for a target. Input errors, in one line, are right; any other exception is a finding."""
    try:
        TARGETS[name](folder, content)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError("the message has several lines") from error
