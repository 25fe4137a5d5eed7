from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from data.augment import (
    Augmentation,
    Pipeline,
    Sample,
    check_hyperparameters,
    hyperparameter_fields,
    hyperparameter_names,
    register_augmentation,
)
from data.augment import base as registry
from data.augment.affine import MAX_ASPECT, Affine, warp_boxes, warp_image
from data.augment.flip import FlipLeftRight, FlipUpDown
from data.augment.hsv import Hsv
from data.augment.mixup import MixUp
from data.augment.mosaic import Mosaic
from data.errors import DataError
from data.letterbox import PAD_VALUE, Letterbox

KEYS = [
    "hsv_h",
    "hsv_s",
    "hsv_v",
    "degrees",
    "translate",
    "scale",
    "shear",
    "perspective",
    "flipud",
    "fliplr",
    "mosaic",
    "mixup",
]
STILL = {"degrees": 0.0, "translate": 0.0, "scale": 0.0, "shear": 0.0, "perspective": 0.0}


class OneColour:
    """A pool of pictures, each black with one white rectangle."""

    def __init__(self, imgsz: int, seed: int = 0, input_hw: tuple[int, int] | None = None) -> None:
        self.imgsz = imgsz
        self.input_hw = input_hw or (imgsz, imgsz)
        self.rng = np.random.default_rng(seed)

    def draw(self, rng: np.random.Generator) -> Sample:
        short = int(rng.integers(self.imgsz // 2, self.imgsz + 1))
        hw = (self.imgsz, short) if rng.random() < 0.5 else (short, self.imgsz)
        return self.make(hw, rng)

    def draw_augmented(self, rng: np.random.Generator, before: Augmentation) -> Sample:
        return self.make(self.input_hw, rng)

    def make(self, hw: tuple[int, int], rng: np.random.Generator) -> Sample:
        width, height = (int(rng.integers(side // 5, side // 2)) for side in hw[::-1])
        left, top = int(rng.integers(hw[1] - width + 1)), int(rng.integers(hw[0] - height + 1))
        image = np.zeros((*hw, 3), np.uint8)
        image[top : top + height, left : left + width] = 255
        box = np.array([[left, top, left + width, top + height]], np.float32)
        return Sample(image, box, np.array([1], np.int64), self)


def extent(mask: np.ndarray) -> list[int]:
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


# -- hyperparameters


def test_yolov5_keys_and_their_defaults() -> None:
    values = check_hyperparameters({})
    assert set(values) == set(hyperparameter_names())
    defaults = {
        "hsv_h": 0.015,
        "hsv_s": 0.7,
        "hsv_v": 0.4,
        "degrees": 0.0,
        "translate": 0.1,
        "scale": 0.5,
        "shear": 0.0,
    }
    defaults |= {"perspective": 0.0, "flipud": 0.0, "fliplr": 0.5, "mosaic": 1.0, "mixup": 0.0}
    assert {key: values.get(key) for key in defaults} == defaults
    assert hyperparameter_fields()["fliplr"].default == 0.5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"flip_lr": 0.5}, ["'flip_lr'", "did you mean 'fliplr'?"]),
        ({"zzz": 1}, ["'zzz'", "known are"]),
        ({"fliplr": 1.5}, ["fliplr: 1.5", "less than or equal to 1"]),
        ({"mosaic": -0.1}, ["mosaic: -0.1", "greater than or equal to 0"]),
        ({"degrees": "many"}, ["degrees: 'many'", "number"]),
        ({"scale": float("nan")}, ["scale: nan"]),
        ({"translate": None}, ["translate: None"]),
    ],
)
def test_wrong_hyperparameters(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        check_hyperparameters(values)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_order_of_the_stages() -> None:
    kinds = [type(stage) for stage in Pipeline.build({}).stages]
    assert kinds == [Mosaic, Affine, MixUp, Hsv, FlipUpDown, FlipLeftRight]


def test_a_new_augmentation_is_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_AUGMENTATIONS", list(registry._AUGMENTATIONS))

    @register_augmentation
    class Black(Augmentation):
        after: ClassVar[str] = "MixUp"
        black: float = Field(default=0.0, ge=0, le=1)

        def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
            return replace(sample, image=sample.image * 0) if rng.random() < self.black else sample

    @register_augmentation
    class Last(Augmentation):
        last: float = 0.0

    assert check_hyperparameters({"black": 1})["black"] == 1
    kinds = [type(stage) for stage in Pipeline.build({"black": 1, "last": 0}).stages]
    assert kinds == [Mosaic, Affine, MixUp, Black, Hsv, FlipUpDown, FlipLeftRight, Last]
    assert not {Black, Last} & {type(stage) for stage in Pipeline.build({}).stages}, "it is in nobody else's recipe"
    assert check_hyperparameters({}).keys() == hyperparameter_fields().keys() - {"black", "last"}
    sample = OneColour(64).make((64, 64), np.random.default_rng(0))
    assert not Pipeline.build({"black": 1, "mosaic": 0, "translate": 0, "scale": 0})(
        sample, np.random.default_rng(0)
    ).image.any()
    with pytest.raises(ValueError, match="black"):

        @register_augmentation
        class Again(Augmentation):
            black: float = 0.0


# -- affine


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


def test_no_boxes() -> None:
    sample = replace(
        OneColour(64).make((64, 40), np.random.default_rng(0)),
        boxes_xyxy=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
    )
    out = Pipeline.build({"degrees": 10, "perspective": 0.001, "mosaic": 0, "flipud": 1})(
        sample, np.random.default_rng(0)
    )
    assert out.boxes_xyxy.shape == (0, 4)
    assert out.labels.shape == (0,)


# -- mosaic and mixup


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


def test_mosaic_and_warp_together() -> None:
    """After the whole way to the input, boxes still lie on white."""
    pipeline = Pipeline.build({"mosaic": 1, "hsv_h": 0, "hsv_s": 0, "hsv_v": 0, "flipud": 0.5})
    pool, seen = OneColour(128), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sample = pipeline(pool.draw(rng), rng)
        assert sample.image.shape == (128, 128, 3)
        for left, top, right, bottom in sample.boxes_xyxy.round().astype(int):
            inner = sample.image[top + 1 : bottom - 1, left + 1 : right - 1]
            assert inner.size == 0 or inner.mean() > 250
            seen += 1
    assert seen > 20


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


# -- colour and flips


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


def test_grey_is_the_letterboxs() -> None:
    sample = OneColour(64).make((20, 64), np.random.default_rng(0))
    out = Affine(**STILL | {"degrees": 30.0})(sample, np.random.default_rng(3))
    assert (out.image[0, 0] == PAD_VALUE).all()


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


class Full(OneColour):
    """A pool of white pictures without boxes."""

    def draw(self, rng: np.random.Generator) -> Sample:
        image = np.full((self.imgsz, self.imgsz, 3), 255, np.uint8)
        return Sample(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), self)


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
