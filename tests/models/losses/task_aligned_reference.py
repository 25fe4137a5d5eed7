"""Assignment and loss of an anchor-free head with plain numbers and loops: slow, and written from the definition.

What it shares with models/losses is the definition only: TOOD (arXiv 2108.07755, section 3.2) with a score's root and
the sixth power of complete IoU (arXiv 1911.08287, section 3.3), GFL's distribution of distances (arXiv 2006.04388).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

ALPHA, BETA = 0.5, 6


@dataclass
class Image:
    """What the cells of an image say, and what is true.

    Attributes:
        points: of every cell, x and y in pixels; sides: of every cell, pixels.
        boxes: predicted by every cell; scores: of every cell, per class.
        truths: boxes; labels: their classes.
    """

    points: Sequence[tuple[float, float]]
    sides: Sequence[float]
    boxes: Sequence[Box]
    scores: Sequence[Sequence[float]]
    truths: Sequence[Box]
    labels: Sequence[int]
    weight: dict[int, float] = field(default_factory=dict)


def cells(shapes: Sequence[tuple[int, int]], strides: Sequence[float]) -> tuple[list[tuple[float, float]], list[float]]:
    """Points in pixels and sides of all cells."""
    points, sides = [], []
    for (height, width), stride in zip(shapes, strides, strict=True):
        for row in range(height):
            for column in range(width):
                points.append(((column + 0.5) * stride, (row + 0.5) * stride))
                sides.append(stride)
    return points, sides


def distances(logits: Sequence[float], reg_max: int) -> list[float]:
    """Four distances in cells from the box logits of a cell."""
    if reg_max == 1:
        return list(logits)
    found = []
    for side in range(4):
        powers = [math.exp(value) for value in logits[side * reg_max : (side + 1) * reg_max]]
        found.append(sum(k * power for k, power in enumerate(powers)) / sum(powers))
    return found


def box_of(point: tuple[float, float], side: float, away: Sequence[float]) -> Box:
    """The box of a cell from its four distances in cells."""
    (x, y), (left, top, right, bottom) = point, away
    return x - left * side, y - top * side, x + right * side, y + bottom * side


def complete_iou(a: Box, b: Box) -> float:
    """IoU less the distance of the centres and the difference of the aspects."""
    wa, ha, wb, hb = a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1]
    common = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    if common == 0:
        return 0.0  # what is subtracted makes it negative or nothing, which counts as 0
    iou = common / (wa * ha + wb * hb - common)
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    apart = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4
    aspect = (2 / math.pi * (math.atan(wa / ha) - math.atan(wb / hb))) ** 2
    trade_off = aspect / (1 - iou + aspect) if aspect else 0.0
    return iou - apart / diagonal - trade_off * aspect


def is_inside(point: tuple[float, float], box: Box, smallest: float = 0.0) -> bool:
    """Whether a point lies strictly inside a box whose short sides are brought to the smallest one."""
    for axis in range(2):
        low, high = box[axis], box[axis + 2]
        if high - low < smallest:
            low, high = (low + high - smallest) / 2, (low + high + smallest) / 2
        if not low < point[axis] < high:
            return False
    return True


def assign(image: Image, smallest: float, topk: int, kept: int | None) -> dict[int, int]:
    """The box of every cell that answers for one; soft targets are written into `image.weight`."""
    overlap: list[dict[int, float]] = []
    aligned: list[dict[int, float]] = []
    for truth, label in zip(image.truths, image.labels, strict=True):
        inside = [cell for cell, point in enumerate(image.points) if is_inside(point, truth, smallest)]
        overlap.append({cell: max(complete_iou(image.boxes[cell], truth), 0) for cell in inside})
        aligned.append({cell: image.scores[cell][label] ** ALPHA * overlap[-1][cell] ** BETA for cell in inside})

    asked: dict[int, list[int]] = {}
    for box, values in enumerate(aligned):
        for cell in _best([cell for cell in values if values[cell] > 0], values, topk):
            asked.setdefault(cell, []).append(box)
    owner = {}
    for cell, boxes in asked.items():
        rivals = [box for box in range(len(overlap)) if cell in overlap[box]]
        owner[cell] = boxes[0] if len(boxes) == 1 else max(rivals, key=lambda box, cell=cell: overlap[box][cell])
    for box in range(len(overlap)):
        own = sorted(cell for cell in owner if owner[cell] == box)
        for cell in set(own) - set(own if kept is None else _best(own, aligned[box], kept)):
            del owner[cell]
        own = [cell for cell in own if cell in owner]
        for cell in own:
            most = max(aligned[box][other] for other in own)
            image.weight[cell] = aligned[box][cell] / (most + 1e-9) * max(overlap[box][other] for other in own)
    return owner


def _best(among: Sequence[int], values: dict[int, float], count: int) -> list[int]:
    """Those of the highest values; of equal ones the first."""
    return sorted(among, key=lambda cell: (-values[cell], cell))[:count]


def losses(
    images: Sequence[Image],
    owners: Sequence[dict[int, int]],
    logits: Sequence[Sequence[Sequence[float]]],
    reg_max: int,
    input_hw: tuple[int, int],
    ignored: Sequence[Sequence[Box]],
) -> dict[str, float]:
    """Box, class and distance loss without gains.

    Args:
        logits: of each image, of each cell, `4 * reg_max + nc` numbers.
        ignored: regions of each image.
    """
    total = {"box": 0.0, "cls": 0.0, "dfl": 0.0}
    for image, owner, rows, regions in zip(images, owners, logits, ignored, strict=True):
        for cell, (point, row) in enumerate(zip(image.points, rows, strict=True)):
            box, weight = owner.get(cell), image.weight.get(cell, 0.0)
            if box is None and any(is_inside(point, region) for region in regions):
                continue
            for label, logit in enumerate(row[4 * reg_max :]):
                wanted = weight if box is not None and label == image.labels[box] else 0.0
                total["cls"] += max(logit, 0) - logit * wanted + math.log1p(math.exp(-abs(logit)))
            if box is not None:
                truth, side = image.truths[box], image.sides[cell]
                total["box"] += weight * (1 - complete_iou(image.boxes[cell], truth))
                away = [point[0] - truth[0], point[1] - truth[1], truth[2] - point[0], truth[3] - point[1]]
                total["dfl"] += weight * _distance_loss(row, [value / side for value in away], reg_max, side, input_hw)
    n = max(sum(sum(image.weight.values()) for image in images), 1)
    return {name: value / n for name, value in total.items()}


def _distance_loss(
    row: Sequence[float], wanted: Sequence[float], reg_max: int, side: float, input_hw: tuple[int, int]
) -> float:
    if reg_max == 1:
        size = (input_hw[1], input_hw[0]) * 2
        return sum(abs(row[i] - wanted[i]) * side / size[i] for i in range(4)) / 4
    total = 0.0
    for number, value in enumerate(wanted):
        bins = row[number * reg_max : (number + 1) * reg_max]
        clamped = min(max(value, 0), reg_max - 1 - 0.01)
        below = math.floor(clamped)
        log_sum = math.log(sum(math.exp(logit) for logit in bins))
        for bin_, share in ((below, below + 1 - clamped), (below + 1, clamped - below)):
            total += share * (log_sum - bins[bin_])
    return total / 4
