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


class Accuracy:
    """AP, as val.py measures it, of networks with the same classes. A detector runs on the CPU, a back end where it is.

    Args:
        dataset: where the split of `options.task` is.
        knows: whose classes are to be found.
        imgsz: height and width of every input, pixels.
        options: what else val.py goes by, and the weights as messages name them.

    Raises:
        EngineError: the data set has no such split, or other classes.
        DataError: its annotations cannot be used.
    """

    def __init__(
        self, dataset: DatasetConfig, knows: Backend | Detector, imgsz: tuple[int, int], options: ValOptions
    ) -> None:
        self._split = load_split(dataset, options, knows)
        self._evaluator = CocoEvaluator(self._split)
        self._imgsz, self._options = imgsz, options

    @property
    def pictures(self) -> int:
        """How many there are."""
        return len(self._split.records)

    def ap(self, network: Network | Backend) -> float:
        """AP in [0, 1]; NaN where there is no object to find."""
        options = self._options
        loader = build_loader(
            self._split,
            imgsz=max(self._imgsz),
            batch_size=options.batch_size,
            workers=options.workers,
            strict=options.strict,
            input_hw=self._imgsz,
        )
        result = evaluate(
            network,
            loader,
            self._evaluator,
            device=network.device if isinstance(network, Backend) else torch.device("cpu"),
            conf_thres=options.conf_thres,
            iou_thres=options.iou_thres,
            max_det=options.max_det,
        )
        return result.metrics.ap
