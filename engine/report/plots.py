"""Curves and matrices as PNG files, drawn by matplotlib without a display."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.media.fonts import drawable, families
from engine.metrics.coco import FIGURES, RECALL_POINTS, CocoMetrics
from engine.metrics.confusion import ConfusionMatrix
from files.atomic import write_bytes

LEGEND_CLASSES = 12  # with more classes a legend would cover more than it explains
LONGEST_NAME = 40  # letters; longer ones would leave no room for the plot
ANNOTATED_CLASSES = 30  # with more classes the cells of a matrix are too small for numbers


def plot_precision_recall(metrics: CocoMetrics, png: str | Path) -> None:
    """Precision over recall at IoU 0.5: a thin line per class that has annotations, a thick one for their mean."""
    names = [_name(entry.name) for entry in metrics.classes]
    with rc_context({"font.family": families(*names)}):
        _save(_draw_precision_recall(metrics, names), png)


def _draw_precision_recall(metrics: CocoMetrics, names: Sequence[str]) -> Figure:
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    shown = [k for k, entry in enumerate(metrics.classes) if not math.isnan(entry.ap50)]
    colors = colormaps["tab20"] if len(shown) <= LEGEND_CLASSES else None
    for position, k in enumerate(shown):
        entry = metrics.classes[k]
        if colors is None:
            axes.plot(RECALL_POINTS, metrics.precision50[k], linewidth=0.8, color="0.7")
        else:
            label = f"{names[k]} {entry.ap50:.3f}"
            axes.plot(
                RECALL_POINTS, metrics.precision50[k], linewidth=1.2, color=colors(2 * position % 20), label=label
            )
    if shown:
        mean = metrics.precision50[shown].mean(axis=0)
        axes.plot(RECALL_POINTS, mean, linewidth=3, color="black", label=f"mean of {len(shown)}: {metrics.ap50:.3f}")
        for text in axes.legend(title="AP50", loc="lower left", framealpha=0.9).get_texts():
            text.set_parse_math(False)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title="Precision and recall, IoU 0.5")
    axes.grid(alpha=0.3)
    return figure


def plot_confusion_matrix(matrix: ConfusionMatrix, names: Sequence[str], png: str | Path) -> None:
    """Shares of each true class (rows) by predicted class (columns), with numbers in the cells of small matrices."""
    labels = [*map(_name, names), "background"]
    with rc_context({"font.family": families(*labels)}):
        _save(_draw_confusion_matrix(matrix, labels), png)


def _draw_confusion_matrix(matrix: ConfusionMatrix, labels: Sequence[str]) -> Figure:
    size = float(np.clip(0.6 * len(labels) + 3, 6, 18))
    figure = Figure(figsize=(size, size * 0.88), layout="constrained")
    axes = figure.add_subplot()
    shares = matrix.normalized()
    image = axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, fraction=0.04, pad=0.02, label="share of the true class")
    font = float(np.clip(11 - len(labels) / 10, 5, 11))
    ticks = range(len(labels))
    upright = len(labels) > 8 or max(map(len, labels)) > 15
    axes.set_xticks(ticks, labels, rotation=90 if upright else 0, fontsize=font, parse_math=False)
    axes.set_yticks(ticks, labels, fontsize=font, parse_math=False)
    axes.set(
        xlabel="predicted (background: missed)",
        ylabel="true (background: false alarm)",
        title=f"Confusion matrix, score > {matrix.conf_thres}, IoU > {matrix.iou_thres}",
    )
    if len(labels) - 1 <= ANNOTATED_CLASSES:
        _write_shares(axes, shares, matrix.counts, font)
    return figure


def _write_shares(axes: Axes, shares: np.ndarray, counts: np.ndarray, font: float) -> None:
    with_counts = len(shares) <= 10
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = shares[row, column]
        text = f"{share:.2f}\n({counts[row, column]})" if with_counts else f"{share:.2f}"
        color = "white" if share > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=min(font, 9))


def plot_results(results_csv: str | Path, png: str | Path) -> None:
    """Curves of a training's `results.csv` over its epochs.

    Columns `train/x` and `val/x` share the panel x, the COCO figures have one for AP and one for AR, columns of another
    prefix share that of the prefix. Values that are empty or no number are skipped, as are columns without any value.
    """
    with Path(results_csv).open(newline="", encoding="utf-8") as file:
        rows = [{key.strip(): value for key, value in row.items() if key} for row in csv.DictReader(file)]
    columns = {key: [_number(row.get(key)) for row in rows] for key in (rows[0] if rows else {})}
    epochs = columns.pop("epoch", [float(number) for number in range(len(rows))])
    drawn = {key: values for key, values in columns.items() if not all(map(math.isnan, values))}
    panels = _panels(drawn)
    across = min(max(len(panels), 1), 4)
    down = max(math.ceil(len(panels) / across), 1)
    figure = Figure(figsize=(4 * across, 3 * down), layout="constrained")
    for position, (title, keys) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(down, across, position)
        for key in keys:
            # Gaps are dropped, else a figure that is known every third epoch would have no line.
            points = [point for point in zip(epochs, drawn[key], strict=True) if not math.isnan(point[1])]
            axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else None, label=_label(key))
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    _save(figure, png)


def _panels(columns: Iterable[str]) -> dict[str, list[str]]:
    panels: dict[str, list[str]] = {}
    for column in columns:
        prefix, _, name = column.partition("/")
        title = name if prefix in ("train", "val") else prefix
        if name in FIGURES:
            title = "average precision" if name.startswith("AP") else "average recall"
        panels.setdefault(title, []).append(column)
    return panels


def _label(column: str) -> str:
    prefix, _, name = column.partition("/")
    return prefix if prefix in ("train", "val") else name or column


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _name(text: str) -> str:
    """A class's name as a plot can show it."""
    shown = drawable(text, LONGEST_NAME) or "?"
    return f" {shown}" if shown.startswith("_") else shown  # matplotlib leaves these out of legends


def _save(figure: Figure, png: str | Path) -> None:
    FigureCanvasAgg(figure)
    in_memory = io.BytesIO()
    figure.savefig(in_memory, dpi=120, format="png")
    write_bytes(png, in_memory.getvalue())
