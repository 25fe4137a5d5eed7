"""The wires that `python -m tests.mutate` cuts: a file, what stands there exactly once, what takes its place, and the
fewest and fastest tests that have to notice.

Tests are named as pytest names them. When code moves, its entries move with it: tests/test_mutations.py refuses an
entry that no longer fits its file.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """One wire to cut.

    Attributes:
        file: path from the project's root.
        old, new: what stands in the file exactly once, and what takes its place.
        tests: pytest's names of the tests that have to fail.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        """One line."""
        return f"{self.file}: {' '.join(self.old.split())!r} -> {' '.join(self.new.split())!r}"


def _of(file: str, tests: str, *entries: tuple[str, str, str]) -> tuple[Mutation, ...]:
    """Mutations of one file; an entry is (old, new, name of the test in the file `tests`)."""
    return tuple(Mutation(file, old, new, (f"{tests}::{test}",)) for old, new, test in entries)


_DATA = (
    *_of(
        "data/letterbox.py",
        "tests/data/test_letterbox.py",
        ("max(round(hw[0] * ratio), 1)", "max(int(hw[0] * ratio), 1)", "test_rounding_worked_by_hand"),
        ("/ 2 - 0.1), round(", "/ 2 + 0.1), round(", "test_geometry"),
        ("(boxes * scale + offset)", "(boxes * self.ratio + offset)", "test_boxes_come_back"),
        ("return np.clip(boxes, 0, ", "return np.clip(boxes, -9, ", "test_boxes_outside_the_picture_are_clipped"),
        ("PAD_VALUE = 114", "PAD_VALUE = 0", "test_grey_is_yolov5s"),
    ),
    *_of(
        "data/augment/mosaic.py",
        "tests/data/test_augment.py",
        (
            "rng.uniform(0.5 * size, 1.5 * size, 2)",
            "(size, size)",
            "test_the_centre_of_a_mosaic_is_anywhere_in_the_middle",
        ),
        ("0.5 * size, 1.5 * size", "0.25 * size, 1.75 * size", "test_the_centre_of_a_mosaic_is_anywhere_in_the_middle"),
        ("rng.permutation(4)", "range(4)", "test_the_four_images_of_a_mosaic_do_not_have_fixed_places"),
        ("for _ in range(3)", "for _ in range(2)", "test_the_centre_of_a_mosaic_is_anywhere_in_the_middle"),
        ("corner in (0, 1) else", "corner in (0, 2) else", "test_mosaic_keeps_objects_where_their_pixels_are"),
        ("[left, top, left, top]", "[top, left, top, left]", "test_mosaic_keeps_objects_where_their_pixels_are"),
    ),
    *_of(
        "data/augment/mixup.py",
        "tests/data/test_augment.py",
        ("1 - share, 0)", "0, 0)", "test_mixup_weighs_the_two_images_to_one"),
        (
            "np.concatenate((sample.boxes_xyxy, other.boxes_xyxy))",
            "sample.boxes_xyxy",
            "test_mixup_blends_pixels_and_joins_boxes",
        ),
    ),
    *_of(
        "data/augment/affine.py",
        "tests/data/test_augment.py",
        ("np.linalg.inv(half) @ matrix @ half", "matrix", "test_an_axis_parallel_warp_is_exact"),
        ("(share > MIN_AREA_SHARE)", "(share > 0)", "test_which_boxes_are_kept"),
        (
            "rng.uniform(1 - self.scale, 1 + self.scale)",
            "rng.uniform(1, 1 + self.scale)",
            "test_the_ranges_of_the_warp",
        ),
        ("shift_y * input_height", "shift_x * input_height", "test_the_ranges_of_the_warp"),
    ),
    *_of(
        "data/augment/flip.py",
        "tests/data/test_augment.py",
        ("boxes[:, [0, 2]] = sample.image.shape[1]", "boxes[:, [0, 2]] = sample.image.shape[0]", "test_flips"),
        ("rng.random() >= self.fliplr", "rng.random() < self.fliplr", "test_flips"),
    ),
    *_of(
        "data/augment/hsv.py",
        "tests/data/test_augment.py",
        ("levels * factors[0] % 180", "(levels * factors[0]).clip(0, 179)", "test_hue_goes_round"),
        ("cv2.COLOR_HSV2BGR", "cv2.COLOR_HSV2RGB", "test_hue_goes_round"),
    ),
    *_of(
        "data/loading/dataset.py",
        "tests/data/loading/test_dataset.py",
        (
            "else SHRINKING[interpolation]",
            "else cv2.INTER_AREA",
            "test_pictures_shrink_as_they_do_in_detection_unless_areas_are_asked_for",
        ),
        (
            '"area": cv2.INTER_AREA',
            '"area": cv2.INTER_LINEAR',
            "test_pictures_shrink_as_they_do_in_detection_unless_areas_are_asked_for",
        ),
        (
            "cv2.extractChannel(image, 2 - plane",
            "cv2.extractChannel(image, plane",
            "test_plain_items_are_the_letterboxed_files",
        ),
        (
            "(self.seed, key.epoch, key.image)",
            "(self.seed, key.image)",
            "test_items_depend_on_seed_epoch_and_index_only",
        ),
        ("rng.integers(len(self.dataset))", "0", "test_partners_are_drawn_from_the_whole_data_set"),
        ("labels = record.labels[~record.crowd]", "labels = record.labels", "test_crowds_are_not_targets"),
        ("(self.imgsz, self.shrinking)", "(self.imgsz,)", "test_caches_of_linear_and_of_averaged_pictures_are_apart"),
    ),
    *_of(
        "data/loading/loader.py",
        "tests/data/loading/test_loader.py",
        (
            'rng.permutation(self.order) if self.shuffle == "images" else self.order',
            "self.order",
            "test_shuffling_is_the_seeded_permutation",
        ),
        (
            "np.random.default_rng((self.seed, self.epoch))",
            "np.random.default_rng(self.seed)",
            "test_shuffling_is_the_seeded_permutation",
        ),
        (
            'rng.permutation(starts) if self.shuffle == "batches" else starts',
            "starts",
            "test_shuffling_is_the_seeded_permutation",
        ),
        ("self.batch_sampler.epoch = epoch", "pass", "test_shuffling_is_the_seeded_permutation"),
        ("math.ceil(len(self.order) / self.batch_size)", "len(self.order) // self.batch_size", "test_batches"),
        ("aspects[members].max(), aspects", "aspects[members].min(), aspects", "test_shape_of_rectangular_batches"),
    ),
    *_of(
        "data/coco/records.py",
        "tests/data/coco/test_coco.py",
        ("corners[:, 2:] += corners[:, :2]", "pass", "test_records"),
        ("labels = order[position]", "labels = position", "test_names_choose_classes_and_their_order"),
        ("inside = np.clip(corners, 0.0, bounds)", "inside = corners", "test_boxes_are_cleaned_and_counted"),
    ),
)

MUTATIONS: tuple[Mutation, ...] = (*_DATA,)
"""All of them; none may survive."""
