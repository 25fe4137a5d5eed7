"""The network on single pictures: letterbox, network, suppression, and boxes back on the picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from torch import Tensor

from data.letterbox import Letterbox
from engine.backends import Backend
from engine.detections import CLASS_NAME, Detections
from engine.errors import EngineError
from engine.input_size import check_fixed_size, fit_to_stride
from engine.postprocess import select_boxes
from files.hints import did_you_mean

STAGES = ("pre-process", "inference", "NMS")


class Predictor:
    """Finds objects in single pictures.

    Args:
        backend: the network.
        imgsz: network input in pixels: () as the back end says; one number: the long side; two: height and width.
            Rounded up to the back end's stride; the log says so. Of a back end with a fixed size, that one.
        conf_thres, iou_thres, max_det, classes, agnostic: see `engine.postprocess.select_boxes`.

    Attributes:
        imgsz: after rounding, one or two numbers.
        seconds: time spent so far on 'pre-process', 'inference' and 'NMS'.
        count: pictures so far.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        imgsz: Sequence[int] = (),
        conf_thres: float = 0.25,
        iou_thres: float = 0.45,
        max_det: int = 1000,
        classes: Sequence[int] | None = None,
        agnostic: bool = False,
    ) -> None:
        self.backend = backend
        self.imgsz = self._input_size(imgsz)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.count = 0
        self._conf_thres = conf_thres
        self._iou_thres = iou_thres
        self._max_det = max_det
        self._classes = classes
        self._agnostic = agnostic
        self._class_names = np.array(backend.classes.names)  # (nc,)

    def __call__(self, image: np.ndarray) -> Detections:
        """Detections in a picture (H, W, 3) uint8 BGR, in its own pixels and clipped to it."""
        self.count += 1
        with self._timed("pre-process"):
            letterbox = self._letterbox(image.shape[:2])
            inputs = _to_input(letterbox.apply(image))
        with self._timed("inference"):
            predictions = self.backend(inputs)
        with self._timed("NMS"):
            (found,) = select_boxes(
                predictions,
                needs_suppression=self.backend.needs_suppression,
                conf_thres=self._conf_thres,
                iou_thres=self._iou_thres,
                max_det=self._max_det,
                classes=self._classes,
                agnostic=self._agnostic,
            )
            rows = found.cpu().numpy()
        rows = letterbox.detections_to_image(rows)  # (n, 6)
        class_id = rows[:, 5].astype(np.int64)
        data = {CLASS_NAME: self._class_names[class_id]}
        return Detections(rows[:, :4].copy(), rows[:, 4].copy(), class_id, data=data)

    def warm_up(self) -> None:
        """One pass over an empty picture, so that the first real one does not pay for the GPU's start."""
        height, width = self.imgsz if len(self.imgsz) == 2 else self.imgsz * 2
        self.backend(torch.zeros((1, 3, height, width), dtype=torch.uint8))
        self.backend.synchronize()

    def _input_size(self, imgsz: Sequence[int]) -> tuple[int, ...]:
        fixed = self.backend.fixed_hw
        if fixed is None:
            return fit_to_stride(imgsz or (self.backend.imgsz,), self.backend.stride)
        check_fixed_size(imgsz, fixed, self.backend.weights)
        return fixed

    def _letterbox(self, image_hw: tuple[int, int]) -> Letterbox:
        if len(self.imgsz) == 2:
            return Letterbox.fit(image_hw, (self.imgsz[0], self.imgsz[1]))
        return Letterbox.rectangle(image_hw, self.imgsz[0], self.backend.stride)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.backend.synchronize()
        self.seconds[stage] += time.perf_counter() - start


def class_indices(wanted: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """The indices of classes given by index or name; None for none given.

    Raises:
        EngineError: no such class; the message suggests the nearest name.
    """
    return [_class_index(text, names) for text in wanted] or None


def _class_index(text: str, names: Sequence[str]) -> int:
    if text in names:
        return list(names).index(text)
    if text.isascii() and text.isdecimal() and int(text) < len(names):
        return int(text)
    hint = did_you_mean(text, names, f"give a name, or an index from 0 to {len(names) - 1}")
    raise EngineError(f"--classes {text}: the weights know no such class; {hint}")


def _to_input(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 BGR -> (1, 3, H, W) uint8 RGB, channels last in memory without a copy."""
    return torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))[None].permute(0, 3, 1, 2)
