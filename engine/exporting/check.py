"""Does a written file compute what PyTorch does? It is run by its own back end, on real pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.backends import Backend
from engine.errors import EngineError
from engine.exporting.format import Tolerance
from models.heads.base import Predictions

LIKELY = 0.05
"""Score from which on a cell is likely to be shown."""
AT_LEAST = 100
"""So many cells of a picture are compared, the best ones, however unlikely they are."""


@dataclass(frozen=True)
class Differences:
    """Between a file and PyTorch, over some pictures.

    Attributes:
        boxes_px: largest one of a side of a box, pixels of the input.
        scores: largest one of a score.
        torch_ms, file_ms: median time of a call, milliseconds.
        pictures, cells: what was compared.
    """

    boxes_px: float
    scores: float
    torch_ms: float
    file_ms: float
    pictures: int
    cells: int


Run = Callable[[Tensor], Predictions]


def compare(reference: Run, backend: Backend, batches: Sequence[Tensor], name: str) -> Differences:
    """Runs both on the same inputs.

    Args:
        reference: PyTorch, in float32.
        backend: of the file.
        batches: `(B, 3, H, W)` uint8 RGB each.
        name: of the file, as a message names it.

    Raises:
        EngineError: the file gives other shapes.
    """
    boxes_px = scores = 0.0
    cells = 0
    times: dict[str, list[float]] = {"torch": [], "file": []}
    for images in batches:
        expected, actual = _timed(reference, images, times["torch"]), _timed(backend, images, times["file"])
        actual = Predictions(*(part.cpu() for part in actual))
        if actual.boxes_xyxy.shape != expected.boxes_xyxy.shape or actual.scores.shape != expected.scores.shape:
            shapes = tuple(tuple(part.shape) for part in (*actual, *expected))
            raise EngineError(f"{name}: gives boxes and scores of {shapes[:2]} where PyTorch gives {shapes[2:]}")
        for index in range(len(images)):
            chosen = _likely(expected.scores[index])  # (n,)
            boxes_px = max(boxes_px, _largest(actual.boxes_xyxy[index] - expected.boxes_xyxy[index], chosen))
            scores = max(scores, _largest(actual.scores[index] - expected.scores[index], chosen))
            cells += len(chosen)
    median = {which: 1000 * float(torch.tensor(seconds).median()) for which, seconds in times.items()}
    pictures = sum(map(len, batches))
    return Differences(boxes_px, scores, median["torch"], median["file"], pictures, cells)


def require_equal(found: Differences, tolerance: Tolerance, path: Path, precision: str) -> None:
    """Refuses a file that computes something else.

    Raises:
        EngineError: a difference beyond the tolerance, or one that is no number.
    """
    for what, value, most, unit in (
        ("boxes", found.boxes_px, tolerance.boxes_px, " px"),
        ("scores", found.scores, tolerance.scores, ""),
    ):
        if not value <= most:  # NaN, too
            raise EngineError(
                f"{path}: not written, since its {what} differ from PyTorch's by {value:.3g}{unit}, more than the "
                f"{most:g}{unit} that {precision} may; report it with the model"
            )


def _likely(scores: Tensor) -> Tensor:
    """Indices `(n,)` of the cells `(N, nc)` to compare."""
    best = scores.amax(1)  # (N,)
    order = best.argsort(descending=True, stable=True)
    return order[: max(min(AT_LEAST, len(order)), int((best > LIKELY).sum()))]


def _largest(difference: Tensor, chosen: Tensor) -> float:
    return float(difference[chosen].abs().max()) if len(chosen) else 0.0


def _timed(run: Run, images: Tensor, times: list[float]) -> Predictions:
    run(images) if not times else None  # the first call prepares what later ones use
    start = time.perf_counter()
    result = run(images)
    times.append(time.perf_counter() - start)
    return result
