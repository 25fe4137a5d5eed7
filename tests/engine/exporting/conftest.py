"""Small detectors of every head and family of blocks, and a few pictures, for tests of what is written from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from engine.checkpoint import save_checkpoint
from models import Detector, build_model
from tests.heads import HEADS
from tests.places import SHARED

BACKBONES: dict[str, list[list[Any]]] = {
    "anchor-based": [
        [-1, 1, "Conv", [8, 6, 2, 2]],
        [-1, 1, "SAConv2d", [16, 3, 2]],
        [-1, 1, "SPConv", [16, 3, 2]],
        [-1, 1, "C3", [16], {"conv": "SAConv2d"}],
        [-1, 1, "SAConv2d", [16, 3, 2], {"use_deform": True}],
        [-1, 1, "SPPF", [16, 5]],
    ],
    "anchor-free": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "GhostConv", [16, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "C2f", [16, True], {"conv": "SAConv2d"}],
        [-1, 1, "SPConv", [16, 3, 2]],
        [-1, 1, "SPConv", [16, 3, 1]],
    ],
    "two-headed": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "SAConv2d", [16, 3, 2]],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "C3k2", [64, True], {"conv": "SAConv2d"}],
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "A2C2f", [64, True, 4]],
    ],
    "v10": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "SCDown", [16, 3, 2]],
        [-1, 1, "SCDown", [128, 3, 2]],
        [-1, 1, "C2fCIB", [128, True, True]],
        [-1, 1, "SAConv2d", [128, 3, 2]],
        [-1, 1, "C2PSA", [128]],
    ],
}
"""Of each head of `HEADS`; it looks at the last row and at row 3."""

PICTURES = 3


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data-set YAML of a few pictures, real ones where they are there, each with one box."""
    folder = tmp_path_factory.mktemp("pictures")
    found = sorted((SHARED / "cases" / "images").glob("BloodImage*.jpg"))[:PICTURES]
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 255, (90 + 10 * k, 160, 3), dtype=np.uint8) for k in range(PICTURES)]
    images = [cv2.imread(str(path)) for path in found] or [cv2.resize(each, (640, 400)) for each in drawn]
    entries, boxes = [], []
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number}.png"), image)
        size = {"height": image.shape[0], "width": image.shape[1]}
        entries.append({"id": number, "file_name": f"{number}.png", **size})
        boxes.append({"id": number, "image_id": number, "category_id": 1 + number % 2, "bbox": [40, 30, 120, 90]})
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "it's a dog"}]
    content = {"images": entries, "categories": categories, "annotations": boxes}
    (folder / "all.json").write_text(json.dumps(content))
    split = {"images": str(folder), "annotations": str(folder / "all.json")}
    (folder / "data.yaml").write_text(yaml.safe_dump({"train": split, "val": split}))
    return folder / "data.yaml"


def settled(model: Detector) -> Detector:
    """As a short training leaves it: statistics that fit, kernels of SAConv2d that do something, scores that vary."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "switch" in name or "context" in name or "weight_diff" in name or "offset" in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
            elif name.startswith(f"model.{len(model.model) - 1}.") and name.endswith("bias"):
                parameter *= 0.1  # the prior of rare objects
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # a mean over all batches
        for _ in range(3):
            model.train()(torch.rand(4, 3, 96, 128, generator=generator))
    return model.eval()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a detector with the head of this name, of `HEADS`, into a new folder as `best.pt`."""

    def write(name: str) -> Path:
        head = next(head for head in HEADS if head.name == name)
        torch.manual_seed(0)
        model = settled(build_model(head.configuration(BACKBONES[name], (5, 3))))
        path = tmp_path_factory.mktemp("weights") / "best.pt"
        facts = {"names": ["cat", "it's a dog"], "category_ids": [1, 2], "imgsz": 96}
        save_checkpoint(path, {"model": model.state_dict(), "yaml": model.yaml, "epoch": 1, **facts})
        return path

    return write
