"""Several images in one: mosaic and mixup."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.augment import (
    Augmentation,
    Sample,
)
from data.augment.mixup import MixUp
from data.augment.mosaic import Mosaic
from tests.data.augment.pools import Full, OneColour, extent


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), imgsz=st.sampled_from([32, 64, 65]))
def test_mosaic_keeps_objects_where_their_pixels_are(seed: int, imgsz: int) -> None:
    rng = np.random.default_rng(seed)
    pool = OneColour(imgsz)
    sample = Mosaic(mosaic=1)(pool.draw(rng), rng)
    assert sample.image.shape == (2 * imgsz, 2 * imgsz, 3)
    assert sample.boxes_xyxy.shape[1:] == (4,)
    assert len(sample.boxes_xyxy) == len(sample.labels) <= 4
    covered = np.zeros((2 * imgsz, 2 * imgsz), bool)
    for left, top, right, bottom in sample.boxes_xyxy.astype(int):
        assert (sample.image[top:bottom, left:right] == 255).all()
        covered[top:bottom, left:right] = True
    # and no object is without a box
    np.testing.assert_array_equal(sample.image[..., 0] == 255, covered)


def test_mosaic_chance() -> None:
    pool, rng = OneColour(32), np.random.default_rng(0)
    made = sum(Mosaic(mosaic=0.25)(pool.draw(rng), rng).image.shape[0] == 64 for _ in range(400))
    assert 60 < made < 140  # 100 expected, 4.6 standard deviations


def test_the_four_images_of_a_mosaic_do_not_have_fixed_places() -> None:
    corners = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pool = OneColour(32)
        first = replace(pool.draw(rng), image=np.full((32, 32, 3), 200, np.uint8))
        ys, xs = np.nonzero(Mosaic(mosaic=1)(first, rng).image[..., 0] == 200)
        corners.add((bool(ys.mean() > 32), bool(xs.mean() > 32)))
    assert len(corners) == 4


def test_mixup_blends_pixels_and_joins_boxes() -> None:
    rng = np.random.default_rng(0)
    pool = OneColour(64)
    sample = pool.make((64, 64), rng)
    out = MixUp(mixup=1)(sample, rng)
    assert len(out.boxes_xyxy) == len(out.labels) == 2
    left, top, right, bottom = sample.boxes_xyxy[0].astype(int)
    share = out.image[top:bottom, left:right].min() / 255
    assert 0.2 < share < 0.8
    assert MixUp(mixup=0)(sample, rng) is sample


def test_the_centre_of_a_mosaic_is_anywhere_in_the_middle() -> None:
    """Four tiles as large as half the canvas: grey begins where they end, which gives the centre away."""
    size, centres = 32, []
    tile = Sample(
        np.full((size, size, 3), 255, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), Full(size)
    )
    for seed in range(200):
        white = Mosaic(mosaic=1)(tile, np.random.default_rng(seed)).image[..., 0] == 255
        left, top, right, bottom = extent(white)
        x = right - size if right < 2 * size else left + size
        y = bottom - size if bottom < 2 * size else top + size
        assert white[max(y - size, 0) : y + size, max(x - size, 0) : x + size].all(), "one of the four tiles is missing"
        assert white.sum() == (right - left) * (bottom - top)
        centres.append((x, y))
    for values in zip(*centres, strict=True):
        assert size // 2 <= min(values) < size // 2 + 3
        assert 1.5 * size - 3 < max(values) < 1.5 * size
        assert len(set(values)) > size // 2


def test_mixup_weighs_the_two_images_to_one() -> None:
    class Lights(OneColour):
        def draw_augmented(self, rng: np.random.Generator, before: Augmentation) -> Sample:
            return replace(self.make(self.input_hw, rng), image=np.full((8, 8, 3), 100, np.uint8))

    sample = replace(Lights(8).make((8, 8), np.random.default_rng(0)), image=np.full((8, 8, 3), 200, np.uint8))
    sample = replace(sample, pool=Lights(8))
    blends = [int(MixUp(mixup=1)(sample, np.random.default_rng(seed)).image[0, 0, 0]) for seed in range(50)]
    # beta(32, 32): a half, with a standard deviation of 0.06
    assert 120 < min(blends) < 150 < max(blends) < 180
    assert len(set(blends)) > 5
