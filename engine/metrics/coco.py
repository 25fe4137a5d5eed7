"""Average precision by pycocotools: ground truth indexed once, figures as a table of our own.

The twelve figures are those of the COCO challenge, https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from engine.errors import EngineError
from files.classes import Classes
from files.printable import printable

if TYPE_CHECKING:
    from data.coco.split import CocoSplit, ImageRecord
    from data.coco.truth import Truth

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
COUNTED = 100  # detections of a class in an image that COCO's figures look at
RECALL_POINTS = np.linspace(0.0, 1.0, 101)  # where pycocotools samples precision


@dataclass(frozen=True)
class ClassMetrics:
    """One class: images it occurs in, annotations without crowds, and its AP (nan where it has no annotation)."""

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
        max_det, at_max_det: where more detections than COCO's 100 were asked for: how many, and AP and AR with them.
    """

    figures: Mapping[str, float]
    classes: tuple[ClassMetrics, ...]
    precision50: np.ndarray
    images: int
    max_det: int = COUNTED
    at_max_det: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_defined(self) -> bool:
        """Whether there is an object to find, without which no figure has a value."""
        return not math.isnan(self.ap)

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
        known = {image["id"] for image in content["images"]} if image_ids is None else {*image_ids}
        self._prepare(known, classes, _evaluated(content.get("annotations", []), known, {*classes.ids}))

    def _prepare(
        self,
        image_ids: set[int],
        classes: Classes,
        entries: list[dict[str, Any]],
        regions: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Indexes the annotations, entries as pycocotools wants them; regions are crowds that no class counts."""
        self.image_ids, self.classes = image_ids, classes
        self._coco = _index(image_ids, classes.ids, [*entries, *regions])
        objects = Counter((e["category_id"], e["image_id"]) for e in entries if not e["iscrowd"])
        occurrences = Counter(i for i, _ in {(e["category_id"], e["image_id"]) for e in entries})
        instances: Counter[int] = Counter()
        for (category_id, _), number in objects.items():
            instances[category_id] += number
        self._counts = [(occurrences[i], instances[i]) for i in classes.ids]
        self.crowded_images = len({image_id for (_, image_id), number in objects.items() if number > COUNTED})
        """Images with more objects of a class than detections are counted."""

    def measure(self, detections: Sequence[Mapping[str, Any]], *, max_det: int = COUNTED) -> CocoMetrics:
        """The figures of `detections`, a COCO-results list: image_id, category_id, bbox (x, y, w, h in px), score.

        Args:
            max_det: beside COCO's figures, which count 100 detections of a class in an image, AP and AR with as many
                as this, where it is more.

        Raises:
            EngineError: a detection names an image or a category that is not evaluated.
        """
        for key, known in (("image_id", self.image_ids), ("category_id", set(self.classes.ids))):
            unknown = next((d[key] for d in detections if d[key] not in known), None)
            if unknown is not None:
                raise EngineError(f"detections: {key} {unknown} is not in the annotations; use the ids of their JSON")
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
            evaluation.params.maxDets = [1, 10, COUNTED, *([max_det] if max_det > COUNTED else [])]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return self._collect(evaluation)

    def _collect(self, evaluation: COCOeval) -> CocoMetrics:
        """The figures of a finished evaluation; 10 IoU thresholds, 101 recall points, nc classes."""
        # pycocotools sorts the category ids; ours are in class order.
        order = {category_id: row for row, category_id in enumerate(evaluation.params.catIds)}
        # (10, 101, nc, 4 ranges of area, 3 or 4 limits of detections). Taken are all areas and 100 detections.
        precision = evaluation.eval["precision"][:, :, [order[i] for i in self.classes.ids], 0, 2]  # (10, 101, nc)
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
        metrics = CocoMetrics(figures, classes, precision50, len(self.image_ids))
        if len(evaluation.params.maxDets) == 3:
            return metrics
        more = {"AP": evaluation.eval["precision"][..., 0, 3], "AR": evaluation.eval["recall"][..., 0, 3]}
        means = {name: _mean_of_known(values) for name, values in more.items()}
        return replace(metrics, max_det=evaluation.params.maxDets[3], at_max_det=means)


class CocoEvaluator(GroundTruth):
    """The truth of a data-set split, with its records at hand for other measures.

    Attributes:
        records: image id -> the split's record (boxes in pixels of the original image).
        differences: in which boxes the annotation file as it is differs from the truth of the scan; '' where in none.
    """

    def __init__(self, split: CocoSplit, *, as_filed: bool = False) -> None:
        """
        Args:
            split: from `load_coco`.
            as_filed: measure against the annotation file as it is, not against what the scan made of it.
        """
        assert split.table is not None
        truth = split.table.as_filed() if as_filed else split.table.scanned()
        self.records = {record.image_id: record for record in split.records}
        ids = np.array([*self.records])  # (M,), in the records' order
        entries = _entries(truth, ids, split.classes)
        regions = _region_entries(split.records, split.classes, len(entries) + 1)
        self._prepare({*self.records}, split.classes, entries, regions)
        self.differences = "" if as_filed else split.table.differences()
        self._split = split

    def as_filed(self) -> CocoEvaluator:
        """The same split, measured against its annotation file as it is."""
        return CocoEvaluator(self._split, as_filed=True)


def figures_table(metrics: CocoMetrics) -> str:
    """The twelve figures as text, '-' where one is undefined."""
    rows = [(name, *FIGURES[name], shown(value)) for name, value in metrics.figures.items()]
    return tabulate(rows, headers=("", "IoU", "area", "detections", "value"), disable_numparse=True)


def class_table(metrics: CocoMetrics) -> str:
    """Images, annotations, AP50 and AP of every class as text, the mean over classes first."""
    total = sum(entry.instances for entry in metrics.classes)
    rows = [("all", metrics.images, total, shown(metrics.ap50), shown(metrics.ap))]
    rows += [(printable(e.name), e.images, e.instances, shown(e.ap50), shown(e.ap)) for e in metrics.classes]
    headers = ("class", "images", "instances", "AP50", "AP")
    return tabulate(rows, headers=headers, disable_numparse=True, colalign=("left", *["right"] * 4))


def shown(value: float) -> str:
    """A figure as text, '-' where it is undefined."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def _entries(truth: Truth, image_ids: np.ndarray, classes: Classes) -> list[dict[str, Any]]:
    """Annotations as pycocotools wants them. Ids begin at 1, because it takes a match with id 0 for no match."""
    columns = (truth.images, truth.labels, truth.boxes_xywh, truth.areas, truth.crowd)
    return [
        {
            "id": number,
            "image_id": int(image_ids[image]),
            "category_id": classes.ids[label],
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
        }
        for number, (image, label, box, area, crowd) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True), start=1
        )
    ]


def _region_entries(records: Iterable[ImageRecord], classes: Classes, first_id: int) -> list[dict[str, Any]]:
    """The regions to ignore: each is a crowd of every class."""
    boxes = (
        (record.image_id, [left, top, right - left, bottom - top])
        for record in records
        for left, top, right, bottom in record.regions_xyxy.tolist()
    )
    entries = (
        {"image_id": image_id, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 1}
        for image_id, box in boxes
        for category in classes.ids
    )
    return [{"id": number, **entry} for number, entry in enumerate(entries, first_id)]


def _mean_of_known(values: np.ndarray) -> float:
    """Over the classes that have annotations; pycocotools marks the others with -1."""
    known = values[values > -1]
    return float(known.mean()) if known.size else math.nan


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
