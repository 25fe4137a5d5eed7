"""What a detection run leaves behind: annotated pictures and videos, label files, crops and a COCO-results list.

Everything is written to a temporary name first, so that what an earlier run wrote stays whole until it is replaced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from data.media.entries import Entry
from data.media.sources import Frame, Source
from engine.detections import Detections
from engine.errors import EngineError
from engine.options import DetectOptions
from engine.runs import reserve_run_dir
from files.atomic import AtomicFile, write_bytes, write_json, write_text
from files.classes import Classes

_WRITABLE_SUFFIXES = frozenset({".bmp", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class UniqueNames:
    """Gives every name once: `a`, `a-2`, `a-3`; as on some systems, names that differ only in case are the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, wanted: str) -> str:
        name, number = wanted, 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{wanted}-{number}"
        self._taken.add(name.casefold())
        return name


class DetectionWriter:
    """Writes what the options ask for.

    A context manager: on leaving, videos and the results list are finished, after Ctrl-C too. After an error what is
    unfinished is deleted instead.

    Attributes:
        folder: the run's folder; None until the first picture comes.
    """

    def __init__(self, options: DetectOptions, source: Source, classes: Classes) -> None:
        self.folder: Path | None = None
        self._options = options
        self._held = ExitStack()
        self._make_folder: Callable[[], Path] | None = None
        self._classes = classes
        self._stems = _output_stems(source.entries)
        self._file_names = _file_names(source.entries)
        self._numeric_ids = _numeric_ids(source.entries)
        self._pictures = 0
        self._crop_names: dict[str, UniqueNames] = {}
        self._videos: dict[int, _VideoFile] = {}
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
        keep = kind is None or issubclass(kind, KeyboardInterrupt)
        with self._held:  # other runs are kept out until all is written
            for video in self._videos.values():
                video.close(keep)
            if keep and self._options.save_json and self.folder is not None:
                write_json(self.folder / "predictions.json", self._results)

    def write(self, frame: Frame, detections: Detections, annotated: np.ndarray) -> None:
        """One picture or frame: as it came in `frame`, and with its boxes drawn.

        Raises:
            EngineError, OSError: the folder or a file cannot be written.
        """
        if not self._options.saves:
            return
        if self.folder is None:
            self.folder = (self._make_folder or self._reserve())()
        self._pictures += 1
        # A picture has its own name. A frame has its video's name and its number, from 1.
        stem = self._stems[frame.entry]
        numbered = stem if frame.kind == "image" else f"{stem}_{frame.index + 1}"
        if self._options.save_txt:
            self._write_labels(self.folder / "labels" / f"{numbered}.txt", frame, detections)
        if self._options.save_crop:
            self._write_crops(self.folder / "crops", numbered, frame, detections)
        if self._options.save_json:
            self._results += self._coco_results(frame, detections)
        if not self._options.nosave:
            self._write_annotated(self.folder, stem, frame, annotated)

    def _write_labels(self, path: Path, frame: Frame, detections: Detections) -> None:
        path.parent.mkdir(exist_ok=True)
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

    def _write_crops(self, folder: Path, name: str, frame: Frame, detections: Detections) -> None:
        height, width = frame.image.shape[:2]
        for index, box in zip(detections.class_id.tolist(), detections.xyxy, strict=True):
            x1, y1 = np.floor(box[:2]).astype(int).clip(0, (width - 1, height - 1))
            x2, y2 = np.ceil(box[2:]).astype(int).clip((x1 + 1, y1 + 1), (width, height))
            class_folder = folder / _safe_name(self._classes.names[index])
            class_folder.mkdir(parents=True, exist_ok=True)
            unique = self._crop_names.setdefault(class_folder.name.casefold(), UniqueNames())
            _write_image(class_folder / f"{unique(name)}.jpg", frame.image[y1:y2, x1:x2])

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

    def _write_annotated(self, folder: Path, stem: str, frame: Frame, annotated: np.ndarray) -> None:
        if frame.kind == "image":
            suffix = Path(urlsplit(frame.path).path if "://" in frame.path else frame.path).suffix
            _write_image(folder / f"{stem}{suffix if suffix.lower() in _WRITABLE_SUFFIXES else '.jpg'}", annotated)
            return
        if frame.entry not in self._videos:
            if frame.kind == "video":
                self._close_finished_videos()
            self._videos[frame.entry] = _VideoFile(folder / f"{stem}.mp4", frame.fps, annotated.shape[:2])
        self._videos[frame.entry].write(annotated)

    def _close_finished_videos(self) -> None:
        """Video files come one after the other: when the next one begins, the last one is complete."""
        for video in self._videos.values():
            video.close(keep=True)
        self._videos.clear()


class _VideoFile:
    """An MP4 that is written under a temporary name and gets its own when it is closed."""

    def __init__(self, path: Path, fps: float, image_hw: tuple[int, int]) -> None:
        self._file = AtomicFile(path)
        self._size = (image_hw[1], image_hw[0])
        self._writer = cv2.VideoWriter(str(self._file.temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, self._size)
        if not self._writer.isOpened():
            self._file.discard()
            raise EngineError(f"{path}: OpenCV cannot write this MP4 ({image_hw[1]}x{image_hw[0]} px); use --nosave")

    def write(self, image: np.ndarray) -> None:
        # A stream may change its size on the way; a file cannot.
        same = image.shape[1::-1] == self._size
        self._writer.write(image if same else cv2.resize(image, self._size, interpolation=cv2.INTER_AREA))

    def close(self, keep: bool) -> None:
        self._writer.release()
        if keep:
            self._file.commit()
        self._file.discard()


def _write_image(path: Path, image: np.ndarray) -> None:
    # By way of memory: cv2.imwrite neither reports why it fails nor takes every file name outside ASCII.
    encoded = cv2.imencode(path.suffix, image)[1]
    write_bytes(path, encoded.tobytes())


def _safe_name(text: str) -> str:
    """A text as one component of a path."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]+', "_", text).strip(" .") or "_"


def _entry_path(entry: Entry) -> Path:
    """The path part of a file or URL."""
    return Path(urlsplit(entry.label).path if "://" in entry.label else entry.label)


def _output_stems(entries: tuple[Entry, ...]) -> list[str]:
    """A different name for every entry: equal stems in different folders, or with different endings, are numbered."""
    unique = UniqueNames()
    wanted = [_safe_name(entry.label if entry.kind == "stream" else _entry_path(entry).stem) for entry in entries]
    moving = {i: unique(wanted[i]) for i, entry in enumerate(entries) if entry.kind != "image"}
    reserved = {stem.casefold() for stem in moving.values()}

    def still(stem: str) -> str:
        # Frame 3 of the video `a` has the label file `a_3.txt`; a picture called `a_3` gets another name.
        prefix, _, number = stem.rpartition("_")
        return unique(f"{stem}-2" if number.isdecimal() and prefix.casefold() in reserved else stem)

    return [moving[i] if i in moving else still(stem) for i, stem in enumerate(wanted)]


def _file_names(entries: tuple[Entry, ...]) -> list[str]:
    """The file's name of every entry; where two are equal, paths from the folder that all have in common."""
    names = [entry.label if entry.kind == "stream" else _entry_path(entry).name for entry in entries]
    if len(set(names)) == len(names) or any(entry.kind == "stream" or "://" in entry.label for entry in entries):
        return names
    paths = [Path(entry.label).absolute() for entry in entries]
    base = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(base).as_posix() for path in paths]


def _numeric_ids(entries: tuple[Entry, ...]) -> list[int] | None:
    """COCO's habit: pictures whose names are numbers have these as ids. None where that is not so for all of them."""
    stems = [_entry_path(entry).stem for entry in entries]
    if not all(entry.kind == "image" and stem.isdecimal() for entry, stem in zip(entries, stems, strict=True)):
        return None
    ids = [int(stem) for stem in stems]
    return ids if len(set(ids)) == len(ids) else None
