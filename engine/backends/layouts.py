"""What outputs of a detector's file mean, where it does not say so itself: told by their shapes.

    boxes, scores               (B, N, 4), (B, N, nc)            xyxy; this project's
    boxes, scores, classes      (B, n, 4), (B, n), (B, n)        xyxy, suppressed; this project's with --nms
    YOLOv5's                    (B, N, 5 + nc)                   rows of cx, cy, w, h, objectness, classes
    ultralytics'                (B, 4 + nc, N)                   columns of cx, cy, w, h, classes
    ultralytics' end to end     (B, n, 6)                        xyxy, score, class; suppressed
    num, boxes, scores, classes (B, 1), (B, n, 4), (B, n) twice  xyxy, suppressed; TensorRT's EfficientNMS

All boxes are in pixels of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from models.heads.base import Predictions

Shape = tuple[int, ...]

_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
_ANCHORS = 3


@dataclass(frozen=True)
class Layout:
    """How outputs become predictions.

    Attributes:
        name: in words.
        num_classes: as the outputs have it; None where they do not tell.
        needs_suppression: whether several boxes may stand for one object.
        read: outputs and number of classes to predictions.
    """

    name: str
    num_classes: int | None
    needs_suppression: bool
    read: Callable[[Sequence[np.ndarray], int], Predictions]


def recognise(names: Sequence[str], shapes: Sequence[Shape], known: int | None, hw: tuple[int, int]) -> Layout | None:
    """The layout of outputs; None where they are not those of a detector.

    Args:
        names: of the outputs.
        shapes: of the outputs for one picture.
        known: number of classes, where the file names them.
        hw: height and width of that picture, pixels.
    """
    return _of_several(names, shapes, known) or _of_one(shapes, known, hw)


def _of_several(names: Sequence[str], shapes: Sequence[Shape], known: int | None) -> Layout | None:
    boxes = [at for at, shape in enumerate(shapes) if len(shape) == 3 and shape[2] == 4]
    if len(boxes) != 1 or len(shapes) not in (2, 3, 4):
        return None
    count = shapes[boxes[0]][1]
    rest = [at for at in range(len(shapes)) if at != boxes[0]]
    if len(shapes) == 2 and len(shapes[rest[0]]) == 3 and shapes[rest[0]][1] == count:
        classes = shapes[rest[0]][2]
        fits = known in (None, classes)
        return Layout("boxes and scores", classes, True, _cells(boxes[0], rest[0])) if fits else None
    flat = [at for at in rest if shapes[at][-1:] == (count,) and len(shapes[at]) == 2]
    numbers = [at for at in rest if at not in flat]
    if count == 1:  # then the number of detections looks as scores and classes do
        numbers = [at for at in rest if "num" in names[at].lower()]
        flat = [at for at in rest if at not in numbers]
    if len(flat) != 2 or len(numbers) > 1:
        return None
    labels = next((at for at in flat if any(word in names[at].lower() for word in ("class", "label"))), flat[1])
    scores = flat[0] if labels == flat[1] else flat[1]
    read = _detections(boxes[0], scores, labels, numbers[0] if numbers else None)
    return Layout("suppressed boxes, scores, classes", None, False, read)


def _of_one(shapes: Sequence[Shape], known: int | None, hw: tuple[int, int]) -> Layout | None:
    if not shapes or len(shapes[0]) != 3:
        return None
    _, rows, columns = shapes[0]
    is_table = rows >= columns if known is None else columns in (6, 5 + known)
    if columns == 6 and is_table and not (known in (None, 1) and rows in _cell_counts(hw)):
        return Layout("end to end, (B, n, 6)", None, False, _end_to_end)
    if is_table and columns > 5 and known in (None, columns - 5):
        return Layout("YOLOv5's, (B, N, 5 + nc)", columns - 5, True, _yolov5)
    if rows > 4 and known in (None, rows - 4):
        return Layout("ultralytics', (B, 4 + nc, N)", rows - 4, True, _ultralytics)
    return None


def _cell_counts(hw: tuple[int, int]) -> set[int]:
    """How many rows a table of YOLOv5 may have."""
    return {_ANCHORS * sum((hw[0] // s) * (hw[1] // s) for s in strides) for strides in _STRIDES}


def _cells(boxes: int, scores: int) -> Callable[[Sequence[np.ndarray], int], Predictions]:
    return lambda outputs, _: Predictions(_tensor(outputs[boxes]), _tensor(outputs[scores]))


def _detections(
    boxes: int, scores: int, labels: int, numbers: int | None
) -> Callable[[Sequence[np.ndarray], int], Predictions]:
    def read(outputs: Sequence[np.ndarray], num_classes: int) -> Predictions:
        values = outputs[scores]
        if numbers is not None:  # what comes after them is nothing
            places = np.arange(values.shape[1])[None]  # (1, n)
            values = np.where(places < outputs[numbers].reshape(-1, 1), values, 0)
        return finished_predictions(outputs[boxes], values, outputs[labels], num_classes)

    return read


def _end_to_end(outputs: Sequence[np.ndarray], num_classes: int) -> Predictions:
    table = outputs[0]  # (B, n, 6)
    return finished_predictions(table[..., :4], table[..., 4], table[..., 5], num_classes)


def _yolov5(outputs: Sequence[np.ndarray], _: int) -> Predictions:
    table = _tensor(outputs[0])  # (B, N, 5 + nc)
    return Predictions(box_convert(table[..., :4], "cxcywh", "xyxy"), table[..., 5:] * table[..., 4:5])


def _ultralytics(outputs: Sequence[np.ndarray], _: int) -> Predictions:
    table = _tensor(outputs[0]).transpose(1, 2)  # (B, N, 4 + nc)
    return Predictions(box_convert(table[..., :4], "cxcywh", "xyxy"), table[..., 4:])


def finished_predictions(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, num_classes: int) -> Predictions:
    """Detections as predictions that need no suppression: each scores for its class alone.

    Args:
        boxes: `(B, n, 4)` xyxy, pixels of the input.
        scores: `(B, n)` in [0, 1]; 0 where there is nothing.
        classes: `(B, n)` class indices; those that are none score nothing.
    """
    labels = torch.from_numpy(np.ascontiguousarray(classes)).long()  # (B, n)
    known = (labels >= 0) & (labels < num_classes)
    spread = torch.zeros((*labels.shape, num_classes))  # (B, n, nc)
    spread.scatter_(2, labels.clamp(0, num_classes - 1)[..., None], (_tensor(scores) * known)[..., None])
    return Predictions(_tensor(boxes), spread)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float()
