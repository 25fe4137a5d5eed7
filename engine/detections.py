"""What was found in one picture, under the names that the package supervision uses for the same things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.errors import EngineError

CLASS_NAME = "class_name"
"""The entry of `Detections.data` in which supervision's annotators look for names."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections in one picture, the highest score first.

    Attributes:
        xyxy: (n, 4) float32 x1, y1, x2, y2, pixels of the picture, inside it.
        confidence: (n,) float32 scores in [0, 1].
        class_id: (n,) int64 class indices.
        tracker_id: (n,) whole numbers that follow an object through a video; None, since nothing tracks here.
        data: further arrays of n entries each, by name; `class_name` holds the names of the classes.

    Raises:
        ValueError: an array has another shape, or no numbers of its kind.
    """

    xyxy: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    tracker_id: np.ndarray | None = None
    data: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.xyxy)
        if self.xyxy.shape != (count, 4) or self.confidence.shape != (count,) or self.class_id.shape != (count,):
            shapes = self.xyxy.shape, self.confidence.shape, self.class_id.shape
            raise ValueError(f"xyxy, confidence and class_id must be (n, 4), (n,) and (n,), got {shapes}")
        if not np.issubdtype(self.class_id.dtype, np.integer):
            raise ValueError(f"class_id must be whole numbers, got {self.class_id.dtype}")
        others = dict(self.data) if self.tracker_id is None else {**self.data, "tracker_id": self.tracker_id}
        for name, values in others.items():
            if len(values) != count:
                raise ValueError(f"{name} must have an entry for each of {count} boxes, got {len(values)}")

    def __len__(self) -> int:
        return len(self.xyxy)

    def to_supervision(self) -> Any:
        """The same as a `supervision.Detections`, for that package's annotators, trackers and counters.

        Raises:
            EngineError: the package is not installed.
        """
        try:
            import supervision
        except ImportError:
            raise EngineError("the package supervision is not installed; run: pip install supervision") from None
        return supervision.Detections(
            xyxy=self.xyxy,
            confidence=self.confidence,
            class_id=self.class_id,
            tracker_id=self.tracker_id,
            data=dict(self.data),
        )
