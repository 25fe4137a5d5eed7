"""The warp: boxes follow the pixels, and which of them are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.augment.affine import MAX_ASPECT, Affine, warp_boxes, warp_image
from data.letterbox import PAD_VALUE, Letterbox
from tests.data.augment.pools import OneColour, extent

STILL = {"degrees": 0.0, "translate": 0.0, "scale": 0.0, "shear": 0.0, "perspective": 0.0}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    image_hw=st.tuples(st.integers(40, 200), st.integers(40, 200)),
    input_hw=st.sampled_from([(128, 128), (96, 160), (97, 131)]),
    perspective=st.sampled_from([0.0, 0.0005]),
)
def test_boxes_follow_the_pixels(
    seed: int, image_hw: tuple[int, int], input_hw: tuple[int, int], perspective: float
) -> None:
    """The white pixels after the warp span the warped box, wherever they lie inside the input."""
    rng = np.random.default_rng(seed)
    sample = OneColour(200, input_hw=input_hw).make(image_hw, rng)
    stage = Affine(degrees=45, translate=0.1, scale=0.4, shear=10, perspective=perspective)
    matrix, zoom = stage._draw(image_hw, input_hw, rng)
    # a border of nothing instead of grey, so that only the rectangle counts
    image = warp_image(sample.image, matrix, input_hw)
    inside = warp_image(np.full_like(sample.image, 255), matrix, input_hw)[..., 0] == 255
    boxes, keep = warp_boxes(sample.boxes_xyxy, matrix, input_hw, zoom)
    white = (image[..., 0] > 127) & inside
    if not white.any():
        assert not keep.any() or (boxes[0, 2:] - boxes[0, :2]).min() < 4
        return
    # half a pixel from the threshold on both sides; a sharp corner loses more of its tip
    found = np.array(extent(white))
    assert (found[:2] >= boxes[0, :2] - 1).all()
    assert (found[2:] <= boxes[0, 2:] + 1).all()
    corners = (
        np.array([[x, y, 1] for x in sample.boxes_xyxy[0, [0, 2]] for y in sample.boxes_xyxy[0, [1, 3]]]) @ matrix.T
    )
    corners = corners[:, :2] / corners[:, 2:]
    if (corners > 0).all() and (corners < input_hw[::-1]).all():
        np.testing.assert_allclose(found, boxes[0], atol=2.5)


def test_an_axis_parallel_warp_is_exact() -> None:
    """Zoom by 2 about the corner: box edges and pixel edges agree to the interpolation's half pixel of blur."""
    image = np.zeros((50, 50, 3), np.uint8)
    image[10:20, 5:30] = 255
    matrix = np.diag([2.0, 2.0, 1.0])
    warped = warp_image(image, matrix, (100, 100))[..., 0]
    boxes, keep = warp_boxes(np.array([[5, 10, 30, 20]], np.float32), matrix, (100, 100), 2)
    assert keep.all()
    assert boxes[0].tolist() == [10, 20, 60, 40] == extent(warped > 127)


def test_without_motion_it_is_a_letterbox() -> None:
    rng = np.random.default_rng(0)
    for hw in [(64, 33), (31, 64), (64, 64)]:
        sample = OneColour(64).make(hw, rng)
        image = rng.integers(0, 256, (*hw, 3), np.uint8)
        out = Affine(**STILL)(replace(sample, image=image), rng)
        letterbox = Letterbox.fit(hw, (64, 64))
        np.testing.assert_array_equal(out.image, letterbox.apply(image))
        np.testing.assert_array_equal(out.boxes_xyxy, letterbox.boxes_to_input(sample.boxes_xyxy))


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ([10, 10, 50, 50], True),
        ([10, 10, 12, 50], False),  # 2 px wide
        ([10, 10, 12.5, 50], True),
        ([-91, 10, 9, 50], False),  # 9 % left
        ([-85, 10, 15, 50], True),  # 15 % left
        ([0, 10, 100, 12.5], True),
        ([200, 200, 240, 240], False),
    ],
)
def test_which_boxes_are_kept(box: list[float], kept: bool) -> None:
    _, keep = warp_boxes(np.array([box], np.float32), np.eye(3), (100, 100))
    assert keep.tolist() == [kept]


def test_slivers_are_dropped() -> None:
    long = np.array([[0, 0, 2.1 * MAX_ASPECT, 2.1], [0, 0, 2.1 * MAX_ASPECT - 5, 2.1]], np.float32)
    assert warp_boxes(long, np.eye(3), (300, 300))[1].tolist() == [False, True]


def test_boxes_behind_the_horizon_are_dropped() -> None:
    matrix = np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1]], float)
    boxes = np.array([[10, 10, 30, 30], [40, 10, 60, 30], [60, 10, 90, 30]], np.float32)
    assert warp_boxes(boxes, matrix, (100, 100))[1].tolist() == [True, False, False]


def test_grey_is_the_letterboxs() -> None:
    sample = OneColour(64).make((20, 64), np.random.default_rng(0))
    out = Affine(**STILL | {"degrees": 30.0})(sample, np.random.default_rng(3))
    assert (out.image[0, 0] == PAD_VALUE).all()


def test_the_ranges_of_the_warp() -> None:
    """Zoom is 1 +- scale; shifts are +- translate of the input's sides, along x and y apart."""
    stage = Affine(degrees=0, translate=0.1, scale=0.5)
    zooms, shifts = [], []
    for seed in range(400):
        matrix, zoom = stage._draw((100, 200), (100, 200), np.random.default_rng(seed))
        zooms.append(zoom)
        shifts.append((matrix @ [100, 50, 1])[:2] - (100, 50))  # where the picture's middle goes
    assert 0.5 < min(zooms) < 0.52
    assert 1.48 < max(zooms) < 1.5
    x, y = np.array(shifts).T
    for values, side in ((x, 200), (y, 100)):
        assert -0.1 * side <= values.min() < -0.095 * side
        assert 0.095 * side < values.max() <= 0.1 * side
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.15
