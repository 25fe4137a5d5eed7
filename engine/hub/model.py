"""A detector that takes pictures of all kinds, with thresholds as attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from engine.backends import Backend
from engine.detect.predict import FrameDetections
from engine.detect.predictor import Predictor, class_indices
from engine.device import select_device
from engine.hub.pictures import frames_of
from engine.hub.results import Results

Opener = Callable[[torch.device], Backend]


class HubModel:
    """What `torch.hub.load` returns. It detects as `detect.py` does: the same letterbox, thresholds and boxes.

    Args:
        opener: makes the network on a device.
        device: the first one.

    Attributes:
        conf: a score must be above it, [0, 1].
        iou: a box that overlaps a better one of its class by more is dropped, [0, 1].
        classes: indices or names of the classes to keep; None for all.
        max_det: most detections of a picture.
        agnostic: whether boxes of different classes suppress each other.
        backend: the network.
    """

    def __init__(self, opener: Opener, device: torch.device) -> None:
        self.conf = 0.25
        self.iou = 0.45
        self.classes: Sequence[int | str] | int | str | None = None
        self.max_det = 1000
        self.agnostic = False
        self._opener = opener
        self.backend = opener(device)

    @property
    def names(self) -> dict[int, str]:
        """Names of the classes by index."""
        return dict(enumerate(self.backend.classes.names))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.backend.device

    def __call__(self, images: Any, size: int | Sequence[int] = ()) -> Results:
        """Detects.

        Args:
            images: see `engine.hub.pictures.frames_of`.
            size: of the network input, pixels: long side, or height and width; () is what it was trained at.

        Raises:
            InputError: a picture, a class or a size cannot be used.
            ValueError: a threshold outside [0, 1].
        """
        predictor = Predictor(
            self.backend,
            imgsz=(size,) if isinstance(size, int) else tuple(size),
            conf_thres=self.conf,
            iou_thres=self.iou,
            max_det=self.max_det,
            classes=class_indices(self._wanted(), self.backend.classes.names),
            agnostic=self.agnostic,
        )
        found = []
        for frame in frames_of(images):
            before = predictor.seconds["inference"]
            one = predictor(frame.image)
            milliseconds = 1000 * (predictor.seconds["inference"] - before)
            arrays = one.xyxy, one.confidence, one.class_id
            found.append(FrameDetections(*arrays, data=one.data, frame=frame, inference_ms=milliseconds))
        speed = {stage: 1000 * seconds / max(predictor.count, 1) for stage, seconds in predictor.seconds.items()}
        return Results(found, self.backend.classes, speed)

    def to(self, device: torch.device | str | int) -> HubModel:
        """Opens the network anew on another device; returns itself."""
        self.backend = self._opener(select_device(str(device)))
        return self

    def cpu(self) -> HubModel:
        """`to("cpu")`."""
        return self.to("cpu")

    def cuda(self, device: int = 0) -> HubModel:
        """`to` a GPU."""
        return self.to(device)

    def eval(self) -> HubModel:
        """Itself: it only detects."""
        return self

    def _wanted(self) -> list[str]:
        if self.classes is None:
            return []
        return [str(self.classes)] if isinstance(self.classes, int | str) else [str(each) for each in self.classes]
