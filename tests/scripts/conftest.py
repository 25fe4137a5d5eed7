"""What the tests of training share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from engine.report.recorder import Recorder
from tests.scripts.trainings import CFG, Trainings

SQUARE = {"id": 12, "name": "square"}


def _write_squares(
    root: Path, count: int, batch_size: int, *, empty: Sequence[int] = (), others: Sequence[dict[str, Any]] = ()
) -> None:
    """Pictures of 64 px with a bright square each, but for the `empty` ones, as data.yaml; `others` are categories."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(count):
        image = rng.integers(0, 90, (64, 64, 3), dtype=np.uint8)
        if number not in empty:
            x, y = rng.integers(0, 40, 2).tolist()
            image[y : y + 22, x : x + 22] = 230
            box = {"id": number, "image_id": number, "category_id": SQUARE["id"], "bbox": [x, y, 22, 22]}
            annotations.append(box)
        cv2.imwrite(str(root / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 64})
    content = {"images": images, "annotations": annotations, "categories": [SQUARE, *others]}
    (root / "all.json").write_text(json.dumps(content))
    split = {"images": ".", "annotations": "all.json"}
    (root / "data.yaml").write_text(
        yaml.safe_dump({"train": split, "val": split, "imgsz": 64, "batch_size": batch_size})
    )


@pytest.fixture(scope="session")
def write_squares() -> Callable[..., None]:
    return _write_squares


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_squares: Callable[..., None]) -> Path:
    """Six images with a bright square each as data.yaml; a model as tiny.yaml; hyp.yaml with mixing."""
    root = tmp_path_factory.mktemp("resume")
    write_squares(root, 6, batch_size=2)
    quiet = {**CFG, "backbone": [row if row[2] != "Noise" else [-1, 1, "Conv", [8]] for row in CFG["backbone"]]}
    (root / "tiny.yaml").write_text(yaml.safe_dump(quiet))
    (root / "hyp.yaml").write_text("mosaic: 1.0\nmixup: 0.5\nclose_mosaic: 0\n")
    return root


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """Trainings in processes of their own."""
    trainings = Trainings(tmp_path_factory.mktemp("log") / "log.txt")
    with trainings.server:
        yield trainings


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """`interrupted(2)`: inside the `with`, Ctrl-C comes when the figures of epoch 2, counted from 0, are recorded."""
    add_epoch = Recorder.add_epoch

    @contextmanager
    def at(last: int) -> Iterator[None]:
        def add_or_end(self: Recorder, epoch: int, values: Mapping[str, float]) -> None:
            if epoch == last:
                raise KeyboardInterrupt
            add_epoch(self, epoch, values)

        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "add_epoch", add_or_end)
            yield

    return at
