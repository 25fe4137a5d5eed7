"""What back ends of exported files share: finding them, inputs as arrays, fixed batches, outputs as predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.backends.base import Backend
from engine.backends.layouts import finished_predictions
from engine.backends.metadata import Metadata
from engine.errors import EngineError
from models.heads.base import Predictions


class ExportedBackend(Backend):
    """A file of `export.py`. A subclass opens it, hands its metadata to `describe`, and runs arrays through it.

    Attributes:
        metadata: what the file says of itself.
        fixed_batch: pictures of a call, where no other number is taken.
    """

    metadata: Metadata
    fixed_batch: int | None = None
    takes_precision = False

    def describe(self, metadata: Metadata) -> None:
        """Sets what the metadata say: classes, sizes, suppression."""
        self.metadata = metadata
        self.classes = metadata.classes
        self.imgsz = max(metadata.imgsz)
        self.stride = metadata.stride
        self.needs_suppression = metadata.needs_suppression
        self.fixed_hw = None if metadata.dynamic else metadata.imgsz
        self.fixed_batch = None if metadata.dynamic else metadata.batch
        self.remarks = () if not metadata.finished else (_suppressed(metadata),)

    @abstractmethod
    def run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        """Runs the file.

        Args:
            images: `(B, 3, H, W)` float32 RGB in [0, 1], contiguous; B as `fixed_batch` says.

        Returns:
            Boxes `(B, N, 4)` and scores `(B, N, nc)`; of a file that suppresses itself boxes `(B, n, 4)`, scores and
            classes `(B, n)`, score 0 where there is nothing.
        """

    def predictions(self, outputs: Sequence[np.ndarray]) -> Predictions:
        """What `run` gave, as predictions."""
        if self.metadata.finished:
            boxes, scores, labels = outputs
            return finished_predictions(boxes, scores, labels, len(self.classes))
        boxes, scores = outputs
        return Predictions(torch.from_numpy(boxes).float(), torch.from_numpy(scores).float())

    def __call__(self, images: Tensor) -> Predictions:
        array = np.ascontiguousarray(self.prepare(images).cpu().numpy())  # (B, 3, H, W)
        size = self.fixed_batch or len(array)
        parts = [self.predictions(self.run(_padded(array[at : at + size], size))) for at in range(0, len(array), size)]
        boxes, scores = (torch.cat(tensors)[: len(array)] for tensors in zip(*parts, strict=True))
        return Predictions(boxes, scores)


def network_file(weights: Path, ending: str) -> Path:
    """The file of a network whose tensors lie beside it in a `.bin`: `weights` itself, or the one in that folder.

    Args:
        ending: of the network's file, with the dot.

    Raises:
        EngineError: there are several in the folder, or its tensors are missing.
    """
    if weights.is_dir():
        files = sorted(weights.glob(f"*{ending}"))
        if len(files) > 1:
            raise EngineError(f"{weights}: holds several networks ({files[0].name}, {files[1].name}); name one")
        (weights,) = files
    tensors = weights.with_suffix(".bin")
    if not tensors.is_file():
        raise EngineError(f"{tensors}: is missing, and holds the weights of {weights.name}; export it again")
    return weights


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """The batch with empty pictures up to `size`."""
    missing = size - len(array)
    return array if not missing else np.concatenate((array, np.zeros((missing, *array.shape[1:]), array.dtype)))


def _suppressed(metadata: Metadata) -> str:
    return (
        f"the file suppresses itself (confidence {metadata.conf_thres}, IoU {metadata.iou_thres}, {metadata.max_det} "
        "detections): AP counts what it lets through"
    )
