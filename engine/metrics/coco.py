"""Average precision by pycocotools: ground truth indexed once, figures as a table of our own.

The twelve figures are those of the COCO challenge, https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from engine.errors import EngineError
from files.classes import Classes

if TYPE_CHECKING:
    from data.coco.records import CocoSplit

# name: (IoU, area in square pixels of the original image, detections per image and class), in pycocotools' order
FIGURES: dict[str, tuple[str, str, int]] = {
    "AP": ("0.50:0.95", "all", 100),
    "AP50": ("0.50", "all", 100),
    "AP75": ("0.75", "all", 100),
    "APs": ("0.50:0.95", "< 32²", 100),
    "APm": ("0.50:0.95", "32² to 96²", 100),
    "APl": ("0.50:0.95", "> 96²", 100),
    "AR1": ("0.50:0.95", "all", 1),
    "AR10": ("0.50:0.95", "all", 10),
    "AR100": ("0.50:0.95", "all", 100),
    "ARs": ("0.50:0.95", "< 32²", 100),
    "ARm": ("0.50:0.95", "32² to 96²", 100),
    "ARl": ("0.50:0.95", "> 96²", 100),
}
RECALL_POINTS = np.linspace(0.0, 1.0, 101)  # where pycocotools samples precision


@dataclass(frozen=True)
class ClassMetrics:
    """One class: images it occurs in, annotations that are no crowd, and its AP (nan where it has no annotation)."""

    name: str
    images: int
    instances: int
    ap: float
    ap50: float


@dataclass(frozen=True, eq=False)
class CocoMetrics:
    """What pycocotools measured.

    Attributes:
        figures: the twelve figures by name (`FIGURES`), each in [0, 1]; nan where no annotation falls into the range.
        classes: one entry per class, in class order.
        precision50: `(nc, 101)` precision at IoU 0.5 over `RECALL_POINTS`; nan for a class without annotations.
        images: how many images were evaluated.
    """

    figures: Mapping[str, float]
    classes: tuple[ClassMetrics, ...]
    precision50: np.ndarray
    images: int

    @property
    def ap(self) -> float:
        """Mean AP over IoU 0.50 to 0.95; nan without annotations."""
        return self.figures["AP"]

    @property
    def ap50(self) -> float:
        """Mean AP at IoU 0.50; nan without annotations."""
        return self.figures["AP50"]


class GroundTruth:
    """The annotations of a JSON, indexed for pycocotools once and measured against many times."""

    def __init__(
        self,
        annotations: Path | Mapping[str, Any],
        *,
        image_ids: Iterable[int] | None = None,
        classes: Classes | None = None,
    ) -> None:
        """
        Args:
            annotations: a COCO JSON or its content; `area`, `iscrowd` and `info` may be missing.
            image_ids: the images to evaluate; None for all.
            classes: those to evaluate; None for all categories, in the JSON's order.

        Raises:
            EngineError: the JSON cannot be read.
        """
        content = _read_json(annotations) if isinstance(annotations, Path) else annotations
        if classes is None:
            categories = {entry["id"]: entry["name"] for entry in content["categories"]}
            classes = Classes.of(categories.values(), categories)
        self.classes = classes
        known = [image["id"] for image in content["images"]] if image_ids is None else image_ids
        self.image_ids = set(known)
        entries = _evaluated(content.get("annotations", []), self.image_ids, set(classes.ids))
        self._coco = _index(self.image_ids, classes.ids, entries)
        self._counts = [
            (len({entry["image_id"] for entry in entries if entry["category_id"] == i}), self._instances(i))
            for i in classes.ids
        ]

    def _instances(self, category_id: int) -> int:
        return len(self._coco.getAnnIds(catIds=[category_id], iscrowd=False))

    def measure(self, detections: Sequence[Mapping[str, Any]]) -> CocoMetrics:
        """The figures of `detections`, a COCO-results list: image_id, category_id, bbox (x, y, w, h in px), score.

        Raises:
            EngineError: a detection names an image or a category that is not evaluated.
        """
        for field, known in (("image_id", self.image_ids), ("category_id", set(self.classes.ids))):
            unknown = next((d[field] for d in detections if d[field] not in known), None)
            if unknown is not None:
                raise EngineError(f"detections: {field} {unknown} is not in the annotations; use the ids of their JSON")
        results = [
            {
                "id": number,
                "image_id": detection["image_id"],
                "category_id": detection["category_id"],
                "bbox": detection["bbox"],
                "area": detection["bbox"][2] * detection["bbox"][3],
                "iscrowd": 0,
                "score": detection["score"],
            }
            for number, detection in enumerate(detections, start=1)
        ]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self._coco, _index(self.image_ids, self.classes.ids, results), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return self._collect(evaluation)

    def _collect(self, evaluation: COCOeval) -> CocoMetrics:
        """The figures of a finished evaluation; 10 IoU thresholds, 101 recall points, nc classes."""
        # pycocotools sorts the category ids; ours are in class order.
        order = {category_id: row for row, category_id in enumerate(evaluation.params.catIds)}
        # (10, 101, nc, 4 ranges of area, 3 limits of detections). Taken are all areas and 100 detections.
        precision = evaluation.eval["precision"][:, :, [order[i] for i in self.classes.ids], 0, -1]  # (10, 101, nc)
        precision = np.where(precision < 0, np.nan, precision)  # -1 marks a class without annotations
        classes = tuple(
            ClassMetrics(
                name, images, instances, ap=float(precision[:, :, k].mean()), ap50=float(precision[0, :, k].mean())
            )
            for k, (name, (images, instances)) in enumerate(zip(self.classes.names, self._counts, strict=True))
        )
        figures = {
            name: math.nan if value < 0 else float(value) for name, value in zip(FIGURES, evaluation.stats, strict=True)
        }
        precision50 = np.ascontiguousarray(precision[0].T)  # (nc, 101), at IoU 0.50
        return CocoMetrics(figures, classes, precision50, len(self.image_ids))


class CocoEvaluator(GroundTruth):
    """The ground truth of a data-set split, with its records at hand for other measures.

    Attributes:
        records: image id -> the split's record (boxes in pixels of the original image).
    """

    def __init__(self, split: CocoSplit) -> None:
        super().__init__(
            split.annotations,
            image_ids=[record.image_id for record in split.records],
            classes=split.classes,
        )
        self.records = {record.image_id: record for record in split.records}


def coco_average_precision(
    annotations: Path | Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    image_ids: Iterable[int] | None = None,
) -> CocoMetrics:
    """Measures a COCO-results list against a COCO JSON (or its content); see `GroundTruth`."""
    return GroundTruth(annotations, image_ids=image_ids).measure(detections)


def figures_table(metrics: CocoMetrics) -> str:
    """The twelve figures as text, '-' where one is undefined."""
    rows = [(name, *FIGURES[name], _shown(value)) for name, value in metrics.figures.items()]
    return tabulate(rows, headers=("", "IoU", "area", "detections", "value"), disable_numparse=True)


def class_table(metrics: CocoMetrics) -> str:
    """Images, annotations, AP50 and AP of every class as text, the mean over classes first."""
    total = sum(entry.instances for entry in metrics.classes)
    rows = [("all", metrics.images, total, _shown(metrics.ap50), _shown(metrics.ap))]
    rows += [(e.name, e.images, e.instances, _shown(e.ap50), _shown(e.ap)) for e in metrics.classes]
    headers = ("class", "images", "instances", "AP50", "AP")
    return tabulate(rows, headers=headers, disable_numparse=True, colalign=("left", *["right"] * 4))


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _evaluated(
    entries: Iterable[Mapping[str, Any]], images: Collection[int], ids: Collection[int]
) -> list[dict[str, Any]]:
    """The fields pycocotools needs, of the annotations it can judge.

    Boxes of no area are kept. Nothing can match them, so each is a miss, as pycocotools counts it on the JSON itself.
    Boxes that are inverted or not finite are dropped, since no overlap is defined for them. Ids are new and begin at 1,
    because pycocotools takes a match with an annotation of id 0 for no match.
    """
    kept: list[dict[str, Any]] = []
    for entry in entries:
        box = [float(value) for value in entry["bbox"]]
        usable = all(map(math.isfinite, box)) and box[2] >= 0 and box[3] >= 0
        if usable and entry["image_id"] in images and entry["category_id"] in ids:
            kept.append(
                {
                    "id": len(kept) + 1,
                    "image_id": entry["image_id"],
                    "category_id": entry["category_id"],
                    "bbox": box,
                    "area": _area(entry.get("area"), box),
                    "iscrowd": int(bool(entry.get("iscrowd"))),
                }
            )
    return kept


def _area(stated: object, box: Sequence[float]) -> float:
    """The stated area (of a mask, often), else that of the box."""
    if isinstance(stated, int | float) and math.isfinite(stated) and stated >= 0:
        return float(stated)
    return box[2] * box[3]


def _index(image_ids: Iterable[int], category_ids: Iterable[int], entries: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in sorted(image_ids)],
        "categories": [{"id": category_id} for category_id in category_ids],
        "annotations": entries,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{path}: is not valid JSON ({error}); export the annotations again") from None
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        raise EngineError(f"{path}: has no 'images' and 'categories'; give a COCO annotation file")
    return content
