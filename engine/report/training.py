"""The pictures and tables that a training leaves in its folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from data.loading.loader import Batch
from engine.metrics.coco import class_table, figures_table
from engine.metrics.evaluate import EvalResult
from engine.report.draw import draw_batch
from engine.report.plots import plot_results
from engine.report.recorder import RESULTS
from engine.report.validation import save_pictures, write_jpeg
from files.printable import Lines

log = logging.getLogger(__name__)


def draw_training_batch(batch: Batch, names: Sequence[str], path: Path) -> None:
    """Writes a batch as the network sees it, with its boxes."""
    captions = [Path(meta.path).name for meta in batch.metas]
    write_jpeg(path, draw_batch(batch.images, batch.targets, names, captions))


def finish_report(result: EvalResult, names: Sequence[str], folder: Path, *, plots: bool) -> None:
    """Prints the figures of the best weights; draws the curves of the run and the validation pictures."""
    tables = Lines(f"{figures_table(result.metrics)}\n\n{class_table(result.metrics)}")
    log.info("\n%s\n\n%s", tables, result.speed_line())
    for note in result.notes:
        log.info("note: %s", note)
    if plots:
        plot_results(folder / RESULTS, folder / "results.png")
        save_pictures(result, names, folder)
