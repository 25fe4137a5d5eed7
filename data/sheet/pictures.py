"""The pictures of the sheet: samples with their boxes, and what the scan left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from data.coco.split import ImageRecord
from data.errors import ImageError
from data.media.colours import class_colour
from data.media.image import read_image
from data.sheet.facts import LeftOut

_SIDE = 520
"""Longest side of a picture on the sheet, pixels."""
_MOST_LABELS = 12  # with more boxes, their labels would cover the picture
_LETTER_PX = 5.5  # mean width of a letter of a label on the page
_CONTEXT = 3.0  # a thumbnail shows so many times its box
_LEAST = 96  # pixels that a thumbnail shows at least along each side


def draw_picture(axes: Axes, record: ImageRecord, names: Sequence[str], room_px: tuple[float, float]) -> None:
    """A picture with its boxes in the colours of their classes; crowds are dashed, regions to ignore hatched.

    Args:
        names: of the classes, drawable.
        room_px: width and height of the axes on the page.
    """
    image, ratio = _shrunk(_read(record.path))
    _show(axes, image)
    height, width = image.shape[:2]
    boxes = record.boxes_xyxy * ratio - 0.5  # (n, 4): pixels have their centres at whole numbers
    for (x1, y1, x2, y2), label, crowd in zip(boxes.tolist(), record.labels.tolist(), record.crowd, strict=True):
        line = "--" if crowd else "-"
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=_rgb(label), linestyle=line))
    for x1, y1, x2, y2 in (record.regions_xyxy * ratio - 0.5).tolist():
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color="white", hatch="////", linewidth=0.5))
    if len(boxes) > _MOST_LABELS:
        return
    letter = _LETTER_PX * max(width / room_px[0], height / room_px[1])  # in pixels of the picture
    placed: list[tuple[float, ...]] = []
    for (x1, y1, *_), label in zip(boxes.tolist(), record.labels.tolist(), strict=True):
        text = names[label][: max(int(width / letter) - 1, 0)]
        text_width, text_height = letter * (len(text) + 1), 2.4 * letter
        x, y = max(min(x1, width - text_width), 0), max(y1, text_height)
        spot = (x, y - text_height, x + text_width, y)
        if len(text) > 1 and not any(_overlap(spot, other) for other in placed):
            placed.append(spot)
            _label(axes, x, y, text, label)


def _label(axes: Axes, x: float, y: float, text: str, label: int) -> None:
    """A text on the colour of its class, whose lower left corner is at x, y."""
    red, green, blue = colour = _rgb(label)
    is_bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.4
    axes.text(
        *(x, y, text), va="bottom", fontsize=6.5, color="black" if is_bright else "white", parse_math=False,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0}, clip_on=True,
    )  # fmt: skip


def _rgb(label: int) -> tuple[float, float, float]:
    blue, green, red = class_colour(label)
    return red / 255, green / 255, blue / 255


def draw_left_out(axes: Axes, record: ImageRecord, what: LeftOut) -> None:
    """A box that was clipped or dropped, as the file states it, with what lies around it."""
    image = _read(record.path)
    height, width = image.shape[:2]
    x, y, box_width, box_height = what.box_xywh
    if not all(map(math.isfinite, what.box_xywh)):
        _show(axes, _shrunk(image)[0])
        return
    x1, x2 = sorted((x, x + box_width))
    y1, y2 = sorted((y, y + box_height))
    left, right = _window(x1, x2, width)
    top, bottom = _window(y1, y2, height)
    cut, ratio = _shrunk(image[top:bottom, left:right])
    _show(axes, cut)
    corner = ((x1 - left) * ratio - 0.5, (y1 - top) * ratio - 0.5)
    sides = ((x2 - x1) * ratio, (y2 - y1) * ratio)
    axes.add_patch(Rectangle(corner, *sides, fill=False, color="#ff1744", linestyle="--", linewidth=1.6))
    if min(sides) < 4:
        axes.plot(*corner, "x", color="#ff1744", markersize=8, markeredgewidth=1.8)
    axes.set(xlim=(-0.5, cut.shape[1] - 0.5), ylim=(cut.shape[0] - 0.5, -0.5))


def draw_broken(axes: Axes) -> None:
    """The place of a picture that cannot be decoded."""
    axes.plot([0, 1], [0, 1], [0, 1], [1, 0], color="0.6")
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(), yticks=(), facecolor="0.93")


def _read(path: Path) -> np.ndarray:
    """`(H, W, 3)` RGB; a grey tile for a picture that cannot be decoded."""
    try:
        return read_image(path)[..., ::-1]
    except ImageError:
        return np.full((64, 64, 3), 200, np.uint8)


def _shrunk(image: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture no larger than the sheet shows it, and by which factor it was scaled."""
    ratio = min(_SIDE / max(image.shape[:2]), 1.0)
    size = (max(round(image.shape[1] * ratio), 1), max(round(image.shape[0] * ratio), 1))
    return (image if ratio == 1 else cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)), ratio


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, interpolation="antialiased")
    axes.set_anchor("NW")  # below its caption
    axes.set_axis_off()


def _window(start: float, end: float, limit: int) -> tuple[int, int]:
    """The part of a side that a thumbnail shows: the box, what lies around it, and no less than `_LEAST` pixels."""
    middle = min(max((start + end) / 2, 0), limit)
    half = max(_CONTEXT * (min(end, limit) - max(start, 0)) / 2, _LEAST / 2)
    first, last = math.floor(max(middle - half, 0)), math.ceil(min(middle + half, limit))
    return first, max(last, first + 1)


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
