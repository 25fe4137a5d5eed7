from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.letterbox import PAD_VALUE, Letterbox

sides = st.integers(1, 4000)


@given(height=sides, width=sides, size=st.sampled_from([32, 320, 640]), rectangle=st.booleans())
def test_geometry(height: int, width: int, size: int, rectangle: bool) -> None:
    hw = (height, width)
    box = Letterbox.rectangle(hw, size, 32) if rectangle else Letterbox.fit(hw, (size, size))
    assert min(box.resized_hw) >= 1
    assert all(side % 32 == 0 for side in box.input_hw)
    right = box.input_hw[1] - box.resized_hw[1] - box.pad_left
    bottom = box.input_hw[0] - box.resized_hw[0] - box.pad_top
    assert 0 <= right - box.pad_left <= 1
    assert 0 <= bottom - box.pad_top <= 1
    assert max(box.resized_hw) == size
    if rectangle:
        assert right + box.pad_left < 32
        assert bottom + box.pad_top < 32


@given(
    height=sides,
    width=sides,
    size=st.sampled_from([320, 640]),
    corners=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5),
)
def test_boxes_come_back(height: int, width: int, size: int, corners: list[tuple[float, ...]]) -> None:
    points = np.array(corners, np.float32).reshape(-1, 4)
    boxes = np.concatenate((np.minimum(points[:, :2], points[:, 2:]), np.maximum(points[:, :2], points[:, 2:])), 1)
    boxes *= np.tile((width, height), 2).astype(np.float32)
    letterbox = Letterbox.fit((height, width), (size, size))
    there = letterbox.boxes_to_input(boxes)
    assert there.shape == boxes.shape
    assert (there >= 0).all()
    assert (there <= size).all()
    # float32 carries the input's pixels to about 1e-4, which zooming back magnifies
    tolerance = 1e-3 * max(1, 1 / min(letterbox.scale_xy))
    np.testing.assert_allclose(letterbox.boxes_to_image(there), boxes, atol=tolerance)


def test_boxes_outside_the_picture_are_clipped() -> None:
    letterbox = Letterbox.fit((100, 200), (400, 400))
    boxes = letterbox.boxes_to_image(np.array([[-50, 0, 500, 400]], np.float32))
    np.testing.assert_array_equal(boxes, [[0, 0, 200, 100]])


def test_detections_in_the_border_are_dropped() -> None:
    """A picture of 100x200 px lies at y 50 to 150 of a square of 200 px."""
    letterbox = Letterbox.fit((100, 200), (200, 200))
    rows = np.array([[10, 60, 50, 90, 0.9, 3], [10, 0, 50, 50, 0.8, 1], [10, 40, 50, 60, 0.7, 2]], np.float32)
    found = letterbox.detections_to_image(rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32([[10, 10, 50, 40, 0.9, 3], [10, 0, 50, 10, 0.7, 2]]))
    assert letterbox.detections_to_image(rows[:0]).shape == (0, 6)


@pytest.mark.parametrize("hw", [(1, 1), (2, 3000), (3000, 2), (480, 640), (333, 77)])
def test_apply(hw: tuple[int, int]) -> None:
    image = np.full((*hw, 3), 250, np.uint8)
    for letterbox in (Letterbox.fit(hw, (320, 320)), Letterbox.rectangle(hw, 320, 32)):
        out = letterbox.apply(image)
        assert out.shape == (*letterbox.input_hw, 3)
        assert out.flags.c_contiguous
        rows = slice(letterbox.pad_top, letterbox.pad_top + letterbox.resized_hw[0])
        columns = slice(letterbox.pad_left, letterbox.pad_left + letterbox.resized_hw[1])
        assert (out[rows, columns] == 250).all()
        out[rows, columns] = PAD_VALUE
        assert (out == PAD_VALUE).all()


def test_pixels_go_where_boxes_go() -> None:
    image = np.zeros((301, 517, 3), np.uint8)
    box = np.array([[100, 50, 300, 200]], np.float32)
    image[50:200, 100:300] = 255
    letterbox = Letterbox.fit((301, 517), (640, 640))
    ys, xs = np.nonzero(letterbox.apply(image)[..., 0] > 180)
    found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    np.testing.assert_allclose(found, letterbox.boxes_to_input(box)[0], atol=1)


def test_rounding_worked_by_hand() -> None:
    exact = Letterbox.rectangle((1080, 810), 640, 32)
    assert (exact.input_hw, exact.resized_hw, exact.pad_left, exact.pad_top) == ((640, 480), (640, 480), 0, 0)
    # 720 * 640 / 1280 = 360 rows, 24 rows short of 12 strides
    video = Letterbox.rectangle((720, 1280), 640, 32)
    assert (video.input_hw, video.resized_hw, video.pad_left, video.pad_top) == ((384, 640), (360, 640), 0, 12)
    # 334 * 320 / 500 = 213.76 rows
    assert Letterbox.rectangle((334, 500), 320, 32).resized_hw == (214, 320)
    # an odd border: one pixel on the left, two on the right
    assert Letterbox.at_ratio((10, 29), (10, 32), 1.0).pad_left == 1


def test_interpolation_is_the_callers() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    letterbox = Letterbox.fit((64, 64), (32, 32))
    expected = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(letterbox.apply(image, cv2.INTER_AREA), expected)
    np.testing.assert_array_equal(letterbox.apply(expected), expected)


def test_misuse_is_an_error() -> None:
    with pytest.raises(ValueError, match="multiple of the stride"):
        Letterbox.rectangle((10, 10), 330, 32)
    with pytest.raises(ValueError, match="at least 1 px"):
        Letterbox.fit((0, 10), (320, 320))
    with pytest.raises(ValueError, match="does not fit"):
        Letterbox.at_ratio((10, 10), (32, 32), 4.0)
    with pytest.raises(ValueError, match="applied to one of"):
        Letterbox.fit((10, 10), (32, 32)).apply(np.zeros((11, 10, 3), np.uint8))


def test_grey_is_yolov5s() -> None:
    """Weights from there saw this border."""
    padded = Letterbox.fit((2, 8), (8, 8)).apply(np.zeros((2, 8, 3), np.uint8))
    assert set(padded[:3].ravel().tolist()) == {114}
