"""What a detection run leaves behind: annotated pictures and videos, label files, crops and a COCO-results list.

Everything is written to a temporary name first, so that what an earlier run wrote stays whole until it is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from data.media.sources import Frame, Source
from data.media.write import WRITABLE_SUFFIXES, write_picture
from engine.detect.names import UniqueNames, file_names, numeric_ids, output_stems
from engine.detect.video import VideoFile
from engine.detections import Detections
from engine.options import DetectOptions
from engine.runs import reserve_run_dir
from files.atomic import make_folder, write_json, write_text
from files.classes import Classes
from files.errors import InputError
from files.faults import OutputError
from files.names import fitting_name, safe_name


class Remark(NamedTuple):
    """What is to be said of an output.

    Attributes:
        entry: number of the source's entry that it belongs to.
        text: one line that names the file.
        lost: the output is not there, else it is another one than was asked for.
    """

    entry: int
    text: str
    lost: bool


class DetectionWriter:
    """Writes what the options ask for.

    A context manager: on leaving, videos and the results list are finished, however the work ended. An output that its
    format cannot hold is a remark, and the others go on; a disk that takes no more is an error.

    Attributes:
        folder: the run's folder; None until the first picture comes.
    """

    def __init__(self, options: DetectOptions, source: Source, classes: Classes) -> None:
        self.folder: Path | None = None
        self._options = options
        self._held = ExitStack()
        self._make_folder: Callable[[], Path] | None = None
        self._classes = classes
        self._stems = output_stems(source.entries)
        self._file_names = file_names(source.entries)
        self._numeric_ids = numeric_ids(source.entries)
        self._pictures = 0
        self._crop_names: dict[str, UniqueNames] = {}
        self._videos: dict[int, VideoFile | None] = {}  # None: cannot be written
        self._remarks: list[Remark] = []
        self._results: list[dict[str, Any]] = []

    def __enter__(self) -> DetectionWriter:
        if self._options.saves:
            self._make_folder = self._reserve()
        return self

    def _reserve(self) -> Callable[[], Path]:
        options = self._options
        return reserve_run_dir(options.project, options.name, options.exist_ok, self._held)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:  # other runs are kept out until all is written
            fault = self._finish()
        if fault is not None and kind is None:
            raise fault

    def _finish(self) -> OutputError | None:
        """Finishes what was begun, all of it; the first fault of the disk."""
        fault = self._finish_videos()
        if self._options.save_json and self.folder is not None:
            try:
                write_json(self.folder / "predictions.json", self._results)
            except OutputError as error:
                fault = fault or error
        return fault

    def take_remarks(self) -> list[Remark]:
        """What is to be said since the last time."""
        taken, self._remarks = self._remarks, []
        return taken

    def write(self, frame: Frame, detections: Detections, annotated: np.ndarray) -> None:
        """One picture or frame: as it came in `frame`, and with its boxes drawn.

        Raises:
            EngineError, OutputError: the folder or a file cannot be written.
        """
        if not self._options.saves:
            return
        if self.folder is None:
            self.folder = (self._make_folder or self._reserve())()
        self._pictures += 1
        # A picture has its own name. A frame has its video's name and its number, from 1.
        tail = "" if frame.kind == "image" else f"_{frame.index + 1}"
        if self._options.save_json:
            self._results += self._coco_results(frame, detections)
        if self._options.save_txt:
            with self._remarked(frame.entry):
                self._write_labels(self.folder / "labels", tail, frame, detections)
        if self._options.save_crop and len(detections):
            with self._remarked(frame.entry):
                self._write_crops(self.folder / "crops", tail, frame, detections)
        if not self._options.nosave:
            with self._remarked(frame.entry):
                self._write_annotated(self.folder, frame, annotated)

    @contextmanager
    def _remarked(self, entry: int) -> Iterator[None]:
        """What cannot be written for a reason of its own becomes a remark; a fault of the disk is raised."""
        try:
            yield
        except InputError as error:
            if isinstance(error, OutputError) and not error.is_about_its_name:
                raise
            self._remarks.append(Remark(entry, str(error), lost=True))

    def _write_labels(self, folder: Path, tail: str, frame: Frame, detections: Detections) -> None:
        make_folder(folder)
        path = folder / fitting_name(folder, self._stems[frame.entry], f"{tail}.txt")
        if not len(detections):
            path.unlink(missing_ok=True)  # of an earlier run into the same folder
            return
        size = np.tile(frame.image.shape[1::-1], 2)
        boxes = detections.xyxy.astype(np.float64)
        cxcywh = np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), axis=1) / size
        lines = []
        for index, box, score in zip(detections.class_id, cxcywh, detections.confidence, strict=True):
            values = [*box, score] if self._options.save_conf else box
            lines.append(" ".join([str(index), *(f"{value:.6g}" for value in values)]))
        write_text(path, "\n".join(lines) + "\n")

    def _write_crops(self, folder: Path, tail: str, frame: Frame, detections: Detections) -> None:
        make_folder(folder)
        name = f"{self._stems[frame.entry]}{tail}"
        for index, box in zip(detections.class_id.tolist(), detections.xyxy, strict=True):
            class_folder = make_folder(folder / fitting_name(folder, safe_name(self._classes.names[index])))
            unique = self._crop_names.setdefault(class_folder.name.casefold(), UniqueNames())
            path = class_folder / fitting_name(class_folder, unique(name), ".jpg")
            with self._remarked(frame.entry):
                self._write_picture(path, frame.entry, cut_out(frame.image, box))

    def _write_picture(self, path: Path, entry: int, image: np.ndarray) -> None:
        if note := write_picture(path, image).note:
            self._remarks.append(Remark(entry, note, lost=False))

    def _coco_results(self, frame: Frame, detections: Detections) -> list[dict[str, Any]]:
        extra: dict[str, Any] = {"file_name": self._file_names[frame.entry]}
        if frame.kind != "image":
            extra["frame"] = frame.index + 1
        image_id = self._pictures if self._numeric_ids is None else self._numeric_ids[frame.entry]
        boxes = detections.xyxy.astype(np.float64)
        xywh = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1).round(3)
        return [
            {
                "image_id": image_id,
                "category_id": self._classes.ids[index],
                "bbox": box.tolist(),
                "score": round(float(score), 5),
                **extra,
            }
            for index, box, score in zip(detections.class_id.tolist(), xywh, detections.confidence, strict=True)
        ]

    def _write_annotated(self, folder: Path, frame: Frame, annotated: np.ndarray) -> None:
        if frame.kind == "image":
            suffix = Path(urlsplit(frame.path).path if "://" in frame.path else frame.path).suffix
            suffix = suffix if suffix.lower() in WRITABLE_SUFFIXES else ".jpg"
            path = folder / fitting_name(folder, self._stems[frame.entry], suffix)
            self._write_picture(path, frame.entry, annotated)
            return
        if frame.entry not in self._videos:
            # Video files come one after the other: when the next one begins, the last one is complete.
            if frame.kind == "video" and (fault := self._finish_videos()):
                raise fault
            self._videos[frame.entry] = None
            self._videos[frame.entry] = self._begin_video(folder, frame, annotated.shape[:2])
        video = self._videos[frame.entry]
        if video is not None:
            video.write(annotated)

    def _begin_video(self, folder: Path, frame: Frame, image_hw: tuple[int, int]) -> VideoFile:
        video = VideoFile(folder / fitting_name(folder, self._stems[frame.entry], ".mp4"), frame.fps, image_hw)
        if video.note:
            self._remarks.append(Remark(frame.entry, video.note, lost=False))
        return video

    def _finish_videos(self) -> OutputError | None:
        """Finishes all that are begun; the first fault of the disk."""
        faults = [self._finish_video(entry, video) for entry, video in self._videos.items() if video is not None]
        self._videos.clear()
        return next(filter(None, faults), None)

    def _finish_video(self, entry: int, video: VideoFile) -> OutputError | None:
        try:
            with self._remarked(entry):
                video.finish()
        except OutputError as error:
            return error
        return None


def cut_out(image: np.ndarray, box_xyxy: np.ndarray) -> np.ndarray:
    """The pixels of a picture `(H, W, 3)` that a box `(4,)` touches, at least one; a view."""
    height, width = image.shape[:2]
    x1, y1 = np.floor(box_xyxy[:2]).astype(int).clip(0, (width - 1, height - 1))
    x2, y2 = np.ceil(box_xyxy[2:]).astype(int).clip((x1 + 1, y1 + 1), (width, height))
    return image[y1:y2, x1:x2]
