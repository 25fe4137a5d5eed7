"""Regions to ignore move with the picture, exactly as boxes do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.augment import Augmentation, Sample
from data.augment.affine import Affine
from data.augment.flip import FlipLeftRight, FlipUpDown
from data.augment.mixup import MixUp
from data.augment.mosaic import Mosaic
from tests.data.augment.pools import OneColour


class Ignored(OneColour):
    """A pool of pictures whose object is a region as well."""

    def make(self, hw: tuple[int, int], rng: np.random.Generator) -> Sample:
        sample = super().make(hw, rng)
        return replace(sample, regions_xyxy=sample.boxes_xyxy)


@pytest.mark.parametrize(
    "stage",
    [
        FlipLeftRight(fliplr=1),
        FlipUpDown(flipud=1),
        Affine(degrees=20, translate=0.1, scale=0.3, shear=5, perspective=0.0005),
        Mosaic(mosaic=1),
    ],
    ids=lambda stage: type(stage).__name__,
)
def test_regions_move_as_boxes_do(stage: Augmentation) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sample = Ignored(64).make((40, 64), rng)
        out = stage(sample, rng)
        assert out.regions_xyxy.dtype == np.float32
        assert len(out.boxes_xyxy)
        np.testing.assert_array_equal(out.regions_xyxy, out.boxes_xyxy)
        assert not np.array_equal(out.regions_xyxy, sample.regions_xyxy)


def test_regions_of_both_pictures_are_kept() -> None:
    rng = np.random.default_rng(0)
    sample = Ignored(64).make((64, 64), rng)
    assert len(MixUp(mixup=1)(sample, rng).regions_xyxy) == 2


def test_any_rest_of_a_region_counts_and_nothing_else() -> None:
    """A box of which little is left is dropped; a region is clipped, and dropped when nothing is left."""
    stage = Affine(degrees=0, translate=0, scale=0, shear=0)
    pool = OneColour(64)
    image = np.zeros((200, 200, 3), np.uint8)  # its middle is cut out: 68 to 132
    regions = np.array([[0, 0, 69, 69], [0, 0, 68, 68], [100, 100, 300, 300]], np.float32)
    sample = Sample(image, regions, np.zeros(3, np.int64), pool, regions)
    out = stage(sample, np.random.default_rng(0))
    assert out.regions_xyxy.tolist() == [[0, 0, 1, 1], [32, 32, 64, 64]]
    assert len(out.boxes_xyxy) == 0
