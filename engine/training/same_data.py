"""Is a data set the one that a training began with? Compared by content, wherever it lies now.

A split is known by the number of its pictures and boxes, and by a digest of each: names (without folders) and sizes of
the pictures, in order; boxes, classes, crowds and regions to ignore. Pixels are not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.coco.records import CocoSplit

Contents = Mapping[str, Mapping[str, Any]]
"""What is known of each split by name."""


def contents_of(train: CocoSplit, val: CocoSplit) -> dict[str, dict[str, Any]]:
    """What `last.pt` keeps of the data set: plain values, and no path of its owner."""
    return {"train": _contents(train), "val": _contents(val)}


def _contents(split: CocoSplit) -> dict[str, Any]:
    pictures, annotations = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    boxes = 0
    for record in split.records:
        size = f"{record.width}|{record.height}|{_bytes_of(record.path)}"
        pictures.update(f"{record.path.name}|{size}\n".encode(errors="surrogateescape"))
        annotations.update(len(record.labels).to_bytes(8, "little"))
        for array in (record.boxes_xyxy, record.labels, record.crowd, record.regions_xyxy):
            annotations.update(array.tobytes())
        boxes += len(record.labels)
    return {
        "images": len(split.records),
        "boxes": boxes,
        "pictures": pictures.hexdigest(),
        "annotations": annotations.hexdigest(),
    }


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it has gone since the scan, which the loader will tell
        return 0


def differences(before: Contents, now: Contents) -> list[str]:
    """What differs, in words: `train has 12 images, not 10`, `val has other boxes`; empty where nothing does."""
    found = []
    for split, then in before.items():
        here = now[split]
        counts = [f"{here[what]} {what}, not {then[what]}" for what in ("images", "boxes") if here[what] != then[what]]
        if counts:
            found.append(f"{split} has {' and '.join(counts)}")
        elif here["pictures"] != then["pictures"]:
            found.append(f"{split} has pictures of other names or sizes, or in another order")
        elif here["annotations"] != then["annotations"]:
            found.append(f"{split} has other boxes or classes")
    return found
