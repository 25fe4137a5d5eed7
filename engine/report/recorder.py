"""What a training leaves behind for people: `results.csv`, TensorBoard events, `opt.yaml` and `hyp.yaml`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch.utils.tensorboard import SummaryWriter

from engine.errors import EngineError
from files.atomic import atomic_path, write_text

RESULTS = "results.csv"


class Recorder:
    """Writes one row per epoch; the file is whole after every epoch.

    Args:
        folder: the run's folder.
        first_epoch: rows of this epoch and later ones, left by an interrupted training, are dropped.

    Raises:
        EngineError: the rows that an interrupted training left cannot be read.
    """

    def __init__(self, folder: Path, first_epoch: int = 0) -> None:
        self.path = folder / RESULTS
        self.rows = _rows_before(first_epoch, self.path)
        self._events = SummaryWriter(str(folder), purge_step=first_epoch or None)

    def add_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Appends the values of an epoch (counted from 0) to `results.csv` and to the events."""
        self.rows.append({"epoch": str(epoch), **{key: f"{value:.6g}" for key, value in values.items()}})
        with atomic_path(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            # Epochs without validation have fewer columns: the widest row names them all.
            widest = max(self.rows, key=len)
            writer = csv.DictWriter(file, list(widest), restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        for key, value in values.items():
            self._events.add_scalar(key, value, epoch)
        self._events.flush()

    def history(self) -> tuple[dict[str, float], ...]:
        """The rows so far as numbers, rounded as in the file; what an epoch did not measure is absent from its row."""
        return tuple({key: float(text) for key, text in row.items() if text} for row in self.rows)

    def close(self) -> None:
        """Ends the event file."""
        self._events.close()


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Writes plain values as YAML, in their order."""
    write_text(path, yaml.safe_dump(dict(values), sort_keys=False))


def _rows_before(first_epoch: int, path: Path) -> list[dict[str, str]]:
    if first_epoch == 0 or not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if int(row["epoch"]) < first_epoch]
    except (KeyError, TypeError, ValueError, csv.Error):
        raise EngineError(f"{path}: is not the table that the training wrote; restore it, or remove it") from None
