"""The AP of several networks on the same pictures, in the size of the input that is exported."""

from __future__ import annotations

import torch

from data.config import DatasetConfig
from data.loading.loader import build_loader
from engine.backends import Backend
from engine.metrics.coco import CocoEvaluator
from engine.metrics.evaluate import Network, evaluate
from engine.options import ValOptions
from engine.validation import load_split
from models.detector import Detector

BATCH = 8  # pictures


class Accuracy:
    """AP, as val.py measures it, of networks with the same classes. A detector runs on the CPU, a back end where it is.

    Args:
        dataset: with a validation split.
        knows: whose classes are to be found.
        imgsz: height and width of every input, pixels.
        weights: as messages name what was given.

    Raises:
        EngineError: the data set has no validation split, or other classes.
        DataError: its annotations cannot be used.
    """

    def __init__(self, dataset: DatasetConfig, knows: Backend | Detector, imgsz: tuple[int, int], weights: str) -> None:
        self._split = load_split(dataset, ValOptions(weights), knows)
        self._evaluator = CocoEvaluator(self._split)
        self._imgsz = imgsz

    @property
    def pictures(self) -> int:
        """How many there are."""
        return len(self._split.records)

    def ap(self, network: Network | Backend) -> float:
        """AP in [0, 1]; NaN where there is no object to find."""
        loader = build_loader(self._split, imgsz=max(self._imgsz), batch_size=BATCH, input_hw=self._imgsz)
        return evaluate(network, loader, self._evaluator, device=torch.device("cpu")).metrics.ap
