"""What a hub model found: as tensors, tables, pictures, files, and text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageShow
from torch import Tensor

from data.media.entries import Entry
from data.media.sources import Source
from engine.detect.output import DetectionWriter, cut_out
from engine.detect.predict import FrameDetections
from engine.errors import EngineError
from engine.options import DetectOptions
from engine.packages import import_package
from engine.report.draw import draw_detections
from files.classes import Classes
from files.printable import printable
from files.words import count

log = logging.getLogger(__name__)

RUN = "runs/detect/exp"
"""Folder that files go to; numbered where it exists, as with `detect.py`."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_CENTRES = ("xcenter", "ycenter", "width", "height")
_REST = ("confidence", "class", "name")


class Tables(NamedTuple):
    """A `pandas.DataFrame` for each picture, in four forms; columns as `Results` says, then `name`."""

    xyxy: list[Any]
    xyxyn: list[Any]
    xywh: list[Any]
    xywhn: list[Any]


class Results(Sequence[FrameDetections]):
    """Detections in several pictures, in their order; `results[0]` are those of the first one.

    Args:
        found: of each picture.
        classes: names of the classes.
        speed_ms: mean milliseconds per picture, by stage.

    Attributes:
        names: of the classes, by index.
        files: path or address of each picture; `image0.jpg`, ... for those that have none.
    """

    def __init__(self, found: Sequence[FrameDetections], classes: Classes, speed_ms: Mapping[str, float]) -> None:
        self._found = list(found)
        self._classes = classes
        self.speed_ms = dict(speed_ms)
        self.names = dict(enumerate(classes.names))
        self.files = [each.path for each in found]

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def __iter__(self) -> Iterator[FrameDetections]:
        return iter(self._found)

    @property
    def ims(self) -> list[np.ndarray]:
        """The pictures, `(H, W, 3)` uint8 RGB each."""
        return [_rgb(each.image) for each in self._found]

    @property
    def xyxy(self) -> list[Tensor]:
        """`(n, 6)` float32 for each picture: x1, y1, x2, y2 in its pixels, score, class index; best score first."""
        return [_rows(each, _same) for each in self._found]

    pred = xyxy

    @property
    def xyxyn(self) -> list[Tensor]:
        """As `xyxy`, in shares of the picture's width and height."""
        return [_rows(each, _same, normalised=True) for each in self._found]

    @property
    def xywh(self) -> list[Tensor]:
        """As `xyxy`, but centre x, centre y, width, height."""
        return [_rows(each, _to_cxcywh) for each in self._found]

    @property
    def xywhn(self) -> list[Tensor]:
        """As `xywh`, in shares of the picture's width and height."""
        return [_rows(each, _to_cxcywh, normalised=True) for each in self._found]

    def pandas(self) -> Tables:
        """As tables.

        Raises:
            EngineError: the package pandas is not installed.
        """
        pandas = import_package("pandas", "pandas", "results.pandas()")

        def tables(parts: list[Tensor], columns: Sequence[str]) -> list[Any]:
            return [self._table(pandas, rows, columns) for rows in parts]

        return Tables(
            tables(self.xyxy, _CORNERS),
            tables(self.xyxyn, _CORNERS),
            tables(self.xywh, _CENTRES),
            tables(self.xywhn, _CENTRES),
        )

    def _table(self, pandas: Any, rows: Tensor, columns: Sequence[str]) -> Any:
        table = pandas.DataFrame(rows.numpy(), columns=[*columns, *_REST[:2]]).astype({"class": int})
        return table.assign(name=[self.names[index] for index in table["class"]])

    def to_supervision(self) -> list[Any]:
        """A `supervision.Detections` for each picture.

        Raises:
            EngineError: the package supervision is not installed.
        """
        return [each.to_supervision() for each in self._found]

    def render(self, labels: bool = True) -> list[np.ndarray]:
        """The pictures with their boxes drawn, `(H, W, 3)` uint8 RGB each."""
        return [_rgb(_drawn(each, labels)) for each in self._found]

    def show(self, labels: bool = True) -> None:
        """Shows the pictures in the system's viewer, or in the notebook.

        Raises:
            EngineError: there is neither.
        """
        for picture, name in zip(self.render(labels), self.files, strict=True):
            _show(Image.fromarray(picture), name)

    def save(self, labels: bool = True, save_dir: str | Path = RUN, exist_ok: bool = False) -> Path | None:
        """Writes the pictures with their boxes drawn; the folder, None without pictures.

        Raises:
            InputError: the folder or a file cannot be written.
        """
        return self._write(save_dir, exist_ok, labels=labels)

    def crop(self, save: bool = True, save_dir: str | Path = RUN, exist_ok: bool = False) -> list[dict[str, Any]]:
        """What was found, cut out; with `save` also as files, `crops/<class>/*.jpg`.

        Returns:
            For each detection its `box` (4 numbers, xyxy), `conf`, `cls` (index), `label` and `im` `(h, w, 3)` RGB.

        Raises:
            InputError: the folder or a file cannot be written.
        """
        if save:
            self._write(save_dir, exist_ok, labels=None)
        return [
            {
                "box": box.tolist(),
                "conf": float(score),
                "cls": int(index),
                "label": self.names[int(index)],
                "im": _rgb(cut_out(each.image, box)),
            }
            for each in self._found
            for box, score, index in zip(each.xyxy, each.confidence, each.class_id, strict=True)
        ]

    def print(self) -> None:
        """Prints `str(results)`."""
        print("\n".join(map(printable, self._lines())))

    def __str__(self) -> str:
        """A line for each picture, and one of the time."""
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        lines = [f"image {number}/{len(self)}: {_described(each)}" for number, each in enumerate(self._found, 1)]
        stages = ", ".join(f"{milliseconds:.1f} ms {stage}" for stage, milliseconds in self.speed_ms.items())
        return [*lines, f"per image: {stages}; {count(len(self), 'image')}"]

    def _write(self, save_dir: str | Path, exist_ok: bool, *, labels: bool | None) -> Path | None:
        """Pictures with boxes; with `labels` None what is cut out instead."""
        folder, crops = Path(save_dir), labels is None
        places = {"project": str(folder.parent), "name": folder.name, "exist_ok": exist_ok}
        options = DetectOptions("hub", "hub", **places, nosave=crops, save_crop=crops)  # type: ignore[arg-type]
        source = Source(tuple(Entry("image", path) for path in self.files))
        with DetectionWriter(options, source, self._classes) as writer:
            for each in self._found:
                writer.write(each.frame, each, each.image if crops else _drawn(each, bool(labels)))
        lost = []
        for remark in writer.take_remarks():
            lost += [remark.text] if remark.lost else []
            log.warning("%s", remark.text)
        if lost:
            raise EngineError(lost[0])
        return writer.folder


Change = Callable[[np.ndarray], np.ndarray]


def _same(boxes_xyxy: np.ndarray) -> np.ndarray:
    return boxes_xyxy


def _to_cxcywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]  # (n, 2) each
    return np.concatenate(((low + high) / 2, high - low), axis=1)  # (n, 4)


def _rows(found: FrameDetections, change: Change, normalised: bool = False) -> Tensor:
    boxes = change(found.xyxy.astype(np.float64))  # (n, 4)
    if normalised:
        boxes = boxes / np.tile(found.image.shape[1::-1], 2)
    rest = np.stack((found.confidence, found.class_id), axis=1)  # (n, 2)
    return torch.from_numpy(np.concatenate((boxes, rest), axis=1)).float()  # (n, 6)


def _rgb(bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bgr[..., ::-1])


def _drawn(found: FrameDetections, labels: bool) -> np.ndarray:
    """`(H, W, 3)` BGR."""
    names = found.data["class_name"].tolist()
    texts = [f"{name} {score:.2f}" for name, score in zip(names, found.confidence, strict=True)] if labels else None
    return draw_detections(found.image, found.xyxy, found.class_id.tolist(), texts)


def _described(found: FrameDetections) -> str:
    height, width = found.image.shape[:2]
    names: list[str] = found.data["class_name"].tolist()
    counts = [f"{names.count(name)} {name}" for name in sorted(set(names))]
    return f"{found.path}: {height}x{width} {', '.join(counts) or 'no detections'}"


def _show(picture: Image.Image, title: str) -> None:
    if not ImageShow.show(picture, printable(title)):
        raise EngineError(f"{title}: no program that shows pictures is here; use save()")
