"""Measuring a list of detections against a COCO JSON in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.metrics.coco import CocoMetrics, GroundTruth


def coco_average_precision(
    annotations: Path | Mapping[str, Any], detections: Sequence[Mapping[str, Any]]
) -> CocoMetrics:
    """The figures of a COCO-results list against a COCO JSON or its content."""
    return GroundTruth(annotations).measure(detections)
