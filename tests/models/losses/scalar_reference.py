"""The loss of an anchor-based head with plain numbers and loops: slow, and written from the definition.

What it shares with models/losses is the definition only. A box belongs to every anchor whose sides differ from its own
by less than a factor, in the cell of its centre and in the two nearest neighbours. The overlap is complete IoU (arXiv
1911.08287, section 3.3). Objectness learns the best overlap of a cell. Levels are weighed by their fineness.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

Box = tuple[float, float, float, float]  # cx, cy, w, h
Cell = tuple[int, int, int, int]  # image, anchor, row, column

_THREE_LEVELS = (4.0, 1.0, 0.4)
_OTHER_NUMBERS = (4.0, 1.0, 0.25, 0.06, 0.02)
_LEAST_SIDE = 1e-4  # cells


def anchor_loss(
    logits: Sequence[Sequence],
    targets: Sequence[Sequence[float]],
    anchors: Sequence[Sequence[Sequence[float]]],
    strides: Sequence[float],
    gains: Mapping[str, float],
) -> dict[str, float]:
    """Box, objectness and class loss, gains applied, averaged over the images of the batch.

    Args:
        logits: nested lists, levels of `(B, A, H, W, 5 + nc)`.
        targets: rows of image, class, cx, cy, w, h in 0..1.
        anchors: `(levels, A, 2)` in cells; strides: pixels per cell of each level.
        gains: as in a recipe, `obj` scaled for the size of the image already.
    """
    levels = len(logits)
    num_classes = len(logits[0][0][0][0][0]) - 5
    total = {"box": 0.0, "obj": 0.0, "cls": 0.0}
    for level, weight in enumerate(balance(strides)):
        box, objectness, label = _level(logits[level], targets, anchors[level], gains)
        total["box"] += box * gains["box"] * 3 / levels
        total["obj"] += objectness * weight * gains["obj"] * 3 / levels
        total["cls"] += label * gains["cls"] * num_classes / 80 * 3 / levels
    return total


def balance(strides: Sequence[float]) -> list[float]:
    """Weight of each level's objectness: the finest level has the largest, wherever it stands."""
    weights = _THREE_LEVELS if len(strides) == 3 else _OTHER_NUMBERS
    rank = {stride: place for place, stride in enumerate(sorted(strides))}
    return [weights[min(rank[stride], len(weights) - 1)] for stride in strides]


def matches(
    targets: Sequence[Sequence[float]], anchors: Sequence[Sequence[float]], height: int, width: int, limit: float
) -> Iterator[tuple[Cell, Box, int]]:
    """Cell, box (its centre relative to the cell's corner) and class, for every cell that answers for a box."""
    for image, label, cx, cy, w, h in targets:
        x, y, box_w, box_h = cx * width, cy * height, w * width, h * height
        for index, (anchor_w, anchor_h) in enumerate(anchors):
            if max(box_w / anchor_w, anchor_w / box_w, box_h / anchor_h, anchor_h / box_h) >= limit:
                continue
            for row, column in _cells(x, y, height, width):
                yield (int(image), index, row, column), (x - column, y - row, box_w, box_h), int(label)


def _cells(x: float, y: float, height: int, width: int) -> set[tuple[int, int]]:
    """The centre's own cell, and the nearer one of its neighbours in each direction where there is one."""
    row, column = min(int(y), height - 1), min(int(x), width - 1)
    cells = {(row, column)}
    if x % 1 < 0.5 and x > 1:
        cells.add((row, column - 1))
    if (width - x) % 1 < 0.5 and width - x > 1:
        cells.add((row, column + 1))
    if y % 1 < 0.5 and y > 1:
        cells.add((row - 1, column))
    if (height - y) % 1 < 0.5 and height - y > 1:
        cells.add((row + 1, column))
    return cells


def _level(
    logits: Sequence, targets: Sequence[Sequence[float]], anchors: Sequence[Sequence[float]], gains: Mapping[str, float]
) -> tuple[float, float, float]:
    height, width = len(logits[0][0]), len(logits[0][0][0])
    quality: dict[Cell, float] = {}
    box_losses, label_losses = [], []
    for cell, box, label in matches(targets, anchors, height, width, gains["anchor_t"]):
        image, anchor, row, column = cell
        values = logits[image][anchor][row][column]
        overlap = complete_iou(_decoded(values, anchors[anchor]), box)
        box_losses.append(1 - overlap)
        quality[cell] = max(quality.get(cell, 0.0), overlap, 0.0)
        label_losses.append(_label_loss(values[5:], label, gains))
    cells = [
        (image, anchor, row, column)
        for image in range(len(logits))
        for anchor in range(len(anchors))
        for row in range(height)
        for column in range(width)
    ]
    objectness = [
        cross_entropy(logits[i][a][r][c][4], quality.get((i, a, r, c), 0.0), gains["obj_pw"]) for i, a, r, c in cells
    ]
    return _mean(box_losses), _mean(objectness), _mean(label_losses)


def _decoded(values: Sequence[float], anchor: Sequence[float]) -> Box:
    x, y, w, h = (2 * sigmoid(value) for value in values[:4])
    return x - 0.5, y - 0.5, max(w * w * anchor[0], _LEAST_SIDE), max(h * h * anchor[1], _LEAST_SIDE)


def _label_loss(values: Sequence[float], label: int, gains: Mapping[str, float]) -> float:
    if len(values) == 1:
        return 0.0
    smoothing = gains.get("label_smoothing", 0.0)
    truths = [1 - smoothing / 2 if index == label else smoothing / 2 for index in range(len(values))]
    return _mean([cross_entropy(value, truth, gains["cls_pw"]) for value, truth in zip(values, truths, strict=True)])


def complete_iou(a: Box, b: Box) -> float:
    """Overlap, minus the distance of the centres, minus the difference of the aspect ratios."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    inter_w = max(0.0, min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2))
    inter_h = max(0.0, min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2))
    iou = inter_w * inter_h / (aw * ah + bw * bh - inter_w * inter_h)
    hull_w = max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)
    hull_h = max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    distance = ((ax - bx) ** 2 + (ay - by) ** 2) / (hull_w**2 + hull_h**2)
    v = 4 / math.pi**2 * (math.atan(bw / bh) - math.atan(aw / ah)) ** 2
    return iou - distance - (v * v / (1 - iou + v) if v else 0.0)


def cross_entropy(logit: float, truth: float, positive_weight: float = 1.0) -> float:
    """Binary cross-entropy of a logit; `positive_weight` multiplies the part of the truth."""
    return positive_weight * truth * softplus(-logit) + (1 - truth) * softplus(logit)


def softplus(value: float) -> float:
    """log(1 + exp(value)), which does not overflow."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)), which does not overflow."""
    return math.exp(-softplus(-value))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
