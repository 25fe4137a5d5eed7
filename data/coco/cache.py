"""What scans of data sets are kept in: one file of arrays each, mapped into memory and shared by all processes.

The files lie under `scans/` in the user's cache folder, named by the annotation file's content. One is used only where
it is whole, byte for byte, and every image file has the size and modification time that it had. Otherwise, and where
the folder cannot be written, the data set is scanned again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from files.arrays import DamagedArraysError, StoredArrays, read_arrays, write_arrays
from files.atomic import LEFTOVER_AGE_S, remove_leftovers
from files.cache import cache_folder

_VERSION = 4


def read_scan(key: str) -> StoredArrays | None:
    """What `write_scan` kept under `key`; None if there is nothing, or it is not as it was written."""
    try:
        stored = read_arrays(scan_file(key))
    except (OSError, DamagedArraysError):
        return None
    return stored if stored.facts.get("version") == _VERSION else None


def write_scan(key: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Keeps the result of a scan, in one piece or not at all."""
    file = scan_file(key)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(file.parent, LEFTOVER_AGE_S)
        write_arrays(file, arrays, {"version": _VERSION, **facts})


def scan_file(key: str) -> Path:
    """Where the scan with this key is kept."""
    return cache_folder() / "scans" / f"{key}.arrays"
