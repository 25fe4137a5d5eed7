"""A split in COCO's format."""

from __future__ import annotations

import os
from typing import Any

from data.coco.split import CocoSplit
from data.convert.target import Target
from data.formats.pictures import names_from
from files.atomic import write_json


def write_coco(split: CocoSplit, target: Target) -> dict[str, str]:
    """Writes `annotations/<split>.json`; returns the split's entry of the YAML. Outlines are not kept."""
    file = target.work / "annotations" / f"{target.split}.json"
    file.parent.mkdir(exist_ok=True)
    if target.copy:
        names = target.picture_names(split)
        for record, name in zip(split.records, names, strict=True):
            target.place(record, name)
        folder = f"images/{target.split}"
    else:
        root = target.config.source(target.split).images
        names = names_from(root, (record.path for record in split.records))
        folder = os.path.relpath(root.resolve(), target.folder)
    write_json(file, _document(split, target, names))
    return {"images": folder, "annotations": f"annotations/{target.split}.json"}


def _document(split: CocoSplit, target: Target, names: list[str]) -> dict[str, Any]:
    classes = target.classes
    categories = [{"id": number, "name": name} for number, name in zip(classes.ids, classes.names, strict=True)]
    ignored = max(classes.ids) + 1
    if target.region_name:
        categories.append({"id": ignored, "name": target.region_name})
    images = [
        {"id": record.image_id, "file_name": name, "width": record.width, "height": record.height}
        for record, name in zip(split.records, names, strict=True)
    ]
    entries = [*_boxes(split, classes.ids), *_regions(split, ignored)]
    annotations = [{"id": number, **entry, "segmentation": []} for number, entry in enumerate(entries, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _boxes(split: CocoSplit, ids: tuple[int, ...]) -> list[dict[str, Any]]:
    """The usable boxes as the scan left them, with the areas that the data set states."""
    assert split.table is not None
    table, truth = split.table, split.table.scanned()
    image_ids = [record.image_id for record in split.records]
    crowd, ignored = table.crowd[table.kept].tolist(), table.ignored[table.kept].tolist()  # (n,)
    columns = (truth.images, truth.labels, truth.boxes_xywh, truth.areas)
    rows = zip(*(column.tolist() for column in columns), crowd, ignored, strict=True)
    return [
        {
            "image_id": image_ids[image],
            "category_id": ids[label],
            "bbox": box,
            "area": area,
            "iscrowd": int(is_crowd),
            **({"ignore": 1} if is_ignored else {}),
        }
        for image, label, box, area, is_crowd, is_ignored in rows
    ]


def _regions(split: CocoSplit, category: int) -> list[dict[str, Any]]:
    return [
        {
            "image_id": record.image_id,
            "category_id": category,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": 0,
        }
        for record in split.records
        for left, top, right, bottom in record.regions_xyxy.tolist()
    ]
