"""Does a written file compute what PyTorch does? It is run by its own back end, on real pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from torch import Tensor

from engine.errors import EngineError
from engine.exporting.format import Tolerance
from models.heads.base import Predictions

LIKELY = 0.05
"""Score from which on a cell is likely to be shown."""
AT_LEAST = 100
"""So many cells of a picture are compared, the best ones, however unlikely they are."""

Run = Callable[[Tensor], Predictions]
"""Images `(B, 3, H, W)` uint8 to predictions."""

Compare = Callable[[Predictions, Predictions], "Distance"]
"""What PyTorch and the file say of one picture, `(N, 4)` and `(N, nc)` each, to how far they are apart."""


@dataclass(frozen=True)
class Distance:
    """How far a file is from PyTorch.

    Attributes:
        boxes_px: of a side of a box, pixels of the input; the largest one.
        scores: of a score; the largest one. Both are infinite where something is no number, or not there.
        cells: what was compared.
    """

    boxes_px: float = 0.0
    scores: float = 0.0
    cells: int = 0

    def __add__(self, other: Distance) -> Distance:
        boxes_px, scores = max(self.boxes_px, other.boxes_px), max(self.scores, other.scores)
        return Distance(boxes_px, scores, self.cells + other.cells)


@dataclass(frozen=True)
class Differences(Distance):
    """Between a file and PyTorch, over some pictures.

    Attributes:
        torch_ms, file_ms: median time of a call, milliseconds.
        pictures: how many.
    """

    torch_ms: float = 0.0
    file_ms: float = 0.0
    pictures: int = 0


def differences(reference: Run, backend: Run, batches: Sequence[Tensor], compare: Compare) -> Differences:
    """Runs both on the same inputs, `(B, 3, H, W)` uint8 RGB each.

    Args:
        reference: PyTorch, in float32.
        backend: what runs the file.
        compare: `cell_distance`, or what suits a file that suppresses itself.
    """
    total, torch_s, file_s = Distance(), [], []
    for number, images in enumerate(batches):
        if number == 0:  # the first call prepares what later ones use
            reference(images), backend(images)
        expected, seconds = _timed(reference, images)
        torch_s.append(seconds)
        actual, seconds = _timed(backend, images)
        file_s.append(seconds)
        for index in range(len(images)):
            first, second = (Predictions(*(part[index].cpu() for part in each)) for each in (expected, actual))
            total += compare(first, second)
    torch_ms, file_ms = (1000 * median(seconds) for seconds in (torch_s, file_s))
    return Differences(total.boxes_px, total.scores, total.cells, torch_ms, file_ms, sum(map(len, batches)))


def cell_distance(expected: Predictions, actual: Predictions) -> Distance:
    """Cell by cell, of those that are likely in PyTorch."""
    if expected.boxes_xyxy.shape != actual.boxes_xyxy.shape or expected.scores.shape != actual.scores.shape:
        return Distance(math.inf, math.inf, len(expected.scores))
    chosen = likely(expected.scores)  # (n,)
    boxes, scores = (one[chosen] - other[chosen] for one, other in zip(expected, actual, strict=True))
    return Distance(largest(boxes), largest(scores), len(chosen))


def require_equal(found: Distance, tolerance: Tolerance, path: Path, precision: str) -> None:
    """Refuses a file that computes something else.

    Raises:
        EngineError: a difference beyond the tolerance.
    """
    for what, value, most, unit in (
        ("boxes", found.boxes_px, tolerance.boxes_px, " px"),
        ("scores", found.scores, tolerance.scores, ""),
    ):
        if value > most:
            raise EngineError(
                f"{path}: not written, since its {what} differ from PyTorch's by {value:.3g}{unit}, more than the "
                f"{most:g}{unit} that {precision} may; report it with the model"
            )


def likely(scores: Tensor) -> Tensor:
    """Indices `(n,)` of the cells `(N, nc)` to compare."""
    best = scores.amax(1)  # (N,)
    order = best.argsort(descending=True, stable=True)
    return order[: max(AT_LEAST, int((best > LIKELY).sum()))]


def largest(difference: Tensor) -> float:
    """The largest absolute value; 0 of nothing; infinite where one is no number."""
    if not difference.numel():
        return 0.0
    value = float(difference.abs().max())
    return math.inf if math.isnan(value) else value


def _timed(run: Run, images: Tensor) -> tuple[Predictions, float]:
    start = time.perf_counter()
    return run(images), time.perf_counter() - start
