"""Detection in everything that a source holds: pictures, videos and streams, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from data.config import load_dataset_config
from data.errors import DataError
from data.media.sources import NO_IMAGE, Frame, Source, open_source
from engine.backends import Backend, open_backend, require_precision
from engine.class_names import name_classes
from engine.detect.predictor import STAGES, Predictor, class_indices
from engine.detections import CLASS_NAME, Detections
from engine.device import detection_precision, select_device
from engine.faults import fault_line
from engine.options import DetectOptions
from files.errors import InputError
from models.budget import model_budget


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameDetections(Detections):
    """Detections in one picture of a source, or in one frame of its videos and streams.

    Attributes:
        frame: the picture itself, where it comes from, and its number in a video.
        inference_ms: how long the network took, milliseconds.
    """

    frame: Frame
    inference_ms: float

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 BGR; (0, 0, 3) where `error` is set."""
        return self.frame.image

    @property
    def path(self) -> str:
        """Path, or address without password, or webcam number."""
        return self.frame.path

    @property
    def error(self) -> str | None:
        """One line that says why a file cannot be read (further); there are no detections then. None for good ones."""
        return self.frame.error


class Prediction(Iterator[FrameDetections]):
    """What `predict` returns: looks at the next picture whenever it is asked for the next item.

    Attributes:
        source: the pictures.
        predictor: the network, with the time that it took so far.
    """

    def __init__(self, source: Source, predictor: Predictor) -> None:
        self.source = source
        self.predictor = predictor
        self._items = self._detect()

    def __next__(self) -> FrameDetections:
        return next(self._items)

    @property
    def speed_ms(self) -> dict[str, float]:
        """Mean milliseconds per picture so far, by stage; {} before the first."""
        count = self.predictor.count
        return {stage: 1000 * self.predictor.seconds[stage] / count for stage in STAGES} if count else {}

    def _detect(self) -> Iterator[FrameDetections]:
        given_up: set[int] = set()
        for frame in self.source:
            if frame.error is not None:
                if len(self.source) == 1 and self.predictor.count == 0:
                    raise DataError(frame.error)
                yield _broken(frame)
                continue
            if frame.entry in given_up:
                continue
            before = self.predictor.seconds["inference"]
            try:
                found = self.predictor(frame.image)
            except Exception as error:
                given_up.add(frame.entry)
                yield _broken(replace(frame, image=NO_IMAGE, error=_why_given_up(frame, error)))
                continue
            milliseconds = 1000 * (self.predictor.seconds["inference"] - before)
            yield FrameDetections(
                found.xyxy,
                found.confidence,
                found.class_id,
                data=found.data,
                frame=frame,
                inference_ms=milliseconds,
            )


def predict(options: DetectOptions, backend: Backend | None = None) -> Prediction:
    """Finds objects in a source.

    Weights and source are opened now, pictures are read and looked at one by one, while the result is iterated. Options
    of what is written and shown (`save_*`, `view_img`, `project`, ...) mean nothing here: `detect.py` follows them.

    Args:
        backend: network to use instead of loading `options.weights`.

    Returns:
        An iterator of `Detections`, each with its picture. A broken file among others gives an item with `error` set.

    Raises:
        DataError: there is no such source; while iterating: its only file cannot be read.
        EngineError, WeightsError, ConfigError: weights, device or an option cannot be used.
    """
    source = open_source(options.source, vid_stride=options.vid_stride, max_pixels=options.max_pixels)
    if backend is None:
        device = select_device(options.device)
        dtype = detection_precision(device, half=options.half, bf16=options.bf16, fp32=options.fp32)
        with model_budget(options.model_budget):
            backend = open_backend(options.weights, device=device, dtype=dtype, cfg=options.cfg)
        require_precision(backend, half=options.half, bf16=options.bf16)
        if options.data and not backend.is_named:
            name_classes(backend, load_dataset_config(options.data))
    predictor = Predictor(
        backend,
        imgsz=options.imgsz,
        conf_thres=options.conf_thres,
        iou_thres=options.iou_thres,
        max_det=options.max_det,
        classes=class_indices(options.classes, backend.classes.names),
        agnostic=options.agnostic_nms,
    )
    if backend.device.type == "cuda":
        predictor.warm_up()
    return Prediction(source, predictor)


def _why_given_up(frame: Frame, error: Exception) -> str:
    """One line for a picture that the machine cannot look at; an error of another kind is a defect and is raised."""
    if isinstance(error, InputError):
        return f"{frame.path}: {error}"
    if not isinstance(error, cv2.error) and fault_line(error) is None:
        raise error
    height, width = frame.image.shape[:2]
    why = str(error) if isinstance(error, cv2.error) else "no memory is left for it; use a smaller --imgsz"
    return f"{frame.path}: the picture of {width}x{height} px cannot be looked at: {' '.join(why.split())}"


def _broken(frame: Frame) -> FrameDetections:
    nothing = np.zeros(0, np.float32)
    data = {CLASS_NAME: nothing.astype(str)}
    return FrameDetections(
        nothing.reshape(0, 4), nothing, nothing.astype(np.int64), data=data, frame=frame, inference_ms=0.0
    )
