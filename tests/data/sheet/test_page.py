"""The sheet can be read, whatever the data: every text is on it, whole, and covers no other."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from data.coco.records import CocoSplit, load_coco
from data.sheet.facts import Network
from data.sheet.page import sheet, write_sheet
from files.faults import OutputError

NAMES = {
    "few": ["cat", "dog"],
    "many": [f"class {number}" for number in range(80)],
    "hundreds": [f"n{number}" for number in range(365)],
    "long": ["汽车" * 40, "$x^2$" * 30, "W" * 99, "line\nbreak \x1b[31m", "🚗" * 20],
}


def fill(folder: Any, names: list[str], images: int, boxes: int) -> CocoSplit:
    rng = np.random.default_rng(0)
    folder.document = {"images": [], "annotations": [], "categories": []}
    for number, name in enumerate(names, 1):
        folder.category(number, name)
    for index in range(images):
        sides = [(48, 64), (90, 20), (12, 96), (10, 10)][index % 4]
        number = index + 1
        file = folder.image(number, *sides)
        if index % 3 == 0:
            row = folder.document["images"][-1]
            row["file_name"] = f"{number} {'a long name of a picture ' * 5}.png"
            file.rename(folder.images / row["file_name"])
        for _ in range(boxes):
            left, top = rng.uniform(0, sides[1] * 0.8), rng.uniform(0, sides[0] * 0.8)
            size = rng.uniform(1, sides[1]), rng.uniform(1, sides[0])
            folder.box(number, int(rng.integers(len(names))) + 1, [left, top, *size])
    return load_coco(*folder.write(), cache=False)


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """What is drawn to be read, and where; a label inside a picture is cut at its border."""
    drawn: list[Text] = []
    draw = Text.draw

    def recorded(text: Text, *given: Any) -> None:
        drawn.append(text)
        draw(text, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", recorded)
        figure.canvas.draw()
    readable = [text for text in drawn if text.get_text().strip() and not (text.axes and text.get_clip_on())]
    return [(text.get_text(), text.get_window_extent()) for text in readable]


def check(figure: Figure) -> None:
    page = figure.bbox
    found = texts(figure)
    for text, box in found:
        assert page.x0 <= box.x0, f"{text!r} is cut at the left"
        assert box.x1 <= page.x1, f"{text!r} is cut at the right"
        assert page.y0 <= box.y0, f"{text!r} is cut at the bottom"
        assert box.y1 <= page.y1, f"{text!r} is cut at the top"
    for (text, box), (other, near) in itertools.combinations(found, 2):
        width = min(box.x1, near.x1) - max(box.x0, near.x0)
        height = min(box.y1, near.y1) - max(box.y0, near.y0)
        assert width < 1.5 or height < 1.5, f"{text!r} and {other!r} cover each other"


@pytest.mark.parametrize(
    ("kind", "images", "boxes"), [("few", 1, 1), ("few", 12, 30), ("many", 5, 9), ("hundreds", 3, 40), ("long", 4, 3)]
)
def test_it_can_be_read(folder: Any, kind: str, images: int, boxes: int) -> None:
    split = fill(folder, NAMES[kind], images, boxes)
    anchors = np.array([[10, 13], [33, 23], [373, 326]], np.float64)
    splits = {"train": split, "val": split, "test": split} if kind == "few" else {"train": split, "val": split}
    with warnings.catch_warnings(), sheet("W" * 200, splits, Network(640, (8, 16, 32), anchors)) as figure:
        warnings.simplefilter("error")
        check(figure)


def test_nothing_to_learn_from(folder: Any) -> None:
    folder.document["annotations"] = []
    split = load_coco(*folder.write(), cache=False)
    with warnings.catch_warnings(), sheet("empty", {"train": split, "val": split}) as figure:
        warnings.simplefilter("error")
        check(figure)


def _axes(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if title in axes.get_title(loc="left"))


def test_what_it_shows(folder: Any) -> None:
    folder.box(3, 7, [0, 0, 0, 5])
    (folder.images / "012.png").write_bytes(b"broken")
    split = load_coco(*folder.write(), cache=False)
    anchors = np.array([[10, 20], [30, 15]], np.float64)
    with sheet("my.yaml", {"train": split, "val": split}, Network(320, (8, 64), anchors)) as figure:
        shown = [text.get_text() for text in figure.findobj(Text)]
        for expected in ("my.yaml", "2 / 2", "1 / 1", "005.png: 2 boxes", "003.png: 1 box", "dog", "cat"):
            assert expected in shown
        assert "train: broken picture\n012.png" in shown
        assert "val: of no area\nannotation 4, dog" in shown
        assert any("1 box dropped: 1 of no area" in text for text in shown)
        sides = _axes(figure, "boxes at a 320 px input")
        crosses = next(line for line in sides.lines if line.get_marker() == "+")
        np.testing.assert_array_equal(np.column_stack(crosses.get_data()), anchors)
        dotted = {float(line.get_xdata()[0]) for line in sides.lines if line.get_linestyle() == ":"}
        assert {8.0, 64.0} <= dotted
        ratios = _axes(figure, "aspect ratios")
        triangles = next(line for line in ratios.lines if line.get_marker() == "^")
        assert sorted(triangles.get_xdata()) == [0.5, 2.0]
        (bars, other) = _axes(figure, "share of the split's objects").containers
        assert [bar.get_width() for bar in bars] == pytest.approx([200 / 3, 100 / 3])
        assert [bar.get_width() for bar in other] == pytest.approx([200 / 3, 100 / 3])
        picture = next(axes for axes in figure.axes if len(axes.images) == 1 and len(axes.patches) == 2)
        rectangles = sorted(patch.get_bbox().bounds for patch in picture.patches if isinstance(patch, Rectangle))
        np.testing.assert_allclose(rectangles, [(-0.5, -0.5, 60, 40), (10, 4.75, 20, 10)])


def test_the_file_is_a_png_or_not_there(folder: Any, tmp_path: Path) -> None:
    split = load_coco(*folder.write(), cache=False)
    write_sheet(tmp_path / "a.png", "a", {"train": split})
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image is not None
    assert image.shape[1] == 1600
    with pytest.raises(OutputError):
        write_sheet(tmp_path / "missing" / "a.png", "a", {"train": split})
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".png"] == ["a.png"]
