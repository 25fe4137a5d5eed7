"""Colours of classes, the same wherever their boxes are drawn."""

from __future__ import annotations

import colorsys
import functools
import math

Colour = tuple[int, int, int]
"""BGR, 0..255."""

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


@functools.lru_cache(maxsize=1024)
def class_colour(index: int) -> Colour:
    """The colour of a class: hues a golden ratio apart, so that near indices look different; two tones in turn."""
    hue = (0.03 + index * _GOLDEN_RATIO) % 1
    saturation, value = ((0.9, 0.95), (0.75, 0.7))[index % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(blue * 255), round(green * 255), round(red * 255)
