"""A network that finds coloured rectangles, pictures of these, and runs of detection with it.

Imported by the tests, not a fixture, since they derive classes from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.backends import Backend
from engine.cli.detect import detect
from engine.options import DetectOptions
from files.classes import Classes
from models.heads.base import Predictions

RED, BLUE = (0, 0, 255), (255, 0, 0)  # BGR
SCORES = {0: 0.9, 1: 0.6}


class ColourBackend(Backend):
    """Class 0 is the extent of all red pixels of the input, class 1 that of the blue ones."""

    def __init__(self, names: Sequence[str] = ("red", "blue"), stride: int = 32, imgsz: int = 320) -> None:
        self.classes = Classes.of(names, (7, 3))
        self.stride = stride
        self.imgsz = imgsz
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor) -> Predictions:
        assert images.dtype == torch.uint8
        self.shapes.append(tuple(images.shape))
        rows = []
        for channel, label in ((0, 0), (2, 1)):
            own = images[0, channel] > 128
            others = torch.stack([images[0, other] < 100 for other in range(3) if other != channel]).all(0)
            y, x = torch.nonzero(own & others, as_tuple=True)
            if len(x):
                x1, y1, x2, y2 = x.min(), y.min(), x.max() + 1, y.max() + 1
                classes = [SCORES[label] if label == index else 0.0 for index in range(len(self.classes))]
                rows.append([x1, y1, x2, y2, *classes])
        table = torch.tensor(rows or [[0.0] * (4 + len(self.classes))], dtype=torch.float32)[None]
        return Predictions(table[..., :4], table[..., 4:])


def draw(hw: tuple[int, int], red: Sequence[int] = (), blue: Sequence[int] = ()) -> np.ndarray:
    """Grey picture with filled rectangles x1, y1, x2, y2."""
    image = np.full((*hw, 3), 128, np.uint8)
    for box, colour in ((red, RED), (blue, BLUE)):
        if box:
            image[box[1] : box[3], box[0] : box[2]] = colour
    return image


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def setup(tmp_path: Path, source: object, **changes: Any) -> DetectOptions:
    return replace(DetectOptions("unused.pt", str(source), project=str(tmp_path / "runs")), **changes)


def run(tmp_path: Path, source: object, **changes: Any) -> Path:
    """A run that must succeed; its folder."""
    assert detect(setup(tmp_path, source, **changes), ColourBackend()) == 0
    return tmp_path / "runs" / changes.get("name", "exp")


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
