"""Animated pictures: all their frames, as a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data.media.animation import count_frames, is_animation
from data.media.image import image_suffixes, read_picture
from data.media.sources import open_source

KINDS = [".gif", ".webp", ".png", ".apng", *([".avif"] if ".avif" in image_suffixes() else [])]


def animation(path: Path, frames: int = 6, duration: Any = 50) -> Path:
    """Frame i is grey 40 * i."""
    pictures = [Image.new("RGB", (64, 48), (40 * index,) * 3) for index in range(frames)]
    options = {"lossless": True} if path.suffix == ".webp" else {"format": "PNG"} if path.suffix == ".apng" else {}
    more = {"save_all": True, "append_images": pictures[1:], "duration": duration} if frames > 1 else {}
    pictures[0].save(path, **options, **more)
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_every_frame_comes_in_order(tmp_path: Path, suffix: str) -> None:
    source = open_source(animation(tmp_path / f"a{suffix}"))
    assert [entry.kind for entry in source.entries] == ["video"]
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(6))
    for frame in frames:
        assert (frame.kind, frame.frame_count, frame.error) == ("video", 6, None)
        assert frame.fps == pytest.approx(20)
        assert frame.image.shape == (48, 64, 3)
        assert abs(float(frame.image.mean()) - 40 * frame.index) < 3
    assert [frame.index for frame in open_source(tmp_path / f"a{suffix}", vid_stride=4)] == [0, 4]
    assert [frame.index for frame in open_source(tmp_path)] == list(range(6)), "from a folder too"


@pytest.mark.parametrize("suffix", KINDS)
def test_a_single_frame_is_a_picture(tmp_path: Path, suffix: str) -> None:
    (frame,) = open_source(animation(tmp_path / f"a{suffix}", frames=1))
    assert (frame.kind, frame.note) == ("image", "")


def test_the_rate_is_the_mean_over_all_frames(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", frames=4, duration=[100, 100, 300, 500])
    assert next(iter(open_source(path))).fps == pytest.approx(4)
    assert next(iter(open_source(path, vid_stride=2))).fps == pytest.approx(2)


def test_a_broken_one_is_reported_after_its_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)) for _ in range(5)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 7 // 10])
    frames = list(open_source(path))
    assert frames[-1].error is not None
    assert str(path) in frames[-1].error
    assert "\n" not in frames[-1].error
    path.write_bytes(b"GIF89a")
    (frame,) = open_source(path)
    assert frame.error is not None


def test_too_many_pixels(tmp_path: Path) -> None:
    (frame,) = open_source(animation(tmp_path / "a.gif"), max_pixels=8 * 64 * 48 - 1)
    assert "--max-pixels" in str(frame.error)
    assert len(list(open_source(tmp_path / "a.gif", max_pixels=8 * 64 * 48))) == 6


def test_in_a_data_set_the_first_frame_is_the_picture_and_it_is_said(tmp_path: Path) -> None:
    picture = read_picture(animation(tmp_path / "a.gif"))
    assert picture.image.mean() < 3
    assert picture.note == "only the first of its 6 frames or pages is read"
    pages = [Image.new("RGB", (20, 10), (90 * index,) * 3) for index in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    assert read_picture(tmp_path / "stack.tif").note == "only the first of its 3 frames or pages is read"
    (frame,) = open_source(tmp_path / "stack.tif")
    assert frame.note.startswith("only the first of its 3")


def test_what_is_no_animation(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF8")
    (tmp_path / "b.webp").write_bytes(b"RIFF\0\0\0\0WEBPVP8X")
    for name in ("a.gif", "b.webp", "missing.gif", "clip.mp4"):
        assert not is_animation(tmp_path / name)
    assert count_frames(np.frombuffer(b"GIF89a", np.uint8)) == 1
