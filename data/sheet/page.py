"""One sheet about a data set: sampled pictures, classes, sizes, centres, and what the scan left out."""

from __future__ import annotations

import functools
import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import ImageFont

from data.coco.split import CocoSplit, ImageRecord
from data.media.fonts import DEJAVU, drawable, families, runs
from data.sheet.facts import LeftOut, Network, SplitFacts, left_out, sampled, split_facts
from data.sheet.panels import (
    draw_centres,
    draw_counts,
    draw_ratios,
    draw_shares,
    draw_sides,
    draw_sizes,
    shown_classes,
)
from data.sheet.pictures import draw_broken, draw_left_out, draw_picture
from files.atomic import write_bytes
from files.words import count

# All lengths are inches of paper.
_WIDTH, _MARGIN, _GAP = 16.0, 0.35, 0.2
_DPI = 100
_LINE = 0.19  # height of a line of text
_NAMES = 2.6  # width of the classes' names
_SAMPLES, _SAMPLES_ACROSS, _SAMPLE_HEIGHT = 8, 4, 2.75
_THUMBNAILS, _THUMBNAILS_ACROSS, _THUMBNAIL_HEIGHT = 12, 6, 1.7
_CHART_HEIGHT = 2.9
_LONGEST_TITLE, _LONGEST_NAME = 105, 30  # widths of a small letter
_LONGEST_LINE = 200  # letters

Box = tuple[float, float, float, float]
"""Left, top, width, height on the page; the top from above."""


@dataclass(frozen=True)
class _Row:
    """A part of the page: its height, and what draws it into the figure, given where it begins."""

    height: float
    draw: Callable[[_Canvas, float], None]


class _Canvas:
    """A figure that is measured in inches from the top."""

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
        FigureCanvasAgg(self.figure)
        self._height = height

    def axes(self, box: Box) -> Axes:
        left, top, width, height = box
        bottom = self._height - top - height
        return self.figure.add_axes((left / _WIDTH, bottom / self._height, width / _WIDTH, height / self._height))

    def text(self, left: float, top: float, text: str, size: float, *, bold: bool = False) -> None:
        self.figure.text(
            *(left / _WIDTH, 1 - top / self._height, text), va="top", fontsize=size, parse_math=False,
            weight="bold" if bold else "normal",
        )  # fmt: skip


def write_sheet(
    file: str | Path, title: str, splits: Mapping[str, CocoSplit], network: Network | None = None, *, seed: int = 0
) -> None:
    """Draws a data set before training, as PNG, whole or not at all.

    Args:
        title: of the sheet, such as the path of the data-set YAML.
        splits: by name, the training's first; all have its classes.
        network: what the boxes are compared with (default: strides 8, 16 and 32 at 640 px).
        seed: of the choice of pictures.

    Raises:
        OutputError: the file cannot be written.
    """
    in_memory = io.BytesIO()
    with sheet(title, splits, network, seed=seed) as figure:
        figure.savefig(in_memory, format="png", dpi=_DPI)
    write_bytes(file, in_memory.getvalue())


@contextmanager
def sheet(
    title: str, splits: Mapping[str, CocoSplit], network: Network | None = None, *, seed: int = 0
) -> Iterator[Figure]:
    """The figure that `write_sheet` writes, with the fonts that its texts need."""
    network = network or Network()
    facts = [split_facts(name, split, network.imgsz) for name, split in splits.items()]
    rng = np.random.default_rng(seed)
    names = [_short(name, _LONGEST_NAME) for name in facts[0].split.classes.names]
    header = _header(title, facts)
    thumbnails = _thumbnails(facts, rng)
    samples = [facts[0].split.records[index] for index in sampled(facts[0], _SAMPLES, rng)]
    captions = [_sample_caption(record) for record in samples]
    rows = [
        _text_row(header),
        _samples_row(samples, captions, names),
        _classes_row(facts, names),
        _charts_row(facts, network),
        *([_thumbnails_row(thumbnails)] if thumbnails else []),
    ]
    texts = (*names, *header, *captions, *(caption for caption, _ in thumbnails))
    fonts = families(*(line for text in texts for line in text.split("\n")))
    with rc_context({"font.family": fonts, "font.size": 8, "axes.titlesize": 9}):
        canvas = _Canvas(sum(row.height for row in rows) + 2 * _MARGIN)
        top = _MARGIN
        for row in rows:
            row.draw(canvas, top)
            top += row.height
        yield canvas.figure


def _header(title: str, facts: Sequence[SplitFacts]) -> list[str]:
    """The title, and what the scan says of every split."""
    lines = [_short(title, _LONGEST_TITLE)]
    for each in facts:
        text = drawable(f"{each.name}: {' · '.join(each.split.report.lines())}", 1000)
        lines += textwrap.wrap(text, _LONGEST_LINE, subsequent_indent="      ")[:4]
    return lines


def _text_row(lines: Sequence[str]) -> _Row:
    def draw(canvas: _Canvas, top: float) -> None:
        canvas.text(_MARGIN, top, lines[0], 14, bold=True)
        for number, line in enumerate(lines[1:]):
            canvas.text(_MARGIN, top + 0.34 + number * _LINE, line, 9)

    return _Row(0.34 + len(lines[1:]) * _LINE + _GAP, draw)


def _sample_caption(record: ImageRecord) -> str:
    return f"{_short(record.path.name, 40)}: {count(len(record.labels), 'box', 'boxes')}"


def _samples_row(records: Sequence[ImageRecord], captions: Sequence[str], names: Sequence[str]) -> _Row:
    def draw(canvas: _Canvas, top: float) -> None:
        boxes = _grid(top, len(records), _SAMPLES_ACROSS, _SAMPLE_HEIGHT, 1)
        for record, caption, box in zip(records, captions, boxes, strict=True):
            canvas.text(box[0], box[1], caption, 8)
            draw_picture(canvas.axes(_below(box, 1)), record, names, (box[2] * _DPI, (box[3] - _LINE) * _DPI))

    return _Row(_grid_height(len(records), _SAMPLES_ACROSS, _SAMPLE_HEIGHT, 1), draw)


def _classes_row(facts: Sequence[SplitFacts], names: Sequence[str]) -> _Row:
    classes = shown_classes(facts)
    height = max(len(classes) * max(0.17, min(0.3, 2.4 / len(classes))), 0.5)
    hidden = len(names) - len(classes)

    def draw(canvas: _Canvas, top: float) -> None:
        width = (_WIDTH - 2 * _MARGIN - _NAMES - _GAP) / 2
        left = _MARGIN + _NAMES
        counts = canvas.axes((left, top + 0.35, width, height))
        draw_counts(counts, facts, classes, [names[label] for label in classes])
        draw_shares(canvas.axes((left + width + _GAP, top + 0.35, width, height)), facts, classes)
        if hidden:
            middle = top + 0.35 + height / 2 - _LINE / 2
            canvas.text(_MARGIN, middle, f"{hidden} classes\nbetween these\nare not shown", 8)

    return _Row(0.35 + height + 0.3 + _GAP, draw)


def _charts_row(facts: Sequence[SplitFacts], network: Network) -> _Row:
    charts: list[Callable[[Axes], None]] = [
        partial(draw_sides, facts=facts[0], network=network),
        partial(draw_sizes, facts=facts, network=network),
        partial(draw_ratios, facts=facts, network=network),
        partial(draw_centres, facts=facts[0]),
    ]

    def draw(canvas: _Canvas, top: float) -> None:
        each = (_WIDTH - 2 * _MARGIN) / len(charts)
        for number, chart in enumerate(charts):
            left = _MARGIN + number * each + 0.5
            chart(canvas.axes((left, top + 0.45, each - 0.6, _CHART_HEIGHT)))

    return _Row(0.45 + _CHART_HEIGHT + 0.45 + _GAP, draw)


Thumbnail = tuple[str, Callable[[Axes], None]]
"""A caption of up to two lines, and what draws the picture above it."""


def _thumbnails(facts: Sequence[SplitFacts], rng: np.random.Generator) -> list[Thumbnail]:
    """Some of the broken pictures and of the boxes that were clipped or dropped, of all splits in turns."""
    found = [_of_split(each, -(-_THUMBNAILS // len(facts)), rng) for each in facts]
    longest = max(map(len, found), default=0)
    turns = [each[turn] for turn in range(longest) for each in found if turn < len(each)]
    return turns[:_THUMBNAILS]


def _of_split(facts: SplitFacts, most: int, rng: np.random.Generator) -> list[Thumbnail]:
    split = facts.split
    broken: list[Thumbnail] = [
        (f"{facts.name}: broken picture\n{_short(Path(path).name, 30)}", draw_broken)
        for path in list(split.report.broken)[: most // 3]
    ]
    return broken + [
        (_caption(facts, what), partial(draw_left_out, record=split.records[what.image], what=what))
        for what in left_out(split, most - len(broken), rng)
    ]


def _caption(facts: SplitFacts, what: LeftOut) -> str:
    name = _short(facts.split.classes.names[what.label], 14)
    return f"{facts.name}: {what.reason}\nannotation {what.annotation_id}, {name}"


def _thumbnails_row(thumbnails: Sequence[Thumbnail]) -> _Row:
    number = len(thumbnails)

    def draw(canvas: _Canvas, top: float) -> None:
        canvas.text(_MARGIN, top, "left out or clipped (dashed: the box as the file states it)", 10, bold=True)
        boxes = _grid(top + 0.28, number, _THUMBNAILS_ACROSS, _THUMBNAIL_HEIGHT, 2)
        for (caption, draw_thumbnail), box in zip(thumbnails, boxes, strict=True):
            canvas.text(box[0], box[1], caption, 8)
            draw_thumbnail(canvas.axes(_below(box, 2)))

    return _Row(0.28 + _grid_height(number, _THUMBNAILS_ACROSS, _THUMBNAIL_HEIGHT, 2), draw)


def _grid(top: float, number: int, across: int, height: float, lines: int) -> Iterator[Box]:
    """The cells of a grid whose pictures have a caption of so many lines above them."""
    width = (_WIDTH - 2 * _MARGIN + _GAP) / across
    for index in range(number):
        row, column = divmod(index, across)
        cell_height = lines * _LINE + height
        yield _MARGIN + column * width, top + row * (cell_height + _GAP), width - _GAP, cell_height


def _grid_height(number: int, across: int, height: float, lines: int) -> float:
    return -(-number // across) * (lines * _LINE + height + _GAP)


def _below(box: Box, lines: int) -> Box:
    left, top, width, height = box
    return left, top + lines * _LINE, width, height - lines * _LINE


def _short(text: str, most: int) -> str:
    """A drawable text that is no wider than `most` small letters."""
    text = drawable(text)
    if _width(text) <= most:
        return text
    end = next(end for end in range(len(text), -1, -1) if _width(text[:end]) <= most - 1.5)
    return f"{text[:end]}…"


def _width(text: str) -> float:
    """In widths of a small letter."""
    return sum(_font(file).getlength(piece) for file, piece in runs(text)) / _font(DEJAVU).getlength("e")


@functools.lru_cache(maxsize=32)
def _font(file: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(file), 100)
