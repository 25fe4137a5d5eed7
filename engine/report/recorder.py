"""What a training leaves behind for people: `results.csv`, TensorBoard events, `opt.yaml` and `hyp.yaml`."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from engine.errors import EngineError
from engine.report.events import EventFile
from files.atomic import atomic_path, write_text

log = logging.getLogger(__name__)

RESULTS = "results.csv"


class Recorder:
    """Writes one row per epoch; the file is whole after every epoch.

    Args:
        folder: the run's folder.
        first_epoch: rows of this epoch and later ones, left by an interrupted training, are dropped.

    Raises:
        EngineError: the rows that an interrupted training left cannot be read.
        OutputError: the events cannot be written.
    """

    def __init__(self, folder: Path, first_epoch: int = 0) -> None:
        self.path = folder / RESULTS
        self.rows = read_rows(folder, first_epoch)
        self._events = EventFile(folder, purge_step=first_epoch or None)

    def add_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Appends the values of an epoch (counted from 0) to `results.csv` and to the events.

        Raises:
            OutputError: one of them cannot be written; the rows of the epochs before are still there.
        """
        self.rows.append({"epoch": str(epoch), **{key: f"{value:.6g}" for key, value in values.items()}})
        with atomic_path(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            # Epochs without validation have fewer columns: the widest row names them all.
            widest = max(self.rows, key=len)
            writer = csv.DictWriter(file, list(widest), restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        self._events.add(values, epoch)

    def history(self) -> tuple[dict[str, float], ...]:
        """The rows so far as numbers, rounded as in the file; what an epoch did not measure is absent from its row."""
        return tuple({key: float(text) for key, text in row.items() if text} for row in self.rows)


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Writes plain values as YAML, in their order."""
    write_text(path, yaml.safe_dump(dict(values), sort_keys=False))


def read_rows(folder: Path, first_epoch: int) -> list[dict[str, str]]:
    """The rows of `results.csv` before an epoch (from 0), checked. Epochs that it lacks are told.

    Raises:
        EngineError: it is not what a training writes.
    """
    path = folder / RESULTS
    if first_epoch == 0:
        return []
    try:
        rows = _rows_of(path) if path.is_file() else []
    except (OSError, TypeError, ValueError, csv.Error):
        raise EngineError(f"{path}: is not the table that the training wrote; restore it, or remove it") from None
    rows = [row for row in rows if int(row["epoch"]) < first_epoch]
    if len(rows) < first_epoch:
        log.warning("warning: %s has %d of %d epochs; it goes on without the others", path, len(rows), first_epoch)
    return rows


def _rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file, restval="")
        rows = list(table)
    if "epoch" not in (table.fieldnames or ()):
        raise ValueError("no column of epochs")
    epochs = [int(row.get("epoch", "")) for row in rows]
    if epochs != sorted({*epochs}) or any(epoch < 0 for epoch in epochs):
        raise ValueError("epochs out of order")
    for row in rows:
        if not all(isinstance(key, str) for key in row):
            raise ValueError("more values than columns")
        for text in row.values():
            float(text or 0)
    return rows
