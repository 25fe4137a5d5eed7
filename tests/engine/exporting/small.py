"""A data set and a detector that are quick to measure."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from engine.checkpoint import save_checkpoint
from files.classes import Classes
from models import build_model
from models.detector import Detector

SIDE = 64
"""Pixels of its input."""
NAMES = ("cat", "dog")


def write_pets(folder: Path) -> Path:
    """A data set of three pictures, two of them to train on; its YAML."""
    random = np.random.default_rng(0)
    splits: dict[str, list[int]] = {"train": [0, 1], "val": [2]}
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), random.integers(0, 255, (40, 90, 3), dtype=np.uint8))
    for split, numbers in splits.items():
        content = {
            "images": [{"id": n, "file_name": f"{n}.png", "height": 40, "width": 90} for n in numbers],
            "annotations": [{"id": n, "image_id": n, "category_id": n % 2, "bbox": [5, 5, 30, 30]} for n in numbers],
            "categories": [{"id": index, "name": name} for index, name in enumerate(NAMES)],
        }
        (folder / f"{split}.json").write_text(json.dumps(content))
    lines = (f"{split}: {{images: ., annotations: {split}.json}}\n" for split in splits)
    (folder / "pets.yaml").write_text("".join(lines))
    return folder / "pets.yaml"


def switchable_detector() -> Detector:
    """Rows 1 and 2 are SAConv2d: the first one is a plain convolution still, the second one is not."""
    torch.manual_seed(0)
    rows = [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "SAConv2d", [8, 3]], [-1, 1, "SAConv2d", [8, 3]]]
    anchors = [[10, 13, 16, 30, 33, 23]]
    head = [[[2], 1, "Detect", ["nc", "anchors"]]]
    sizes = {"nc": len(NAMES), "depth_multiple": 1.0, "width_multiple": 1.0, "anchors": anchors}
    detector = build_model({**sizes, "backbone": rows, "head": head}).eval()
    detector.classes = Classes.of(NAMES)
    detector.model[2].switch.bias.data.fill_(0.5)  # type: ignore[union-attr, operator]
    return detector


def save_detector(detector: Detector, file: Path, data: str = "") -> Path:
    """Writes a checkpoint as train.py does."""
    content = {"model": detector.state_dict(), "yaml": detector.yaml, "names": list(NAMES), "category_ids": [0, 1]}
    save_checkpoint(file, {**content, "imgsz": SIDE, "data": data})
    return file
