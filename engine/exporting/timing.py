"""Milliseconds of back ends that are compared with one another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from torch import Tensor

from engine.backends import Backend

BURST = 3
"""Timed calls in a row, after one that is not timed: caches are warm then, and threads of others have gone to sleep."""


def milliseconds(backends: Sequence[Backend], inputs: Sequence[Tensor], rounds: int) -> list[float]:
    """Median time of one call of each, from the picture in memory to boxes and scores.

    A machine's speed drifts by the minute. So that the figures can be divided by one another, the back ends take turns.

    Args:
        inputs: `(B, 3, H, W)` uint8 RGB; a round takes one of them, the next round the next one.
        rounds: how often it is each one's turn.
    """
    samples: list[list[float]] = [[] for _ in backends]
    for number in range(rounds):
        images = inputs[number % len(inputs)]
        for backend, times in zip(backends, samples, strict=True):
            for call in range(1 + BURST):
                seconds = _call(backend, images)
                if call:
                    times.append(seconds)
    return [1000 * median(times) for times in samples]


def _call(backend: Backend, images: Tensor) -> float:
    backend.synchronize()
    start = time.perf_counter()
    backend(images)
    backend.synchronize()
    return time.perf_counter() - start
