"""One thing, two things."""

from __future__ import annotations

import pytest

from files.words import count, plural


@pytest.mark.parametrize(
    ("number", "images", "boxes"),
    [(0, "0 images", "0 boxes"), (1, "1 image", "1 box"), (2, "2 images", "2 boxes"), (11, "11 images", "11 boxes")],
)
def test_count(number: int, images: str, boxes: str) -> None:
    assert count(number, "image") == images
    assert count(number, "box", "boxes") == boxes
    assert plural(number, "box", "boxes") == boxes.split()[1]
