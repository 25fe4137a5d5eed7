"""Real pictures for the exporter: to compare a written file with PyTorch, and to calibrate int8 by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from data.coco.records import load_split
from data.config import DatasetConfig, load_dataset_config
from data.letterbox import Letterbox
from data.media.image import read_image
from engine.errors import EngineError

SEED = 0
DEMO = "demo"


def picture_paths(dataset: DatasetConfig, split: str, most: int) -> list[Path]:
    """Files of a split that can be read: all, or `most` of them drawn with a fixed seed.

    Raises:
        DataError: annotations or pictures cannot be used.
        EngineError: the data set has no such split, or no picture in it.
    """
    if getattr(dataset, split) is None:
        raise EngineError(f"{dataset.file}: has no '{split}' split; add one, or give another --data")
    records = load_split(dataset.source(split), dataset.settings()).records
    if not len(records):
        raise EngineError(f"{dataset.file}: its '{split}' split has no pictures; give another --data")
    chosen = np.random.default_rng(SEED).permutation(len(records))[:most]
    return [records[int(index)].path for index in sorted(chosen)]


def check_paths(dataset: DatasetConfig | None, most: int) -> list[Path]:
    """A few pictures to compare on: of the validation split, else, without a data set, the demo's."""
    return picture_paths(dataset or load_dataset_config(DEMO), "val", most)


def inputs_of(paths: Iterable[Path], imgsz: tuple[int, int]) -> Iterator[Tensor]:
    """The pictures as detection sees them.

    Args:
        imgsz: height and width of the input, pixels.

    Yields:
        `(1, 3, H, W)` uint8 RGB each.
    """
    for path in paths:
        image = read_image(path)
        letterboxed = Letterbox.fit((image.shape[0], image.shape[1]), imgsz).apply(image)
        pixels = cv2.cvtColor(letterboxed, cv2.COLOR_BGR2RGB)  # (H, W, 3)
        yield torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
