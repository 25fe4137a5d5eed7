"""What was found in one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Detections in one picture, the highest score first.

    Attributes:
        boxes_xyxy: (n, 4) float32, pixels of the picture, inside it.
        scores: (n,) float32 in [0, 1].
        classes: (n,) int64 class indices.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.boxes_xyxy)
        if self.boxes_xyxy.shape != (count, 4) or self.scores.shape != (count,) or self.classes.shape != (count,):
            shapes = self.boxes_xyxy.shape, self.scores.shape, self.classes.shape
            raise ValueError(f"boxes_xyxy, scores and classes must be (n, 4), (n,) and (n,), got {shapes}")

    def __len__(self) -> int:
        return len(self.boxes_xyxy)
