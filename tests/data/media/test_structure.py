"""Sizes that headers declare, where Pillow does not read them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from data.errors import ImageError
from data.media.image import read_image
from data.media.structure import declared_size

SIZES = [(1, 1), (300, 200), (7, 70000)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"big_endian": True}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
    ],
)
@pytest.mark.parametrize("size", SIZES)
def test_the_declared_size(kind: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    if kind == "JPEG" and max(size) > 65535:
        pytest.skip("no JPEG is so tall")
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, kind, **options)
    assert declared_size(np.frombuffer(buffer.getvalue(), np.uint8)) == size


def test_a_bmp_from_top_to_bottom_has_a_negative_height() -> None:
    head = b"BM" + bytes(16) + (5).to_bytes(4, "little") + (-9).to_bytes(4, "little", signed=True)
    assert declared_size(np.frombuffer(head, np.uint8)) == (5, 9)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"],
)
def test_what_says_nothing(content: bytes) -> None:
    assert declared_size(np.frombuffer(content, np.uint8)) is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_limit_holds_where_pillow_does_not_open_the_file(tmp_path: Path, suffix: str) -> None:
    """OpenCV would decode these up to a thousand million pixels."""
    file = tmp_path / f"a{suffix}"
    if suffix == ".png":
        cv2.imwrite(str(file), np.zeros((30, 40, 3), np.uint8))
        content = bytearray(file.read_bytes())
        content[8:12] = (12).to_bytes(4, "big")  # the header chunk is one byte shorter than it has to be
        file.write_bytes(content)
    else:
        cv2.imwrite(str(file), np.zeros((30, 40, 3), np.uint16))
    with pytest.raises(ImageError, match="40x30"):
        read_image(file, 1199)


def test_a_chunk_that_claims_more_than_the_file_has_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    frames = [Image.new("RGB", (50, 40), (90 * i,) * 3) for i in range(2)]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    content = bytearray(file.read_bytes())
    start = content.index(b"fdAT") - 4
    content[start : start + 4] = b"\xef\xff\xff\xff"
    file.write_bytes(content)
    with pytest.raises(ImageError, match="truncated"):
        read_image(file)
