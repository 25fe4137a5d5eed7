"""What is drawn on a picture of the sheet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from data.coco.split import ImageRecord
from data.sheet.pictures import draw_picture


def test_regions_to_ignore_are_hatched(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
    box, region = np.array([[0, 0, 10, 10]], np.float32), np.array([[20, 5, 50, 35]], np.float32)
    record = ImageRecord(1, tmp_path / "a.png", 60, 40, box, np.zeros(1, np.int64), np.zeros(1, bool), region)
    axes = Figure().subplots()
    draw_picture(axes, record, ["cat"], (300, 200))
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(axes.patches) == 2
    (patch,) = hatched
    assert isinstance(patch, Rectangle)
    scale = axes.images[0].get_array().shape[1] / 60
    assert (patch.get_x(), patch.get_y()) == (20 * scale - 0.5, 5 * scale - 0.5)
    assert (patch.get_width(), patch.get_height()) == (30 * scale, 30 * scale)
