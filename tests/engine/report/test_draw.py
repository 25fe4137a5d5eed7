"""Boxes land on the pixels they should, labels stay on the picture and can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.media.colours import class_colour
from engine.report.draw import (
    _readable_on,
    _text_mask,
    default_thickness,
    draw_batch,
    draw_detections,
    draw_grid,
)


def _changed(before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((before != after).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_a_thin_box_runs_along_its_own_outer_pixels() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    drawn = draw_detections(image, np.array([[10, 20, 30, 50]]), [3], thickness=1)
    assert not image.any(), "the original is left alone"
    assert _changed(image, drawn) == (10, 20, 30, 50)
    colour = class_colour(3)
    for x, y in ((10, 20), (29, 20), (10, 49), (29, 49), (20, 20), (10, 35)):
        assert tuple(drawn[y, x]) == colour
    assert not drawn[21:49, 11:29].any(), "the inside stays visible"


def test_no_boxes_change_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    drawn = draw_detections(image, np.zeros((0, 4)), [], [])
    assert drawn is not image
    np.testing.assert_array_equal(drawn, image)


def test_a_read_only_picture_can_be_drawn_on() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image.setflags(write=False)
    assert draw_detections(image[:, ::-1], np.array([[1, 1, 9, 9]]), [0], ["a"]).any()


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    corners=st.lists(st.floats(-30, 120), min_size=4, max_size=4),
    text=st.text(max_size=30),
    thickness=st.one_of(st.none(), st.integers(1, 9)),
)
def test_any_box_and_any_text_on_any_picture(
    size: tuple[int, int], corners: list[float], text: str, thickness: int | None
) -> None:
    x1, x2 = sorted((corners[0], corners[2]))
    y1, y2 = sorted((corners[1], corners[3]))
    drawn = draw_detections(
        np.full((*size, 3), 7, np.uint8), np.array([[x1, y1, x2, y2]]), [1], [text], thickness=thickness
    )
    assert drawn.shape == (*size, 3)
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize(
    ("box", "bar"),
    [
        ((100, 100, 150, 150), "above"),
        ((100, 2, 150, 60), "inside"),
        ((280, 100, 299, 150), "above"),
        ((0, 0, 300, 200), "inside"),
    ],
)
def test_the_label_is_above_the_box_or_inside_it_and_on_the_picture(box: tuple[int, ...], bar: str) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    bare = draw_detections(image, np.array([box]), [2], thickness=1)
    labelled = draw_detections(image, np.array([box]), [2], ["person 0.87"], thickness=1)
    left, top, right, bottom = _changed(bare, labelled)
    mask_height, mask_width = _text_mask("person 0.87", 10).shape
    assert right - left >= mask_width - 2, "the whole text fits"
    assert bottom <= box[1] if bar == "above" else top >= box[1]
    assert bottom - top >= mask_height - 2


def test_the_first_box_lies_on_top() -> None:
    drawn = draw_detections(np.zeros((50, 50, 3), np.uint8), np.array([[5, 5, 45, 45], [5, 5, 45, 45]]), [0, 1])
    assert tuple(drawn[5, 20]) == class_colour(0)


def test_text_outside_ascii_is_drawn_with_its_own_letters() -> None:
    masks = [_text_mask(text, 20) for text in ("größe", "grose", "кошка", "koshk")]
    assert all(mask.any() for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == 4
    assert len({mask.shape[0] for mask in masks}) == 1, "one height for all"


def test_a_file_name_that_is_not_utf8_makes_a_caption() -> None:
    assert (
        draw_grid([np.zeros((50, 50, 3), np.uint8)], [b"caf\xe9.jpg".decode("utf-8", "surrogateescape")]) != 255
    ).any()


def test_colours_are_distinct_and_texts_on_them_readable() -> None:
    colours = [class_colour(index) for index in range(80)]
    assert len(set(colours)) == 80
    near = [np.abs(np.subtract(first, second)).max() for first, second in itertools.pairwise(colours)]
    assert min(near) > 60, "neighbouring classes look different"

    def luminance(colour: tuple[int, int, int]) -> float:
        linear = [(c / 255) ** 2.2 for c in colour]
        return 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]

    for colour in colours:
        low, high = sorted((luminance(colour), luminance(_readable_on(colour))))
        assert (high + 0.05) / (low + 0.05) > 4.5, "WCAG AA"


def test_thickness_grows_with_the_picture() -> None:
    assert [default_thickness(hw) for hw in ((100, 100), (640, 640), (1080, 1920), (4000, 6000))] == [1, 2, 4, 13]


def test_a_grid_holds_every_picture_unharmed() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (40, 60, 3), dtype=np.uint8) for _ in range(5)]
    grid = draw_grid(images)
    assert grid.shape == (2 * 42 - 2, 3 * 62 - 2, 3)
    for number, image in enumerate(images):
        top, left = (number // 3) * 42, (number % 3) * 62
        np.testing.assert_array_equal(grid[top : top + 40, left : left + 60], image)
    with pytest.raises(ValueError, match="at least one"):
        draw_grid([])


def test_a_grid_shrinks_large_pictures_and_writes_captions() -> None:
    images = [np.zeros((2000, 1000, 3), np.uint8), np.zeros((10, 10, 3), np.uint8)]
    plain = draw_grid(images, tile=100)
    assert plain.shape == (100, 102, 3)
    captioned = draw_grid(images, ["a very long name that does not fit above its picture.jpg", "b"], tile=100)
    assert captioned.shape[0] > 100
    assert (captioned[:10] != 255).any()


def test_a_batch_shows_each_picture_with_its_own_boxes() -> None:
    images = torch.full((3, 3, 320, 320), 90, dtype=torch.uint8)
    images[1, 0] = 200  # red
    targets = torch.tensor([[0, 0, 0.5, 0.5, 0.5, 0.25], [1, 1, 0.25, 0.75, 0.2, 0.2], [2, 9, 0.5, 0.5, 0.1, 0.1]])
    shown = draw_batch(images, targets, ["cat", "dog"], max_images=2)
    assert shown.shape == (320, 642, 3)
    assert tuple(shown[310, 10]) == (90, 90, 90)
    assert tuple(shown[310, 640]) == (90, 90, 200), "BGR"
    assert tuple(shown[120, 200]) == class_colour(0)
    assert tuple(shown[199, 100]) == class_colour(0)
    assert tuple(shown[271, 322 + 80]) == class_colour(1)
    assert draw_batch(images, targets, ["cat", "dog"], ["a", "b", "c"]).shape[0] > 2 * 320


def test_a_batch_of_floats_and_scores_looks_the_same_but_for_the_scores() -> None:
    images = torch.randint(0, 255, (1, 3, 320, 320), dtype=torch.uint8)
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.5]])
    as_bytes = draw_batch(images, targets, ["cat", "dog"])
    np.testing.assert_array_equal(as_bytes, draw_batch(images.float() / 255, targets, ["cat", "dog"]))
    scored = draw_batch(images, torch.cat((targets, torch.tensor([[0.5]])), dim=1), ["cat", "dog"])
    assert (scored != as_bytes).any()


def test_small_batches_are_enlarged_to_be_legible() -> None:
    shown = draw_batch(torch.zeros((1, 3, 64, 96), dtype=torch.uint8), torch.zeros((0, 6)), [])
    assert shown.shape == (64 * 3, 96 * 3, 3)
