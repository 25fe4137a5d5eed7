"""Milliseconds and peak memory of functions that are compared with one another."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

Function = Callable[[], object]
Key = TypeVar("Key", bound=Hashable)

_SHORTEST_SAMPLE_MS, _LONG_SAMPLE_MS, _ROUNDS_OF_LONG_ONES = 20, 1000, 3
_MIB = 2**20


def time_in_turn(functions: Mapping[Key, Function], device: torch.device, rounds: int) -> dict[Key, float]:
    """Median milliseconds of one call of each function.

    A machine's speed drifts. So that the figures can be divided by one another, the functions take turns: each round
    has a sample of every one, of as many calls as fill 20 ms. What takes longer than a second has three samples.
    """
    once = {}
    for name, function in functions.items():
        _sample(function, 1, device)  # allocates and chooses kernels
        once[name] = _sample(function, 1, device)
    samples: dict[Key, list[float]] = {name: [] for name in functions}
    for number in range(rounds):
        for name, function in functions.items():
            if once[name] < _LONG_SAMPLE_MS or number < _ROUNDS_OF_LONG_ONES:
                calls = max(1, int(_SHORTEST_SAMPLE_MS / max(once[name], 1e-3)))
                samples[name].append(_sample(function, calls, device))
    return {name: statistics.median(values) for name, values in samples.items()}


def _sample(function: Function, calls: int, device: torch.device) -> float:
    """Milliseconds per call: by device events on a GPU, by the clock elsewhere."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            function()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / calls
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - begin) * 1000 / calls


def peak_memory(function: Function, device: torch.device) -> float:
    """MiB that torch's allocator hands out during a call beyond what was in use before, at the worst moment.

    Exact and repeatable: it is a count of allocations, not what the operating system shows.
    """
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / _MIB
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = function()
    del kept
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    memory = sorted((event for event in events if event.get("name") == "[memory]"), key=itemgetter("ts"))
    in_use = peak = 0
    for event in memory:
        in_use += event["args"]["Bytes"]
        peak = max(peak, in_use)
    return peak / _MIB
