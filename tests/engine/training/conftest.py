"""Three tiny trainings, recorded once for all tests of this folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from engine.options import TrainOptions
from engine.training import loop
from tests.engine.training.recording import Recording, recording

COUNT, IMGSZ, BATCH = 10, 64, 4
ROWS = [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]]] + [[-1, 1, "Conv", [c, 3, 2]] for c in (16, 16, 24)]
CFG = {
    "nc": 2,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "anchors": [[200, 210, 220, 230], [300, 310, 320, 330], [400, 410, 420, 430]],  # far too large
    "backbone": ROWS,
    "head": [[[2, 3, 4], 1, "Detect", ["nc", "anchors"]]],
}
HYP = {
    "lr0": 0.01,
    "lrf": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.01,
    "nominal_batch": 10,
    "warmup_momentum": 0.7,
    "warmup_bias_lr": 0.05,
    "box": 0.05,
    "cls": 0.5,
    "obj": 5000.0,
    "obj_pw": 0.8,
    "cls_pw": 1.3,
    "close_mosaic": 3,
    **dict.fromkeys(("translate", "scale", "fliplr", "hsv_h", "hsv_s", "hsv_v"), 0.0),
}


@dataclass(frozen=True)
class Recorded:
    """A finished training: what was recorded, and what it left behind."""

    record: Recording
    folder: Path

    @property
    def last(self) -> dict[str, Any]:
        """The content of last.pt."""
        return torch.load(self.folder / "weights" / "last.pt", weights_only=True)

    @property
    def best(self) -> dict[str, Any]:
        """The content of best.pt."""
        return torch.load(self.folder / "weights" / "best.pt", weights_only=True)


def side_of(number: int) -> int:
    """Side of picture `number`'s square in pixels: it tells the picture."""
    return 12 + 2 * number


def _write_data(root: Path) -> None:
    """Pictures of 64 px with one square each, odd and even ones of two classes."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(COUNT):
        image = rng.integers(0, 90, (IMGSZ, IMGSZ, 3), dtype=np.uint8)
        side = side_of(number)
        x, y = rng.integers(0, IMGSZ - side, 2).tolist()
        image[y : y + side, x : x + side] = 230
        cv2.imwrite(str(root / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "height": IMGSZ, "width": IMGSZ})
        box = {"id": number + 1, "image_id": number, "category_id": number % 2, "bbox": [x, y, side, side]}
        annotations.append(box)
    categories = [{"id": 0, "name": "even"}, {"id": 1, "name": "odd"}]
    (root / "all.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    split = {"images": ".", "annotations": "all.json"}
    (root / "data.yaml").write_text(yaml.safe_dump({"train": split, "val": split}))


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of data.yaml, plain.yaml (a model), saconv.yaml (the same with one SAConv2d) and recipes."""
    root = tmp_path_factory.mktemp("squares")
    _write_data(root)
    rows = [*ROWS[:3], [-1, 1, "SAConv2d", [16, 3, 2]], ROWS[4]]
    files = {
        "plain": CFG,
        "saconv": {**CFG, "backbone": rows},
        "mixed": {**HYP, "mosaic": 1.0, "warmup_epochs": 3.0},
        "unmixed": {**HYP, "mosaic": 0.0, "warmup_epochs": 0.0},
    }
    for name, content in files.items():
        (root / f"{name}.yaml").write_text(yaml.safe_dump(content, default_flow_style=None))
    return root


def train(squares: Path, name: str, **options: Any) -> Recorded:
    """Trains on the folder's data set into the run `name`, recorded."""
    shared = {"data": str(squares / "data.yaml"), "project": str(squares / "runs"), "name": name, "device": "cpu"}
    shared |= {"imgsz": IMGSZ, "batch_size": BATCH, "workers": 0, "noplots": True, "seed": 3}
    with recording() as record:
        loop.train(TrainOptions(**shared, **options))
    return Recorded(record, squares / "runs" / name)


@pytest.fixture(scope="session")
def mixed(squares: Path) -> Recorded:
    """Eight epochs with mosaic (but for the last two) and warm-up."""
    return train(squares, "mixed", cfg=str(squares / "plain.yaml"), hyp=str(squares / "mixed.yaml"), epochs=8)


@pytest.fixture(scope="session")
def unmixed(squares: Path) -> Recorded:
    """Two epochs without mosaic, warm-up and a check of the anchors."""
    hyp = str(squares / "unmixed.yaml")
    return train(squares, "unmixed", cfg=str(squares / "plain.yaml"), hyp=hyp, epochs=2, noautoanchor=True)


@pytest.fixture(scope="session")
def finetuned(squares: Path, unmixed: Recorded) -> Recorded:
    """Two epochs of the network with an SAConv2d from the weights of `unmixed`."""
    weights, hyp = str(unmixed.folder / "weights" / "best.pt"), str(squares / "unmixed.yaml")
    return train(squares, "finetuned", cfg=str(squares / "saconv.yaml"), hyp=hyp, weights=weights, epochs=2)
