"""One pass over a validation split: detections, the COCO figures, losses, timings, and what the pictures show."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from data.loading.loader import Batch, ImageMeta
from engine.backends.base import Backend
from engine.device import Compute
from engine.metrics.coco import COUNTED, CocoEvaluator, CocoMetrics, shown
from engine.metrics.confusion import ConfusionMatrix
from engine.postprocess import select_boxes
from engine.targets import targets_of
from files.progress import bar
from files.words import count
from models.heads.base import DetectionHead, Predictions
from models.losses.targets import Targets

# What a person sees (pictures, confusion matrix) is what detect.py shows by default.
SHOWN_CONF, SHOWN_IOU = 0.25, 0.45

Criterion = Callable[[Sequence[Tensor], Targets], Mapping[str, Tensor]]
"""`(logits, targets)` to scalar losses by name, each averaged over the batch's images."""


class Network(Protocol):
    """What is evaluated: an `nn.Module`, such as a `Detector`, whose head turns its logits into predictions."""

    @property
    def head(self) -> DetectionHead:
        """Decodes the logits, and says whether the predictions need suppression."""

    def logits(self, images: Tensor) -> list[Tensor]:
        """Raw logits of images `(B, 3, H, W)` in [0, 1]."""

    def modules(self) -> Iterator[nn.Module]:
        """All sub-modules, itself included."""

    def eval(self) -> object:
        """Evaluation mode."""


@dataclass(frozen=True)
class Sample:
    """A batch as the network saw it, with the boxes detect.py would draw."""

    batch: Batch
    predictions: list[Tensor]
    """Per image `(n, 6)` x1, y1, x2, y2 in pixels of the network input, score, class; on the CPU."""


@dataclass(frozen=True, eq=False)
class EvalResult:
    """What one evaluation found.

    Attributes:
        metrics: the COCO figures.
        detections: COCO-results entries with the original ids; bbox (x, y, w, h) in pixels of the original image.
        losses: mean per image of each of the criterion's losses, by name; empty without a criterion.
        speed_ms: milliseconds per image of "pre-process", "inference" and "NMS".
        samples: the first batches, for pictures.
        confusion: over all images, of the boxes detect.py would draw.
        folder: the run's folder, where there is one.
        notes: what the figures alone do not say, a sentence each; empty without `report`.
    """

    metrics: CocoMetrics
    detections: list[dict[str, Any]]
    losses: dict[str, float]
    speed_ms: dict[str, float]
    samples: list[Sample]
    confusion: ConfusionMatrix
    folder: Path | None = None
    notes: tuple[str, ...] = ()

    def speed_line(self) -> str:
        """The timings as one line."""
        return "Speed: " + ", ".join(f"{ms:.1f} ms {stage}" for stage, ms in self.speed_ms.items()) + " per image"


def evaluate(
    model: Network | Backend,
    loader: Iterable[Batch],
    evaluator: CocoEvaluator,
    *,
    device: torch.device,
    conf_thres: float = 0.001,
    iou_thres: float = 0.6,
    max_det: int = 300,
    criterion: Criterion | None = None,
    precision: torch.dtype = torch.float32,
    keep_batches: int = 3,
    report: bool = False,
) -> EvalResult:
    """Runs `model` over `loader` and measures it against `evaluator`'s annotations.

    The model stays on its device and in its mode (each sub-module's own); its weights are not converted.

    Args:
        model: a detector, or a back end, which has its own device and precision and no losses.
        loader: batches without augmentation over the evaluator's images.
        evaluator: made once per split, used for every evaluation of it.
        conf_thres, iou_thres, max_det: see `select_boxes`; a low score threshold is what AP needs.
        criterion: measures the losses as well.
        precision: float32, or the type that torch.autocast runs the network in.
        keep_batches: how many first batches `samples` holds.
        report: say in `notes` where other figures would be fair too, with these.
    """
    run = _Run(evaluator, _Stopwatch(device))
    with _looking(model, Compute(device, precision), run.stopwatch) as (look, needs_suppression):
        select = partial(select_boxes, needs_suppression=needs_suppression, max_det=max_det)
        for number, batch in enumerate(bar(loader, "val", leave=False)):
            predictions, logits = look(batch.images)
            with run.stopwatch("NMS"):
                found = select(predictions, conf_thres=conf_thres, iou_thres=iou_thres, multi_label=True)
            if criterion is not None:
                losses = criterion([level.float() for level in logits], targets_of(batch, device))
                run.add_losses(losses, len(batch))
            shown = [boxes.cpu() for boxes in select(predictions, conf_thres=SHOWN_CONF, iou_thres=SHOWN_IOU)]
            found, shown = _without_damaged(found, batch.metas), _without_damaged(shown, batch.metas)
            run.add_batch(batch.metas, found, shown)
            if number < keep_batches:
                run.samples.append(Sample(batch, shown))
    return run.result(max_det if report else None)


Look = Callable[[Tensor], tuple[Predictions, list[Tensor]]]
"""`(B, 3, H, W)` uint8 images to predictions, and to logits where there are any to measure a loss of."""


@contextmanager
def _looking(
    model: Network | Backend, compute: Compute, stopwatch: Callable[[str], AbstractContextManager[None]]
) -> Iterator[tuple[Look, bool]]:
    """What looks at a batch, timed, and whether its predictions need suppression."""
    if isinstance(model, Backend):
        backend = model

        def look(images: Tensor) -> tuple[Predictions, list[Tensor]]:
            with stopwatch("pre-process"):
                inputs = backend.prepare(images)
            with stopwatch("inference"):
                return backend(inputs), []

        yield look, backend.needs_suppression
        return
    network = model

    def look_at_logits(images: Tensor) -> tuple[Predictions, list[Tensor]]:
        with stopwatch("pre-process"):
            inputs = compute.inputs(images)
        with stopwatch("inference"), compute.autocast():
            logits = network.logits(inputs)
            return network.head.decode(logits), logits

    with _eval_mode(network), torch.inference_mode():
        yield look_at_logits, network.head.needs_suppression


def _without_damaged(found: Sequence[Tensor], metas: Sequence[ImageMeta]) -> list[Tensor]:
    """The detections `(n, 6)` per image; none where the file is damaged and the network saw grey."""
    return [boxes[:0] if meta.damaged else boxes for boxes, meta in zip(found, metas, strict=True)]


class _Stopwatch:
    """Adds up seconds per stage; waits for the device, whose work is asynchronous."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = {"pre-process": 0.0, "inference": 0.0, "NMS": 0.0}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[stage] += self._now() - start

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()


@dataclass
class _Run:
    """What accumulates over the batches of one evaluation."""

    evaluator: CocoEvaluator
    stopwatch: _Stopwatch
    detections: list[dict[str, Any]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    images: int = 0
    loss_sums: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.confusion = ConfusionMatrix(len(self.evaluator.classes), SHOWN_CONF)

    def add_losses(self, losses: Mapping[str, Tensor], images: int) -> None:
        for name, loss in losses.items():
            weighted = loss.detach().float() * images
            self.loss_sums[name] = self.loss_sums[name] + weighted if name in self.loss_sums else weighted

    def add_batch(self, metas: Sequence[ImageMeta], found: Sequence[Tensor], shown: Sequence[Tensor]) -> None:
        for meta, boxes, visible in zip(metas, found, shown, strict=True):
            self.stopwatch.seconds["pre-process"] += meta.preprocess_ms / 1e3
            on_picture = meta.letterbox.detections_to_image
            found_rows, shown_rows = on_picture(boxes.cpu().numpy()), on_picture(visible.cpu().numpy())  # (n, 6)
            self.detections += coco_results(found_rows, meta.image_id, self.evaluator.classes.ids)
            record = self.evaluator.records[meta.image_id]
            self.confusion.update(shown_rows, record.boxes_xyxy, record.labels, record.crowd, record.regions_xyxy)
        self.images += len(metas)

    def result(self, max_det: int | None) -> EvalResult:
        """What was found; notes where the most boxes of an image are given."""
        images = max(self.images, 1)
        # More detections than COCO's 100 only make a difference where there are more objects.
        counted = max_det if max_det is not None and self.evaluator.crowded_images else COUNTED
        metrics = self.evaluator.measure(self.detections, max_det=counted)
        return EvalResult(
            metrics=metrics,
            detections=self.detections,
            losses={name: float(total / images) for name, total in self.loss_sums.items()},
            speed_ms={stage: 1e3 * seconds / images for stage, seconds in self.stopwatch.seconds.items()},
            samples=self.samples,
            confusion=self.confusion,
            notes=() if max_det is None else tuple(self._notes(metrics)),
        )

    def _notes(self, metrics: CocoMetrics) -> Iterator[str]:
        evaluator = self.evaluator
        if evaluator.differences:
            filed = evaluator.as_filed().measure(self.detections)
            if not math.isclose(filed.ap, metrics.ap, abs_tol=1e-9):
                yield (
                    f"AP is {shown(filed.ap)} and AP50 {shown(filed.ap50)} against the annotation file as it is; "
                    f"measured here is without its mistakes: {evaluator.differences}"
                )
        if evaluator.crowded_images:
            images = count(evaluator.crowded_images, "picture")
            more = ", ".join(f"{name} {shown(value)}" for name, value in metrics.at_max_det.items())
            yield f"more than {COUNTED} objects of a class in {images}, of which COCO's figures can count {COUNTED}" + (
                f"; with {metrics.max_det} detections: {more}" if more else ""
            )


def coco_results(predictions: np.ndarray, image_id: int, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """`(n, 6)` in pixels of the original image -> COCO-results entries with the data set's own category ids."""
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[int(label)],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for x1, y1, x2, y2, score, label in predictions.astype(np.float64).tolist()
    ]


@contextmanager
def _eval_mode(model: Network) -> Iterator[None]:
    """Evaluation mode inside; afterwards every sub-module is in the mode it was in: frozen ones differ from others."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
