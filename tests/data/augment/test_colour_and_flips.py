"""Changes of one picture: colours and flips."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data.augment import (
    Augmentation,
    Sample,
)
from data.augment.flip import FlipLeftRight, FlipUpDown
from data.augment.hsv import Hsv
from tests.data.augment.pools import OneColour, extent


def test_hsv_changes_colours_only_as_far_as_told() -> None:
    sample = OneColour(64).make((64, 64), np.random.default_rng(0))
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    sample = replace(sample, image=image)
    before = image.copy()
    assert Hsv(hsv_h=0, hsv_s=0, hsv_v=0)(sample, np.random.default_rng(0)).image is image
    for seed in range(5):
        out = Hsv(hsv_h=0, hsv_s=0, hsv_v=0.4)(sample, np.random.default_rng(seed)).image
        value, changed = (cv2.cvtColor(each, cv2.COLOR_BGR2HSV)[..., 2].astype(float) for each in (image, out))
        bright = (value > 60) & (value < 150)
        factors = changed[bright] / value[bright]
        assert factors.std() < 0.01
        assert 0.58 < factors.mean() < 1.42
    out = Hsv(hsv_h=0.5, hsv_s=0.7, hsv_v=0.4)(sample, np.random.default_rng(0)).image
    assert (out != image).mean() > 0.5
    np.testing.assert_array_equal(image, before)  # a cache may own it


@pytest.mark.parametrize("stage", [FlipLeftRight(fliplr=1), FlipUpDown(flipud=1)])
def test_flips(stage: Augmentation) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sample = OneColour(64).make((40, 64), rng)
        out = stage(sample, rng)
        assert out.boxes_xyxy[0].tolist() == extent(out.image[..., 0] == 255)
        assert (out.image != sample.image).any()
        back = stage(out, rng)
        np.testing.assert_array_equal(back.image, sample.image)
        np.testing.assert_array_equal(back.boxes_xyxy, sample.boxes_xyxy)


def test_hue_goes_round() -> None:
    """Red turned down becomes a pink red of hue 179, not of hue 0: hue is an angle."""
    red = np.full((4, 4, 3), (20, 20, 200), np.uint8)
    red[0] = (30, 20, 200)  # hue 178
    sample = Sample(red, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), OneColour(4))
    seen = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        factor = 1 + 0.1 * np.random.default_rng(seed).uniform(-1, 1, 3)[0]
        out = Hsv(hsv_h=0.1, hsv_s=0, hsv_v=0)(sample, rng).image
        hue = cv2.cvtColor(out, cv2.COLOR_BGR2HSV)[..., 0].astype(int)
        assert (hue[1:] == 0).all()
        expected = int(cv2.cvtColor(red, cv2.COLOR_BGR2HSV)[0, 0, 0] * factor % 180)
        assert abs((hue[0] - expected + 90) % 180 - 90).max() <= 1
        seen.add(expected < 90)
    assert seen == {True, False}
