"""The pictures are checked by what is in them where that can be said; that they look right was seen by a person."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from engine.metrics.coco import FIGURES, ClassMetrics, CocoMetrics
from engine.metrics.confusion import ConfusionMatrix
from engine.report import plots
from engine.report.plots import plot_confusion_matrix, plot_precision_recall, plot_results


def metrics_of(num_classes, absent=()):
    random = np.random.default_rng(0)
    precision = np.clip(1 - np.linspace(0, 1, 101) ** (1 + 5 * random.random((num_classes, 1))), 0, 1)
    precision[list(absent)] = math.nan
    classes = tuple(
        ClassMetrics(f"class {k}", 3, 5, ap=curve.mean() / 2, ap50=curve.mean()) for k, curve in enumerate(precision)
    )
    figures = dict.fromkeys(FIGURES, float(np.nanmean(precision)) if len(absent) < num_classes else math.nan)
    return CocoMetrics(figures, classes, precision, images=10)


@pytest.fixture
def figures(monkeypatch):
    """The matplotlib figures that were saved."""
    saved = []
    save = plots._save
    monkeypatch.setattr(plots, "_save", lambda figure, png: (saved.append(figure), save(figure, png)))
    return saved


def assert_picture(path, folder):
    image = cv2.imread(str(path))
    assert image is not None
    assert min(image.shape[:2]) > 300
    assert image.std() > 5
    assert [entry.name for entry in folder.iterdir() if entry.suffix == ".png"] == [path.name]


@pytest.mark.parametrize(("num_classes", "absent", "lines"), [(1, (), 2), (3, (1,), 3), (80, (), 81), (2, (0, 1), 0)])
def test_precision_recall(tmp_path, figures, num_classes, absent, lines):
    path = tmp_path / "PR_curve.png"
    plot_precision_recall(metrics_of(num_classes, absent), path)
    assert_picture(path, tmp_path)
    (axes,) = figures[0].axes
    assert len(axes.lines) == lines
    if lines:
        thickest = max(axes.lines, key=lambda line: line.get_linewidth())
        curves = [line.get_ydata() for line in axes.lines if line is not thickest]
        np.testing.assert_allclose(thickest.get_ydata(), np.mean(curves, axis=0))


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_confusion_matrix(tmp_path, figures, num_classes):
    matrix = ConfusionMatrix(num_classes)
    matrix.counts[:] = np.random.default_rng(0).integers(1, 9, matrix.counts.shape)
    matrix.counts[0] = 0
    names = [f"a class with a long name, {k}" for k in range(num_classes)]
    path = tmp_path / "confusion_matrix.png"
    plot_confusion_matrix(matrix, names, path)
    assert_picture(path, tmp_path)
    axes = figures[0].axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [*names, "background"]
    image = axes.images[0].get_array()
    np.testing.assert_allclose(image[1:].sum(axis=1), 1)
    np.testing.assert_array_equal(image[0], 0)


def test_results_share_panels_and_skip_what_is_not_known(tmp_path, figures):
    csv, path = tmp_path / "results.csv", tmp_path / "results.png"
    csv.write_text(
        "epoch, train/box_loss, val/box_loss, metrics/AP, metrics/ARs, lr, never\n"
        "0, 0.5, , 0.1, nan, 0.01,\n1, 0.4, 0.6, , nan, 0.02,\n2, 0.3, 0.5, 0.3, 0.2, 0.03,\n"
    )
    plot_results(csv, path)
    assert_picture(path, tmp_path)
    drawn = {
        axes.get_title(): {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
        for axes in figures[0].axes
    }
    assert drawn == {
        "box_loss": {"train": [[0, 0.5], [1, 0.4], [2, 0.3]], "val": [[1, 0.6], [2, 0.5]]},
        "average precision": {"AP": [[0, 0.1], [2, 0.3]]},
        "average recall": {"ARs": [[2, 0.2]]},
        "lr": {"lr": [[0, 0.01], [1, 0.02], [2, 0.03]]},
    }


@pytest.mark.parametrize("text", ["", "epoch,train/box_loss\n", "epoch,train/box_loss\n0,0.5\n"])
def test_results_of_a_short_training(tmp_path, text):
    (tmp_path / "results.csv").write_text(text)
    plot_results(tmp_path / "results.csv", tmp_path / "results.png")
    assert cv2.imread(str(tmp_path / "results.png")) is not None


def test_a_plot_that_fails_leaves_the_old_picture_whole(tmp_path, monkeypatch):
    path = tmp_path / "PR_curve.png"
    path.write_bytes(b"old")

    def fail(figure, target, **options):
        target.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_precision_recall(metrics_of(1), path)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("PR_curve.png", b"old")]
