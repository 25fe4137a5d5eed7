from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from data.errors import ImageError
from data.media.image import check_image, read_image, stored_size

# smooth colours, so that lossy formats stay close
COLOURS = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8), (60, 40), interpolation=cv2.INTER_CUBIC
)


def image_size(file: Path) -> tuple[int, int]:
    """Height and width as displayed, from what the header says."""
    height, width, turned = stored_size(file)
    return (width, height) if turned else (height, width)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    image = Image.fromarray(COLOURS)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.arange(2400, dtype=np.uint32).reshape(40, 60).astype(np.uint8)))
        return image
    return image.convert(mode)


def as_bgr(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))[..., ::-1].astype(int)


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [
        ("RGB", "PNG", 0),
        ("L", "PNG", 0),
        ("LA", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("RGBA", "TIFF", 0),
        ("P", "PNG", 0),
        ("1", "PNG", 0),
        ("RGB", "BMP", 0),
        ("RGB", "TIFF", 0),
        ("RGB", "PPM", 0),
        ("RGB", "JPEG", 2),
        ("L", "JPEG", 2),
        ("CMYK", "JPEG", 4),
    ],
)
def test_every_mode_is_read_as_pillow_sees_it(tmp_path: Path, mode: str, kind: str, tolerance: int) -> None:
    file = tmp_path / f"ü {mode}.img"
    data = encode(picture(mode), kind)
    file.write_bytes(data)
    image = read_image(file)
    assert image.shape == (40, 60, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert np.abs(image - as_bgr(Image.open(io.BytesIO(data)))).max() <= tolerance
    assert image_size(file) == (40, 60)
    check_image(file)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_is_scaled_to_8(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = COLOURS[..., :channels].astype(np.uint16) * 257
    file = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(file), pixels)
    assert np.abs(read_image(file).astype(int) - COLOURS[..., :channels]).max() <= 1


@pytest.mark.parametrize("hw", [(1, 1), (2, 3000), (3000, 2)])
def test_extreme_sizes(tmp_path: Path, hw: tuple[int, int]) -> None:
    file = tmp_path / "extreme.jpg"
    cv2.imwrite(str(file), np.full((*hw, 3), 90, np.uint8))
    assert read_image(file).shape == (*hw, 3)
    assert image_size(file) == hw


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture(), kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    file = tmp_path / "turned"
    file.write_bytes(data)
    # what a browser shows: Pillow's own transposition of the unrotated picture
    upright = picture()
    upright.getexif()[0x0112] = orientation
    expected = as_bgr(ImageOps.exif_transpose(upright))
    image = read_image(file)
    assert image.shape == expected.shape
    assert np.abs(image - expected).mean() < 4
    assert image_size(file) == image.shape[:2]


def test_exif_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(picture(), "PNG", exif=exif)
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    tail = data.index(b"IEND") - 4
    file = tmp_path / "late.png"
    file.write_bytes(data[:start] + data[end:tail] + data[start:end] + data[tail:])
    assert stored_size(file) == (40, 60, True)
    assert read_image(file).shape[:2] == image_size(file)


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8))


def jpeg_with_thumbnail() -> bytes:
    data, thumbnail = encode(noise(), "JPEG"), encode(noise().resize((50, 50)), "JPEG")
    segment = b"Exif\0\0" + thumbnail
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


WHOLE: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encode(noise(), "JPEG"),
    "progressive": lambda: encode(noise(), "JPEG", progressive=True),
    "thumbnail": jpeg_with_thumbnail,
    "jpeg+tail": lambda: encode(noise(), "JPEG") + b"made by a camera" * 3,
    "png": lambda: encode(noise(), "PNG"),
    "png+tail": lambda: encode(noise(), "PNG") + b"\0" * 40,
    "webp": lambda: encode(noise(), "WEBP"),
    "bmp": lambda: encode(noise(), "BMP"),
    "tiff": lambda: encode(noise(), "TIFF"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_truncated_files_are_refused_and_whole_ones_are_not(tmp_path: Path, kind: str) -> None:
    data = WHOLE[kind]()
    file = tmp_path / "picture"
    file.write_bytes(data)
    assert read_image(file).shape == (200, 200, 3)
    check_image(file)
    tail = 48 if kind.endswith("tail") else 0
    for share in (0.999, 0.97, 0.75, 0.5, 0.2, 0.05, 0.01, 0.001):
        file.write_bytes(data[: max(int((len(data) - tail) * share) - 1, 1)])
        for use in (read_image, check_image):
            with pytest.raises(ImageError) as error:
                use(file)
            assert str(file) in str(error.value)
            assert "\n" not in str(error.value)


@pytest.mark.parametrize("use", [read_image, check_image, image_size])
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such image"), (b"", "0 bytes"), (b"this is text, not a picture", "not an image")],
)
def test_unusable_files(tmp_path: Path, use: Callable, content: bytes | None, message: str) -> None:
    file = tmp_path / "a.jpg"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ImageError, match=message) as error:
        use(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_not_an_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot read the image"):
        read_image(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"x")
    file.chmod(0)
    with pytest.raises(ImageError, match="cannot read the image"):
        read_image(file)


def test_real_images(bccd: Path) -> None:
    for file in sorted((bccd / "images" / "val").iterdir())[:5]:
        check_image(file)
        reference = as_bgr(Image.open(file))
        assert np.abs(read_image(file) - reference).max() <= 2
        assert image_size(file) == reference.shape[:2]
