"""The random-number generators of the process: seeded together, kept and set again as plain data."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seeds Python's, NumPy's and torch's generators, those of accelerators included."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - blocks of others may draw from it
    torch.manual_seed(seed)


def random_states(device: torch.device) -> dict[str, Any]:
    """What `set_random_states` takes: tensors and plain data, which `torch.load(weights_only=True)` reads."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    states = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Continues where the generators were; an accelerator's only where they come from one of its kind."""
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
