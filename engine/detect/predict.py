"""Detection on pictures, videos and streams: letterbox, network, suppression, and boxes back on the picture."""

from __future__ import annotations

import difflib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from torch import Tensor

from data.errors import DataError
from data.letterbox import Letterbox
from data.media.sources import Frame, Source, open_source
from engine.backends import Backend, open_backend
from engine.cli.run import INTERRUPTED
from engine.detect.output import DetectionWriter
from engine.detections import Detections
from engine.device import (
    describe_device,
    describe_precision,
    detection_precision,
    memory_format_of,
    select_device,
)
from engine.errors import EngineError
from engine.options import DetectOptions
from engine.postprocess import non_max_suppression
from engine.report.draw import draw_detections

SOME_BROKEN = 1
"""Exit code of a run that had to leave out some of its files."""
_STAGES = ("pre-process", "inference", "NMS")


class Predictor:
    """Finds objects in single pictures.

    Args:
        backend: the network.
        imgsz: network input in pixels: () as the back end says; one number: the long side; two: height and width.
            Rounded up to the back end's stride.
        conf_thres, iou_thres, max_det, classes, agnostic: see `engine.postprocess.non_max_suppression`.

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
        self.imgsz = tuple(-(-size // backend.stride) * backend.stride for size in imgsz or (backend.imgsz,))
        self.seconds = dict.fromkeys(_STAGES, 0.0)
        self.count = 0
        self._conf_thres = conf_thres
        self._iou_thres = iou_thres
        self._max_det = max_det
        self._classes = classes
        self._agnostic = agnostic

    def __call__(self, image: np.ndarray) -> Detections:
        """Detections in a picture (H, W, 3) uint8 BGR, in its own pixels and clipped to it."""
        self.count += 1
        with self._timed("pre-process"):
            letterbox = self._letterbox(image.shape[:2])
            inputs = _to_input(letterbox.apply(image))
        with self._timed("inference"):
            decoded = self.backend(inputs)
        with self._timed("NMS"):
            (found,) = non_max_suppression(
                decoded,
                conf_thres=self._conf_thres,
                iou_thres=self._iou_thres,
                max_det=self._max_det,
                classes=self._classes,
                agnostic=self._agnostic,
            )
            rows = found.cpu().numpy()
        boxes_xyxy = letterbox.boxes_to_image(rows[:, :4])
        # A box that lies in the grey border altogether has nothing to show on the picture.
        inside = (boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1)
        return Detections(boxes_xyxy[inside], rows[inside, 4], rows[inside, 5].astype(np.int64))

    def warm_up(self) -> None:
        """One pass over an empty picture, so that the first real one does not pay for the GPU's start."""
        height, width = self.imgsz if len(self.imgsz) == 2 else self.imgsz * 2
        self.backend(torch.zeros((1, 3, height, width), dtype=torch.uint8))
        self.backend.synchronize()

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


def predict(options: DetectOptions, backend: Backend | None = None) -> int:
    """Runs `detect.py`: detects, reports a line per picture on stdout, and writes what the options ask for.

    Args:
        backend: network to use instead of loading `options.weights`.

    Returns:
        Exit code: 0; 1 if some of several files could not be read; 130 after Ctrl-C, with everything so far written.

    Raises:
        DataError: there is no such source, or its only file cannot be read.
        EngineError: weights, device or a flag cannot be used, or the output cannot be written.
    """
    if options.view_img:
        require_window()
    source = open_source(options.source, vid_stride=options.vid_stride)
    if backend is None:
        device = select_device(options.device)
        dtype = detection_precision(device, half=options.half, bf16=options.bf16, fp32=options.fp32)
        backend = open_backend(options.weights, device=device, dtype=dtype, cfg=options.cfg)
        precision = describe_precision(memory_format_of(device, dtype), dtype)
        print(f"{options.weights}: {len(backend.classes)} classes; {describe_device(device)}; {precision}")
    predictor = Predictor(
        backend,
        imgsz=options.imgsz,
        conf_thres=options.conf_thres,
        iou_thres=options.iou_thres,
        max_det=options.max_det,
        classes=class_indices(options.classes, backend.classes.names),
        agnostic=options.agnostic_nms,
    )
    if options.imgsz and predictor.imgsz != options.imgsz:
        sizes = [" ".join(map(str, size)) for size in (options.imgsz, predictor.imgsz)]
        _warn(f"warning: --imgsz {sizes[0]} is not a multiple of the stride {backend.stride}; {sizes[1]} is used")
    if backend.device.type == "cuda":
        predictor.warm_up()
    return _Run(options, source, predictor).run()


class _Run:
    """One pass over a source."""

    def __init__(self, options: DetectOptions, source: Source, predictor: Predictor) -> None:
        self.options = options
        self.source = source
        self.predictor = predictor
        self.names = predictor.backend.classes.names
        self.broken: set[int] = set()

    def run(self) -> int:
        code = 0
        writer = DetectionWriter(self.options, self.source, self.predictor.backend.classes)
        try:
            with writer:
                for frame in self.source:
                    if not self._handle(frame, writer):
                        break
        except KeyboardInterrupt:
            _warn("interrupted; what was detected so far is kept")
            code = INTERRUPTED
        self._summarise(writer)
        return code or (SOME_BROKEN if self.broken else 0)

    def _handle(self, frame: Frame, writer: DetectionWriter) -> bool:
        """One frame; False to end the run."""
        if frame.error is not None:
            if len(self.source) == 1 and self.predictor.count == 0:
                raise DataError(frame.error)
            self.broken.add(frame.entry)
            _warn(f"error: {frame.error}")
            return True
        before = self.predictor.seconds["inference"]
        detections = self.predictor(frame.image)
        milliseconds = (self.predictor.seconds["inference"] - before) * 1000
        print(f"{self._position(frame)} {frame.path}: {self._counts(detections)}, {milliseconds:.1f}ms", flush=True)
        annotated = frame.image
        if self.options.view_img or not self.options.nosave:
            annotated = self._annotate(frame.image, detections)
        writer.write(frame, detections, annotated)
        return not self.options.view_img or _show(frame, annotated)

    def _position(self, frame: Frame) -> str:
        position = f"{frame.kind} {frame.entry + 1}/{len(self.source)}"
        if frame.kind == "image":
            return position
        total = f"/{frame.frame_count}" if frame.frame_count else ""
        return f"{position} (frame {frame.index + 1}{total})"

    def _counts(self, detections: Detections) -> str:
        if not len(detections):
            return "no detections"
        counts = np.bincount(detections.classes, minlength=len(self.names))
        return ", ".join(f"{count} {name}" for name, count in zip(self.names, counts, strict=True) if count)

    def _annotate(self, image: np.ndarray, detections: Detections) -> np.ndarray:
        classes = detections.classes.tolist()
        labels = None
        if not self.options.hide_labels:
            labels = [self.names[index] for index in classes]
            if not self.options.hide_conf:
                labels = [f"{label} {score:.2f}" for label, score in zip(labels, detections.scores, strict=True)]
        return draw_detections(image, detections.boxes_xyxy, classes, labels, thickness=self.options.line_thickness)

    def _summarise(self, writer: DetectionWriter) -> None:
        count = self.predictor.count
        if count:
            stages = ", ".join(f"{1000 * self.predictor.seconds[stage] / count:.1f} ms {stage}" for stage in _STAGES)
            print(f"per image: {stages}; {count} images at --imgsz {' '.join(map(str, self.predictor.imgsz))}")
        if writer.folder is not None:
            print(f"results in {writer.folder}")
        if self.broken:
            _warn(f"{len(self.broken)} of {len(self.source)} files could not be read; see above")


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
    near = difflib.get_close_matches(text, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"give a name, or an index from 0 to {len(names) - 1}"
    raise EngineError(f"--classes {text}: the weights know no such class; {hint}")


def require_window() -> None:
    """Raises `EngineError` where OpenCV cannot open a window."""
    without = "leave --view-img out and look at the saved pictures"
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise EngineError(f"--view-img: there is no display here; {without}")
    try:
        cv2.namedWindow("detect", cv2.WINDOW_NORMAL)
        cv2.destroyWindow("detect")
    except cv2.error:
        message = (
            f"--view-img: this OpenCV has no windows; {without}, or replace opencv-python-headless by opencv-python"
        )
        raise EngineError(message) from None


def _show(frame: Frame, annotated: np.ndarray) -> bool:
    """Shows a picture until a key is pressed, or a frame for a moment; False after Escape or q."""
    cv2.imshow(frame.path, annotated)
    key = cv2.waitKey(0 if frame.kind == "image" else 1) & 0xFF
    if frame.kind == "image":
        cv2.destroyWindow(frame.path)
    return key not in (27, ord("q"))


def _to_input(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 BGR -> (1, 3, H, W) uint8 RGB, channels last in memory without a copy."""
    return torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))[None].permute(0, 3, 1, 2)


def _warn(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
