"""Batches: which images go together, at what shape, and the worker processes that make them."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate

from data.coco.records import CocoSplit
from data.errors import DataError
from data.loading.damage import DamageLog, Finding
from data.loading.dataset import DetectionDataset, Failure, ImageMeta, Item, ItemKey

__all__ = ["Batch", "EpochBatches", "ImageMeta", "Loader", "build_loader"]


@dataclass(frozen=True)
class Batch:
    """What the network gets at a time.

    Attributes:
        images: `(B, 3, H, W)` uint8, RGB.
        targets: `(N, 6)` float32: image index in the batch, class, cx, cy, w, h as fractions of the input (0..1).
        metas: one per image.
        findings: what was found in the files that went into the images.
        ignore: `(M, 5)` float32: image index, cx, cy, w, h (0..1) of regions in which nothing is right or wrong.
    """

    images: Tensor
    targets: Tensor
    metas: list[ImageMeta]
    findings: tuple[Finding, ...] = ()
    ignore: Tensor = field(default_factory=lambda: torch.zeros((0, 5)))

    def __len__(self) -> int:
        return len(self.metas)

    def pin_memory(self) -> Batch:
        """The same in page-locked memory, from which copies to a GPU can run alongside."""
        pinned = {name: getattr(self, name).pin_memory() for name in ("images", "targets", "ignore")}
        return replace(self, **pinned)


class EpochBatches(Sampler[list[ItemKey]]):
    """The batches of an epoch as lists of keys. The last one may be smaller; no image is dropped.

    Args:
        shapes_hw: per image, height and width of the network input.
        batch_size: images.
        order: indices in the order in which they are batched when nothing is shuffled.
        shuffle: 'images', 'batches' (which keeps together what `order` puts together) or None.
        seed: together with the epoch, seed of the shuffling.
    """

    def __init__(
        self, shapes_hw: np.ndarray, batch_size: int, order: np.ndarray, *, shuffle: str | None = None, seed: int = 0
    ) -> None:
        self.shapes_hw, self.batch_size, self.order, self.shuffle, self.seed = (
            shapes_hw,
            batch_size,
            order,
            shuffle,
            seed,
        )
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.batch_size)

    def __iter__(self) -> Iterator[list[ItemKey]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(self.order) if self.shuffle == "images" else self.order
        starts = np.arange(0, len(order), self.batch_size)
        for start in rng.permutation(starts) if self.shuffle == "batches" else starts:
            indices = order[start : start + self.batch_size]
            yield [ItemKey(self.epoch, int(index), *self.shapes_hw[index].tolist()) for index in indices]


class Loader(DataLoader[Any]):
    """A PyTorch data loader of `Batch`es that knows epochs and reports a damaged image in one line.

    Raises:
        DataError: while iterating, when an image is not there any more, or when too many are damaged.
    """

    dataset: DetectionDataset
    batch_sampler: EpochBatches
    damage: DamageLog | None = None

    def set_epoch(self, epoch: int) -> None:
        """Number of the epoch that the next iteration stands for: it decides order and augmentation."""
        self.batch_sampler.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, Failure):
                raise DataError(batch.message)
            if self.damage is not None and batch.findings:
                self.damage.add(batch.findings)
            yield batch


def build_loader(
    split: CocoSplit,
    *,
    imgsz: int,
    batch_size: int,
    stride: int = 32,
    augment: Mapping[str, float] | None = None,
    mix_until: int | None = None,
    shuffle: bool = False,
    rect: bool = False,
    workers: int = 0,
    seed: int = 0,
    cache: str | None = None,
    interpolation: str = "linear",
    strict: bool = False,
    input_hw: tuple[int, int] | None = None,
) -> Loader:
    """Batches of a split.

    The same seed gives the same batches, epoch for epoch, with any number of workers and any cache.

    Args:
        split, imgsz, augment, mix_until, cache, interpolation: see `DetectionDataset`.
        batch_size: images; the last batch of an epoch holds what is left.
        stride: the network's largest, to a multiple of which the sides of rectangular inputs are rounded up.
        shuffle: a new order every epoch; with `rect`, of the batches.
        rect: images of similar aspect go together in inputs no larger than they need; else all inputs are squares of
            side `imgsz`.
        workers: processes; 0 makes batches in this one.
        seed: of order and augmentation, at least 0.
        strict: a damaged image is an error, raised while iterating.
        input_hw: height and width, pixels, of all inputs, in place of what `imgsz` and `rect` say.

    Raises:
        DataError: a hyperparameter is unknown or out of bounds, or the cache does not fit.
    """
    dataset = DetectionDataset(
        split,
        imgsz=imgsz,
        augment=augment,
        mix_until=mix_until,
        seed=seed,
        cache=cache,
        interpolation=interpolation,
        fitted=input_hw is not None,
    )
    if input_hw is not None:
        order, shapes = np.arange(len(dataset)), np.tile(input_hw, (len(dataset), 1))
    elif rect:
        order, shapes = rectangular_shapes(split, imgsz, batch_size, stride)
    else:
        order, shapes = np.arange(len(dataset)), np.full((len(dataset), 2), imgsz)
    mode = ("batches" if rect else "images") if shuffle else None
    batches = EpochBatches(shapes, batch_size, order, shuffle=mode, seed=seed)
    loader = _loader_of(dataset, batches, workers, shares_memory=cache == "ram")
    instead = "It counts as an image without detections" if augment is None else "Another image takes its place"
    loader.damage = DamageLog(split, strict=strict, instead=instead)
    return loader


def _loader_of(dataset: DetectionDataset, batches: EpochBatches, workers: int, *, shares_memory: bool) -> Loader:
    """The loader and its processes.

    Args:
        shares_memory: the data set holds its images in memory.
    """
    # forked workers share the images in memory, spawned ones would each get a copy
    forked = workers > 0 and shares_memory and sys.platform == "linux"
    return Loader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_prepare_worker,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if forked else None,
        # A loader draws a number for its workers, once in all or once per epoch. Drawn from the global generator, it
        # would make what others draw depend on the number of workers.
        generator=torch.Generator(),
    )


def rectangular_shapes(split: CocoSplit, imgsz: int, batch_size: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Order of the images by aspect ratio, and the input's height and width `(n, 2)` for each of them.

    The images of a batch share the smallest input that holds all of them at a long side of `imgsz`.
    """
    aspects = np.array([record.height / record.width for record in split.records])  # (n,)
    order = np.argsort(aspects, kind="stable")  # (n,)
    shapes = np.empty((len(aspects), 2), np.int64)
    for start in range(0, len(order), batch_size):
        members = order[start : start + batch_size]
        tallest, widest = aspects[members].max(), aspects[members].min()
        # Height and width for a long side of 1: the tallest picture says how high, the widest how wide.
        sides = np.array([min(tallest, 1.0), min(1 / widest, 1.0)])  # (2,)
        # Rounded first, so that a side of exactly so many strides is not taken for a little more.
        shapes[members] = np.ceil((sides * imgsz / stride).round(6)).astype(np.int64) * stride
    return order, shapes.clip(min=stride)


def collate(items: Sequence[Item | Failure]) -> Batch | Failure:
    """Stack items to a batch; the first failure stands for its whole batch."""
    for item in items:
        if isinstance(item, Failure):
            return item
    good = [item for item in items if isinstance(item, Item)]
    targets = _numbered([item.targets for item in good])  # (N, 6)
    ignore = _numbered([item.ignore for item in good])  # (M, 5)
    # torch's own collation stacks into shared memory when it runs in a worker, which saves a copy
    findings = tuple(dict.fromkeys(finding for item in good for finding in item.findings))
    images = default_collate([item.image for item in good])  # (B, 3, H, W)
    return Batch(images, targets, [item.meta for item in good], findings, ignore)


def _numbered(rows: Sequence[Tensor]) -> Tensor:
    """The rows `(n_i, k)` of all images one after the other, `(N, 1 + k)`: before each the index of its image."""
    numbers = torch.repeat_interleave(
        torch.arange(len(rows), dtype=torch.float32), torch.tensor([len(each) for each in rows])
    )  # (N,)
    return torch.cat((numbers[:, None], torch.cat(list(rows))), 1)


def _prepare_worker(_: int) -> None:
    """One thread per worker process; Ctrl-C is for the main process, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
