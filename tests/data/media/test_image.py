from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from data.errors import DamagedImageError, ImageError
from data.media.complaints import Complaints, hear, hear_together
from data.media.image import check_image, decode_picture, image_suffixes, read_image, read_picture, stored_size

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


def photo() -> Image.Image:
    """Detail everywhere, so that damage shows."""
    smooth = cv2.resize(np.random.default_rng(2).integers(0, 256, (30, 40, 3), np.uint8), (320, 240))
    return Image.fromarray(smooth)


def test_a_jpeg_that_lacks_only_its_end_marker_is_used(tmp_path: Path) -> None:
    for options in ({}, {"progressive": True}, {"optimize": True}):
        whole, file = encode(photo(), "JPEG", **options), tmp_path / "no_end.jpg"
        file.write_bytes(whole)
        expected = read_image(file)
        file.write_bytes(whole[:-2])
        check_image(file)
        np.testing.assert_array_equal(read_image(file), expected)
        file.write_bytes(whole[:-1])
        np.testing.assert_array_equal(read_image(file), expected)
        file.write_bytes(whole[:-4])
        for use in (read_image, check_image):
            with pytest.raises(ImageError, match="truncated"):
                use(file)


def test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated(tmp_path: Path) -> None:
    whole = encode(photo(), "JPEG", progressive=True)
    scans = [position for position in range(len(whole)) if whole[position : position + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for start in scans[1:]:
        file = tmp_path / "blurred.jpg"
        file.write_bytes(whole[:start])
        with pytest.raises(ImageError, match="truncated"):
            read_image(file)


def jpeg_scan(data: bytes) -> int:
    """Where the entropy-coded data of a baseline JPEG begins."""
    start = data.index(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def amid(data: bytes, replacement: bytes, lost: int) -> bytes:
    """`data` with some bytes in its middle replaced by others."""
    middle = len(data) // 2
    return data[:middle] + replacement + data[middle + lost :]


DAMAGE: dict[str, Callable[[], bytes]] = {
    "zeros in a jpeg": lambda: amid(encode(photo(), "JPEG"), bytes(300), 300),
    "a hole in a jpeg": lambda: amid(encode(photo(), "JPEG"), b"", 500),
    "a foreign marker in a jpeg": lambda: amid(encode(photo(), "JPEG"), b"\xff\xd3", 0),
    "a jpeg without its data": lambda: (lambda d: d[: jpeg_scan(d)] + b"\xff\xd9")(encode(photo(), "JPEG")),
    "other bytes in a png": lambda: amid(encode(photo(), "PNG"), b"saconv", 6),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_inside_is_a_finding_about_a_named_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    file = tmp_path / "damaged.img"
    file.write_bytes(DAMAGE[kind]())
    check_image(file)  # its header and its end are whole
    with pytest.raises(ImageError, match=r"damaged|decoded") as error:
        read_image(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", ""), "the decoder's own words do not reach the terminal"


def test_damaged_examples(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[3].parent / "shared" / "cases" / "img"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    for file in sorted(folder.iterdir()):
        with pytest.raises(ImageError, match=f"{file.name}: the image is damaged"):
            read_image(file)


def test_what_leaves_the_pixels_whole_is_a_note(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, file = encode(photo(), "PNG"), tmp_path / "profile.png"
    broken_profile = b"x\0\0abc"
    chunk = len(broken_profile).to_bytes(4, "big") + b"iCCP" + broken_profile
    chunk += zlib.crc32(chunk[4:]).to_bytes(4, "big")
    file.write_bytes(data[:33] + chunk + data[33:])
    picture = read_picture(file)
    np.testing.assert_array_equal(picture.image, np.asarray(photo())[..., ::-1])
    assert "iCCP" in picture.note
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [1, 10, 500])
def test_zeros_before_the_end_marker_are_padding(tmp_path: Path, count: int) -> None:
    """As some cameras write them; all pixels are there."""
    whole, file = encode(photo(), "JPEG"), tmp_path / "padded.jpg"
    file.write_bytes(whole)
    expected = read_image(file)
    file.write_bytes(whole[:-2] + bytes(count) + whole[-2:])
    picture = read_picture(file)
    np.testing.assert_array_equal(picture.image, expected)
    assert ("extraneous bytes" in picture.note) == (count >= 10)
    file.write_bytes(whole[:-2] + bytes([7]) * 500 + whole[-2:])
    with pytest.raises(ImageError, match="damaged"):
        read_image(file)


def test_lines_of_others_are_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    def decode() -> int:
        os.write(2, b"somebody else's line\nCorrupt JPEG data: 3 bytes\nlibpng warning: tEXt: odd\nand another\n")
        return 7

    assert hear(decode) == (7, Complaints("Corrupt JPEG data: 3 bytes", "libpng warning: tEXt: odd"))
    assert hear(lambda: 8) == (8, Complaints())
    assert capfd.readouterr().err == "somebody else's line\nand another\n"


def test_decoders_are_heard_in_threads_each_with_its_own_picture(tmp_path: Path) -> None:
    good, bad = encode(photo(), "JPEG"), DAMAGE["a hole in a jpeg"]()
    files = [tmp_path / f"{number}.jpg" for number in range(40)]
    for number, file in enumerate(files):
        file.write_bytes(bad if number % 7 == 0 else good)

    def complaint(file: Path) -> str:
        try:
            read_image(file)
        except ImageError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        for number, message in enumerate(pool.map(complaint, files)):
            assert message.startswith(f"{files[number]}: ") if number % 7 == 0 else message == ""


@pytest.mark.parametrize("kind", ["a hole in a jpeg", None])
def test_threads_may_decode_side_by_side(tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str | None) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(photo(), "JPEG"))
    (tmp_path / "b.jpg").write_bytes(DAMAGE[kind]() if kind else encode(photo(), "JPEG"))
    with hear_together() as decoders, ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda number: read_image(tmp_path / f"{'ab'[number % 2]}.jpg"), range(20)))
        os.write(2, b"a line of somebody else\n")
    assert len(images) == 20
    assert decoders.complained == (kind is not None)
    assert capfd.readouterr().err == "a line of somebody else\n"
    assert hear(lambda: os.write(2, b"libpng error: x\n"))[1].damage == "libpng error: x", "one by one again"


@pytest.mark.skipif(".avif" not in image_suffixes(), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_avif(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "a.avif"
    picture().save(file, quality=90, exif=exif)
    upright = picture()
    upright.getexif()[0x0112] = orientation
    expected = as_bgr(ImageOps.exif_transpose(upright))
    assert read_image(file).shape == expected.shape
    assert np.abs(read_image(file) - expected).mean() < 6
    assert image_size(file) == expected.shape[:2]
    check_image(file)


def test_real_images(bccd: Path) -> None:
    for file in sorted((bccd / "images" / "val").iterdir())[:5]:
        check_image(file)
        reference = as_bgr(Image.open(file))
        assert np.abs(read_image(file) - reference).max() <= 2
        assert image_size(file) == reference.shape[:2]


def test_libtiffs_lines_are_heard(capfd: pytest.CaptureFixture[str]) -> None:
    encoded = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 4), np.uint8)
    Image.fromarray(noise, "RGBA").save(encoded, "TIFF", compression="tiff_deflate")
    damaged = bytearray(encoded.getvalue())
    damaged[2000:2500] = b"\xff" * 500
    with pytest.raises(DamagedImageError, match=r"a\.tif: the image is damaged \(ZIPDecode: "):
        decode_picture(bytes(damaged), "a.tif")
    assert capfd.readouterr() == ("", "")


def test_a_warning_of_libtiff_is_a_note() -> None:
    _, said = hear(lambda: os.write(2, b"TIFFReadDirectory: Warning, Unknown field with tag 65000 encountered.\n"))
    assert said == Complaints(note="TIFFReadDirectory: Warning, Unknown field with tag 65000 encountered.")
