"""A small data set on disk, and a cache folder of its own for every test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from files.cache import VARIABLE


@pytest.fixture(scope="session")
def bccd() -> Path:
    root = Path(__file__).resolve().parents[2].parent / "shared" / "datasets" / "bccd"
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    return root


@pytest.fixture
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture
def few_demo_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo data set is drawn with 6 and 4 pictures."""
    monkeypatch.setattr("data.demo._SPLITS", {"train": (6, 0), "val": (4, 1)})


class Folder:
    """Images and a COCO document that a test may spoil before it writes it."""

    def __init__(self, root: Path) -> None:
        self.root, self.images, self.annotations = root, root / "images", root / "train.json"
        self.images.mkdir(parents=True)
        self.document: dict[str, Any] = {"images": [], "annotations": [], "categories": []}

    def category(self, number: int, name: str) -> None:
        self.document["categories"].append({"id": number, "name": name})

    def image(self, number: int, height: int, width: int, pixels: np.ndarray | None = None) -> Path:
        name = f"{number:03}.png"
        if pixels is None:
            pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        cv2.imwrite(str(self.images / name), pixels)
        self.document["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        return self.images / name

    def box(self, image: int, category: int, xywh: list[Any], **more: Any) -> None:
        number = len(self.document["annotations"]) + 1
        entry = {"id": number, "image_id": image, "category_id": category, "bbox": xywh, **more}
        self.document["annotations"].append(entry)

    def write(self) -> tuple[Path, Path]:
        self.annotations.write_text(json.dumps(self.document))
        return self.annotations, self.images


@pytest.fixture
def folder(tmp_path: Path, cache_folder: Path) -> Folder:
    """Three images, two classes with ids 30 and 7, three boxes; image 12 has none."""
    made = Folder(tmp_path / "set")
    made.category(30, "cat")
    made.category(7, "dog")
    made.image(5, 40, 60)
    made.image(3, 64, 32)
    made.image(12, 20, 20)
    made.box(3, 7, [2, 4, 10, 20])
    made.box(5, 30, [0, 0, 60, 40])
    made.box(5, 7, [10.5, 5.25, 20, 10], area=55.5)
    return made
