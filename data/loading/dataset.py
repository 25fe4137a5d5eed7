"""From records to network inputs: read, resize, augment or letterbox, and put targets beside the pixels.

The data set has no state of its own: which epoch it is, and what shape the input shall have, comes with the key of each
item. So worker processes that live on between epochs need to be told nothing, and an item is the same whoever makes it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.augment import Augmentation, Pipeline, Sample
from data.coco.records import CocoSplit
from data.coco.scan import files_fingerprint, fingerprint
from data.errors import DamagedImageError, DataError
from data.letterbox import PAD_VALUE, Letterbox, resized_hw
from data.loading.damage import Finding, known_damage
from data.loading.store import KINDS, ImageStore
from data.media.image import read_picture

SHRINKING = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
"""How pictures may shrink: linearly, as in training and detection, or by averages of areas."""

_REPLACEMENT = 1
"""Last part of the seed that draws in place of a damaged image: the three others alone are those of an item."""
_ATTEMPTS = 100


class ItemKey(NamedTuple):
    """What is wanted of the data set: image (an index), epoch, height and width of the input."""

    epoch: int
    image: int
    height: int
    width: int


@dataclass(frozen=True)
class ImageMeta:
    """Where a network input comes from.

    Attributes:
        image_id: id in the annotation file. Of an augmented input: the image that it began with.
        path: the image file.
        height, width: pixels of the original image.
        letterbox: how it lies in the network input; of an augmented input, how it would lie without augmentation.
        preprocess_ms: milliseconds for resizing, augmentation, padding and layout; reading and decoding are not in it.
        damaged: the file is damaged. In training, another image took its place; without augmentation, the input is
            grey and without targets, and must count as one without detections.
    """

    image_id: int
    path: Path
    height: int
    width: int
    letterbox: Letterbox
    preprocess_ms: float
    damaged: bool = False


@dataclass(frozen=True)
class Item:
    """One network input.

    Attributes:
        image: `(3, H, W)` uint8 RGB.
        targets: `(n, 5)` float32 class, cx, cy, w, h in 0..1.
        meta: where it comes from.
        findings: what was found in the files that went into it.
        ignore: `(r, 4)` float32 cx, cy, w, h in 0..1 of regions in which nothing is right or wrong.
    """

    image: Tensor
    targets: Tensor
    meta: ImageMeta
    findings: tuple[Finding, ...] = ()
    ignore: Tensor = field(default_factory=lambda: torch.zeros((0, 4)))


@dataclass(frozen=True)
class Failure:
    """An image that could not be used. A value, because PyTorch adds a traceback to exceptions of its workers."""

    message: str


class DetectionDataset(Dataset[Item | Failure]):
    """Items of a split by `ItemKey`.

    Args:
        split: records, from `load_coco`.
        imgsz: long side, in pixels, to which images are resized.
        augment: hyperparameters of `data.augment`; None for letterboxed images as they are.
        mix_until: first epoch in which images are no longer put together (mosaic, mixup); None for never.
        seed: first part of the seed of every item; the others are epoch and index.
        cache: keep resized images: None, 'ram' or 'disk'.
        interpolation: how pictures that are not augmented shrink: 'linear' as in training and detection, or 'area'.
        fitted: pictures that are not augmented are as large as the input allows, whatever `imgsz` says.

    Raises:
        DataError: a hyperparameter is unknown or out of bounds, or the cache does not fit.
    """

    def __init__(
        self,
        split: CocoSplit,
        *,
        imgsz: int,
        augment: Mapping[str, float] | None = None,
        mix_until: int | None = None,
        seed: int = 0,
        cache: str | None = None,
        interpolation: str = "linear",
        fitted: bool = False,
    ) -> None:
        self.fitted = fitted
        self.records = split.records
        self.imgsz = imgsz
        self.seed = seed
        self.pipeline = None if augment is None else Pipeline.build(augment)
        self.mix_until = mix_until
        self.shrinking = cv2.INTER_LINEAR if self.pipeline is not None else SHRINKING[interpolation]
        damage = known_damage([record.path for record in split.records])
        # What is known about files, and which of these the present item met.
        self.findings = {index: Finding(index, text, True) for index, text in damage.items()}
        self._met: set[int] = set()
        self.store = self._build_store(cache)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: ItemKey) -> Item | Failure:
        try:
            return self._make(key)
        except DataError as error:
            return Failure(str(error))

    def resized_hw(self, index: int) -> tuple[int, int]:
        """Height and width of an image with its long side at `imgsz`, pixels."""
        record = self.records[index]
        hw = (record.height, record.width)
        return resized_hw(hw, self.imgsz / max(hw))

    def _make(self, key: ItemKey) -> Item:
        record = self.records[key.image]
        hw = (record.height, record.width)
        input_hw = (key.height, key.width)
        if self.fitted:
            letterbox = Letterbox.fit(hw, input_hw)
        else:
            letterbox = Letterbox.at_ratio(hw, input_hw, self.imgsz / max(hw))
        self._met.clear()
        if self.pipeline is None:
            sample, start = self._plain(key, letterbox)
        else:
            sample, start = self._augmented(key, self.pipeline)
        pixels = _to_planes(sample.image)
        milliseconds = (time.perf_counter() - start) * 1e3
        findings = tuple(self.findings[index] for index in sorted(self._met))
        damaged = any(finding.damaged and finding.index == key.image for finding in findings)
        meta = ImageMeta(record.image_id, record.path, record.height, record.width, letterbox, milliseconds, damaged)
        boxes, ignore = (_fractions(each, pixels.shape[1:]) for each in (sample.boxes_xyxy, sample.regions_xyxy))
        targets = np.concatenate((sample.labels[:, None].astype(np.float32), boxes), 1)  # (n, 5)
        return Item(torch.from_numpy(pixels), torch.from_numpy(targets), meta, findings, torch.from_numpy(ignore))

    def _plain(self, key: ItemKey, letterbox: Letterbox) -> tuple[Sample, float]:
        """A letterboxed image with its boxes, and when the work began; a damaged one is grey and has none."""
        record, pool = self.records[key.image], _Pool(self, Pipeline(()), (key.height, key.width), key.epoch)
        try:
            image = self._pixels(key.image)
        except DamagedImageError:
            nothing = np.full((key.height, key.width, 3), PAD_VALUE, np.uint8)
            return Sample(nothing, record.boxes_xyxy[:0], record.labels[:0], pool), time.perf_counter()
        start = time.perf_counter()
        image = letterbox.apply(image, self._interpolation((record.height, record.width)))
        boxes = letterbox.boxes_to_input(record.boxes_xyxy[~record.crowd])
        regions = letterbox.boxes_to_input(record.regions_xyxy)
        return Sample(image, boxes, record.labels[~record.crowd], pool, regions), start

    def _augmented(self, key: ItemKey, pipeline: Pipeline) -> tuple[Sample, float]:
        """An augmented image with its boxes, and when the work began."""
        index, image = self._usable(key.image, key.epoch)
        start = time.perf_counter()
        rng = np.random.default_rng((self.seed, key.epoch, key.image))
        if self.mix_until is not None and key.epoch >= self.mix_until:
            pipeline = pipeline.without_mixing()
        pool = _Pool(self, pipeline, (key.height, key.width), key.epoch)
        return pipeline(self.sample(index, pool, image), rng), start

    def sample(self, index: int, pool: _Pool, image: np.ndarray | None = None) -> Sample:
        """An image resized to `imgsz` with its boxes, those of crowds dropped; another one where it is damaged.

        Args:
            index: of the record.
            pool: where the sample takes other images from.
            image: its pixels, in their own or in the final size, if they were read already.
        """
        if image is None:
            index, image = self._usable(index, pool.epoch)
        record = self.records[index]
        height, width = self.resized_hw(index)
        factors = np.tile((width / record.width, height / record.height), 2)  # (4,): x, y, x, y
        boxes = (record.boxes_xyxy[~record.crowd] * factors).astype(np.float32)  # (n, 4)
        regions = (record.regions_xyxy * factors).astype(np.float32)  # (r, 4)
        return Sample(self._resize(image, index), boxes, record.labels[~record.crowd], pool, regions)

    def _usable(self, index: int, epoch: int) -> tuple[int, np.ndarray]:
        """An image and its index; in place of a damaged one another, which seed, epoch and index decide."""
        with suppress(DamagedImageError):
            return index, self._pixels(index)
        rng = np.random.default_rng((self.seed, epoch, index, _REPLACEMENT))
        for other in rng.integers(len(self), size=_ATTEMPTS).tolist():
            with suppress(DamagedImageError):
                return other, self._pixels(other)
        raise DataError(f"{self.records[index].path}: damaged, and so are all images that were drawn in its place")

    def _pixels(self, index: int) -> np.ndarray:
        """Pixels of an image, in its own size or in the final one; notes what was found in its file.

        Raises:
            DamagedImageError: it is damaged.
        """
        finding = self.findings.get(index)
        try:
            if finding is not None and finding.damaged:
                raise DamagedImageError(finding.text)
            if self.store is not None and self.store.is_whole(index):
                return self.store[index]
            return self._read(index)
        finally:
            if index in self.findings:
                self._met.add(index)

    def _read(self, index: int) -> np.ndarray:
        """Pixels in their own size, from the file."""
        record = self.records[index]
        try:
            image, note = read_picture(record.path, None)  # the scan has checked the header
        except DamagedImageError as error:
            self.findings[index] = Finding(index, str(error), True)
            raise
        if note:
            self.findings[index] = Finding(index, f"{record.path}: {note}; the image is used", False)
        if image.shape[:2] != (record.height, record.width):
            height, width = image.shape[:2]
            raise DataError(f"{record.path}: is {width}x{height} now, not {record.width}x{record.height}; restore it")
        return image

    def _resize(self, image: np.ndarray, index: int) -> np.ndarray:
        height, width = self.resized_hw(index)
        if image.shape[:2] == (height, width):
            return image
        return cv2.resize(image, (width, height), interpolation=self._interpolation(image.shape[:2]))

    def _interpolation(self, hw: tuple[int, ...]) -> int:
        """OpenCV's constant for a picture of this size; pictures grow linearly."""
        return cv2.INTER_LINEAR if max(hw) < self.imgsz else self.shrinking

    def _build_store(self, cache: str | None) -> ImageStore | None:
        if cache is None:
            return None
        if cache not in KINDS:
            raise DataError(f"cache {cache!r}: must be one of {', '.join(map(repr, KINDS))}")
        shapes = [self.resized_hw(index) for index in range(len(self))]

        def read(index: int) -> np.ndarray | None:
            try:
                return self._resize(self._read(index), index)
            except DamagedImageError:
                return None

        if cache == "ram":
            return ImageStore.in_memory(shapes, read)
        files = files_fingerprint(record.path for record in self.records)
        key = fingerprint(files.encode(), repr((self.imgsz, self.shrinking)).encode())
        return ImageStore.on_disk(shapes, read, key)


@dataclass(frozen=True)
class _Pool:
    """The rest of the data set, for augmentations that mix images."""

    dataset: DetectionDataset
    pipeline: Pipeline
    input_hw: tuple[int, int]
    epoch: int

    @property
    def imgsz(self) -> int:
        return self.dataset.imgsz

    def draw(self, rng: np.random.Generator) -> Sample:
        return self.dataset.sample(int(rng.integers(len(self.dataset))), self)

    def draw_augmented(self, rng: np.random.Generator, before: Augmentation) -> Sample:
        return self.pipeline(self.draw(rng), rng, before)


def _to_planes(image: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` BGR -> `(3, H, W)` RGB, contiguous."""
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    for plane in range(3):
        cv2.extractChannel(image, 2 - plane, planes[plane])
    return planes


def _fractions(boxes_xyxy: np.ndarray, input_hw: Sequence[int]) -> np.ndarray:
    """Boxes `(n, 4)` in pixels of the input -> `(n, 4)` float32: cx, cy, w, h as fractions of the input."""
    boxes = np.empty((len(boxes_xyxy), 4), np.float32)
    boxes[:, :2] = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2  # centres (n, 2)
    boxes[:, 2:] = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]  # sizes (n, 2)
    return boxes / np.array([input_hw[1], input_hw[0]] * 2, np.float32)
