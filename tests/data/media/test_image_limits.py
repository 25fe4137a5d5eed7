"""What is refused before a picture is decoded: too many pixels, and what is no file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from data.errors import ImageError
from data.media.image import check_image, read_image, stored_size


def test_the_limit_on_pixels_holds_before_decoding(tmp_path: Path) -> None:
    file = tmp_path / "huge.png"
    Image.new("1", (30000, 30000)).save(file)  # 110 KB, and 2.7 GB of pixels
    for use in (read_image, check_image, stored_size):
        if use is not check_image:  # the ends are there; the size is stored_size's affair
            with pytest.raises(
                ImageError, match=r"30000x30000 = 900 million pixels.*250 million.*--max-pixels"
            ) as error:
                use(file)
            assert "\n" not in str(error.value)
    Image.new("RGB", (50, 40)).save(file)
    assert read_image(file, 2000).shape == (40, 50, 3)
    for suffix in (".png", ".jpg", ".tif", ".bmp", ".webp", ".gif", ".ppm"):
        file = tmp_path / f"small{suffix}"
        Image.new("RGB", (50, 41)).save(file)
        for use in (read_image, stored_size):
            with pytest.raises(ImageError, match="50x41"):
                use(file, 2000)


@pytest.mark.parametrize("link", [False, True])
def test_pipes_and_devices_are_no_files(tmp_path: Path, link: bool) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes on this system")
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for target in (pipe, Path("/dev/zero")):
        file = target
        if link:
            file = tmp_path / f"link to {target.name}.jpg"
            file.symlink_to(target)
        for use in (read_image, check_image):
            with pytest.raises(ImageError, match="not a file but a pipe, a device or a socket"):
                use(file)


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match=r"a\.jpg: a link to a file that is not there"):
        read_image(tmp_path / "a.jpg")
