"""Boxes and their labels on pictures, and several pictures in one.

Which fonts draw the text, and what becomes of letters that none has: see `data.media.fonts`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from data.media.colours import Colour, class_colour
from data.media.fonts import DEJAVU, drawable, runs

_CAPTION_HEIGHT = 18
_LARGEST_LETTERS = 512  # px
_LEGIBLE_SIDE = 320
"""Batches of smaller images are enlarged before labels are drawn, which would cover them."""


def default_thickness(image_hw: tuple[int, int]) -> int:
    """Line thickness in pixels that suits the size of an image: 1 at 160 px, 2 at 640, 4 at 1500."""
    return max(1, round(0.6 + sum(image_hw) / 2 * 0.0024))


def draw_detections(
    image: np.ndarray,
    boxes_xyxy: np.ndarray,
    classes: Sequence[int],
    labels: Sequence[str] | None = None,
    *,
    thickness: int | None = None,
) -> np.ndarray:
    """Draws boxes, the first one on top.

    Args:
        image: (H, W, 3) uint8 BGR; left as it is.
        boxes_xyxy: (n, 4) pixels.
        classes: n class indices, which choose the colours.
        labels: n texts; empty ones and None draw none.
        thickness: of the lines, in pixels; the text grows with it. Default: by the size of the image.

    Returns:
        A new image, (H, W, 3) uint8 BGR.
    """
    canvas = np.ascontiguousarray(image).copy()
    height, width = canvas.shape[:2]
    thickness = thickness or default_thickness((height, width))
    texts = labels if labels is not None else [""] * len(classes)
    rows = list(zip(np.asarray(boxes_xyxy, np.float64).reshape(-1, 4), classes, texts, strict=True))
    for box, index, _ in reversed(rows):
        # The last pixel inside the box, not the first one beyond it, is where its line runs.
        x1, y1 = np.clip(np.rint(box[:2]), 0, (width - 1, height - 1)).astype(int).tolist()
        x2, y2 = np.clip(np.rint(box[2:]) - 1, (x1, y1), (width - 1, height - 1)).astype(int).tolist()
        cv2.rectangle(canvas, (x1, y1), (x2, y2), class_colour(int(index)), thickness)
    for box, index, text in reversed(rows):
        if text:
            _draw_label(canvas, text, box, class_colour(int(index)), thickness)
    return canvas


def draw_grid(
    images: Sequence[np.ndarray], captions: Sequence[str] | None = None, *, columns: int | None = None, tile: int = 480
) -> np.ndarray:
    """Several pictures in rows, each with its caption above.

    Args:
        images: (H, W, 3) uint8 BGR each, of any sizes; larger ones are scaled down to `tile`.
        captions: one text per picture, cut where it is too long.
        columns: default: about as many as rows.
        tile: longest side of a picture in the grid, pixels.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: no image, or not as many captions as images.
    """
    if not images:
        raise ValueError("draw_grid needs at least one image")
    small = [_shrunk(image, tile) for image in images]
    texts = captions if captions is not None else [""] * len(small)
    head = _CAPTION_HEIGHT if any(texts) else 0
    cell_height, cell_width = max(image.shape[0] for image in small) + head, max(image.shape[1] for image in small)
    columns = columns or math.ceil(math.sqrt(len(small)))
    rows = math.ceil(len(small) / columns)
    gap = 2
    canvas = np.full((rows * (cell_height + gap) - gap, columns * (cell_width + gap) - gap, 3), 255, np.uint8)
    for number, (image, text) in enumerate(zip(small, texts, strict=True)):
        top, left = (number // columns) * (cell_height + gap), (number % columns) * (cell_width + gap)
        if text:
            _put_text(canvas[top : top + head, left : left + cell_width], text, (2, 1), 12, (0, 0, 0))
        canvas[top + head : top + head + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def draw_batch(
    images: Tensor,
    targets: Tensor,
    names: Sequence[str],
    captions: Sequence[str] | None = None,
    *,
    max_images: int = 16,
) -> np.ndarray:
    """A batch as the network sees it, with its boxes.

    Args:
        images: (B, 3, H, W) RGB, uint8, or floating point in [0, 1].
        targets: (N, 6) image index, class, cx, cy, w, h normalised to the input; a seventh column is a score.
        names: class names.
        captions: B texts, such as file names.
        max_images: how many of the batch to show.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    count = min(len(images), max_images)
    pixels = images[:count].detach().cpu()
    if pixels.is_floating_point():
        pixels = (pixels.float().clamp(0, 1) * 255).round()
    bgr = pixels.byte().permute(0, 2, 3, 1).flip(3).numpy()
    zoom = max(1, round(_LEGIBLE_SIDE / max(bgr.shape[1:3])))
    bgr = bgr.repeat(zoom, axis=1).repeat(zoom, axis=2)
    rows = targets.detach().cpu().float().numpy()
    drawn = []
    for index in range(count):
        own = rows[rows[:, 0] == index]
        classes = own[:, 1].astype(int).tolist()
        texts = [names[label] if label < len(names) else str(label) for label in classes]
        if own.shape[1] > 6:
            texts = [f"{text} {score:.2f}" for text, score in zip(texts, own[:, 6], strict=True)]
        drawn.append(draw_detections(bgr[index], _to_pixels(own[:, 2:6], bgr.shape[1:3]), classes, texts))
    return draw_grid(drawn, None if captions is None else list(captions[:count]))


def _to_pixels(boxes_cxcywh: np.ndarray, image_hw: tuple[int, ...]) -> np.ndarray:
    """Normalised centres and sizes (n, 4) -> xyxy in pixels."""
    half = boxes_cxcywh[:, 2:] / 2  # (n, 2)
    corners = np.concatenate((boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half), axis=1)  # (n, 4)
    return corners * np.tile(image_hw[::-1], 2)


def _shrunk(image: np.ndarray, tile: int) -> np.ndarray:
    ratio = tile / max(image.shape[:2])
    if ratio >= 1:
        return image
    size = max(round(image.shape[1] * ratio), 1), max(round(image.shape[0] * ratio), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _draw_label(canvas: np.ndarray, text: str, box: np.ndarray, colour: Colour, thickness: int) -> None:
    """Text on a bar of the class colour: above the box where there is room, else inside it, and never off the image."""
    height, width = canvas.shape[:2]
    size = max(10, min(7 * thickness, height, _LARGEST_LETTERS))
    pad = max(1, size // 6)
    text_width, text_height = _text_mask(text, size).shape[::-1]
    bar_width, bar_height = min(text_width + 2 * pad, width), min(text_height + 2 * pad, height)
    edge = thickness // 2
    left = int(np.clip(round(box[0]) - edge, 0, width - bar_width))
    above = round(box[1]) - edge - bar_height
    top = int(np.clip(above if above >= 0 else round(box[1]), 0, height - bar_height))
    bar = canvas[top : top + bar_height, left : left + bar_width]
    bar[:] = colour
    _put_text(bar, text, (pad, pad), size, _readable_on(colour))


def _readable_on(colour: Colour) -> Colour:
    """Black or white, whichever has the higher contrast by WCAG's relative luminance."""
    linear = [(c / 255 / 12.92) if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else (255, 255, 255)


def _put_text(area: np.ndarray, text: str, origin_xy: tuple[int, int], size: int, colour: Colour) -> None:
    """Blends text into `area` (a view into an image) in place, cut at its borders."""
    x, y = origin_xy
    room = area[y:, x:]
    mask = _text_mask(text, size)[: room.shape[0], : room.shape[1]]
    alpha = mask[..., None].astype(np.float32) / 255
    spot = room[: mask.shape[0], : mask.shape[1]]
    spot[:] = np.rint(spot * (1 - alpha) + np.array(colour, np.float32) * alpha).astype(np.uint8)


@functools.lru_cache(maxsize=4096)
def _text_mask(text: str, size: int) -> np.ndarray:
    """(h, w) uint8 coverage of one line of text; the same height for every text of a size and the same fonts."""
    pieces = [(_font(file, size), piece) for file, piece in runs(drawable(text))] or [(_font(DEJAVU, size), "")]
    ascent, descent = (max(values) for values in zip(*(font.getmetrics() for font, _ in pieces), strict=True))
    widths = [font.getlength(piece) for font, piece in pieces]
    mask = Image.new("L", (max(math.ceil(sum(widths)), 1), ascent + descent))
    pen = 0.0
    for (font, piece), width in zip(pieces, widths, strict=True):
        ImageDraw.Draw(mask).text((pen, ascent), piece, fill=255, font=font, anchor="ls")
        pen += width
    return np.asarray(mask)


@functools.lru_cache(maxsize=64)
def _font(file: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(file), size)
