"""Data: what the network sees, and the truth beside it."""

from __future__ import annotations

from tests.mutations.mutation import cut

_LETTERBOX = "tests/data/test_letterbox.py"
_AUGMENT = "tests/data/augment"
_DATASET = "tests/data/loading/test_dataset.py"
_LOADER = "tests/data/loading/test_loader.py"
_COCO = "tests/data/coco/test_coco.py"
_SILENT = "tests/data/coco/test_silent_losses.py"
_SCANS = "tests/data/coco/test_scan_images.py"
_ARRAYS = "tests/files/test_arrays.py"

_GEOMETRY = (
    *cut(
        "data/letterbox.py",
        f"{_LETTERBOX}::test_rounding_worked_by_hand",
        ("max(round(hw[0] * ratio), 1)", "max(int(hw[0] * ratio), 1)"),
    ),
    *cut(
        "data/letterbox.py",
        f"{_LETTERBOX}::test_geometry",
        ("/ 2 - 0.1), round(", "/ 2 + 0.1), round("),
        ("-(-width // stride) * stride", "width"),
    ),
    *cut(
        "data/letterbox.py",
        f"{_LETTERBOX}::test_boxes_come_back",
        ("(boxes * scale + offset)", "(boxes * self.ratio + offset)"),
    ),
    *cut(
        "data/letterbox.py",
        f"{_LETTERBOX}::test_boxes_outside_the_picture_are_clipped",
        ("return np.clip(boxes, 0, ", "return np.clip(boxes, -9, "),
    ),
    *cut("data/letterbox.py", f"{_LETTERBOX}::test_grey_is_yolov5s", ("PAD_VALUE = 114", "PAD_VALUE = 0")),
)

_AUGMENTATIONS = (
    *cut(
        "data/augment/mosaic.py",
        f"{_AUGMENT}/test_mixing.py::test_the_centre_of_a_mosaic_is_anywhere_in_the_middle",
        ("rng.uniform(0.5 * size, 1.5 * size, 2)", "(size, size)"),
        ("0.5 * size, 1.5 * size", "0.25 * size, 1.75 * size"),
        ("for _ in range(3)", "for _ in range(2)"),
    ),
    *cut(
        "data/augment/mosaic.py",
        f"{_AUGMENT}/test_mixing.py::test_the_four_images_of_a_mosaic_do_not_have_fixed_places",
        ("rng.permutation(4)", "range(4)"),
    ),
    *cut(
        "data/augment/mosaic.py",
        f"{_AUGMENT}/test_mixing.py::test_mosaic_keeps_objects_where_their_pixels_are",
        ("corner in (0, 1) else", "corner in (0, 2) else"),
        ("[left, top, left, top]", "[top, left, top, left]"),
    ),
    *cut(
        "data/augment/mixup.py",
        f"{_AUGMENT}/test_mixing.py::test_mixup_weighs_the_two_images_to_one",
        ("1 - share, 0)", "0, 0)"),
        ("rng.beta(32.0, 32.0)", "0.5"),
    ),
    *cut(
        "data/augment/mixup.py",
        f"{_AUGMENT}/test_mixing.py::test_mixup_blends_pixels_and_joins_boxes",
        ("np.concatenate((sample.boxes_xyxy, other.boxes_xyxy))", "sample.boxes_xyxy"),
    ),
    *cut(
        "data/augment/affine.py",
        f"{_AUGMENT}/test_affine.py::test_an_axis_parallel_warp_is_exact",
        ("np.linalg.inv(half) @ matrix @ half", "matrix"),
    ),
    *cut(
        "data/augment/affine.py",
        f"{_AUGMENT}/test_affine.py::test_which_boxes_are_kept",
        ("(share > MIN_AREA_SHARE)", "(share > 0)"),
        ("(sides > MIN_SIDE)", "(sides > 0)"),
    ),
    *cut(
        "data/augment/affine.py",
        f"{_AUGMENT}/test_affine.py::test_the_ranges_of_the_warp",
        ("rng.uniform(1 - self.scale, 1 + self.scale)", "rng.uniform(1, 1 + self.scale)"),
        ("shift_y * input_height", "shift_x * input_height"),
    ),
    *cut(
        "data/augment/flip.py",
        f"{_AUGMENT}/test_colour_and_flips.py::test_flips",
        ("side = sample.image.shape[1 - axis]", "side = sample.image.shape[axis]"),
        ("rng.random() >= self.fliplr", "rng.random() < self.fliplr"),
    ),
    *cut(
        "data/augment/hsv.py",
        f"{_AUGMENT}/test_colour_and_flips.py::test_hue_goes_round",
        ("levels * factors[0] % 180", "(levels * factors[0]).clip(0, 179)"),
        ("cv2.COLOR_HSV2BGR", "cv2.COLOR_HSV2RGB"),
    ),
)

_LOADING = (
    *cut(
        "data/loading/dataset.py",
        f"{_DATASET}::test_pictures_shrink_as_they_do_in_detection_unless_areas_are_asked_for",
        ("else SHRINKING[interpolation]", "else cv2.INTER_AREA"),
        ('"area": cv2.INTER_AREA', '"area": cv2.INTER_LINEAR'),
    ),
    *cut(
        "data/loading/dataset.py",
        f"{_DATASET}::test_plain_items_are_the_letterboxed_files",
        ("cv2.extractChannel(image, 2 - plane", "cv2.extractChannel(image, plane"),
    ),
    *cut(
        "data/loading/dataset.py",
        f"{_DATASET}::test_items_depend_on_seed_epoch_and_index_only",
        ("(self.seed, key.epoch, key.image)", "(self.seed, key.image)"),
    ),
    *cut(
        "data/loading/dataset.py",
        f"{_DATASET}::test_partners_are_drawn_from_the_whole_data_set",
        ("rng.integers(len(self.dataset))", "0"),
    ),
    *cut(
        "data/loading/dataset.py",
        f"{_DATASET}::test_crowds_are_not_targets",
        ("boxes, record.labels[~record.crowd], pool, regions), start", "boxes, record.labels, pool, regions), start"),
    ),
    *cut(
        "data/loading/dataset.py",
        f"{_DATASET}::test_caches_of_linear_and_of_averaged_pictures_are_apart",
        ("(self.imgsz, self.shrinking)", "(self.imgsz,)"),
    ),
    *cut(
        "data/loading/loader.py",
        f"{_LOADER}::test_shuffling_is_the_seeded_permutation",
        ('rng.permutation(self.order) if self.shuffle == "images" else self.order', "self.order"),
        ("np.random.default_rng((self.seed, self.epoch))", "np.random.default_rng(self.seed)"),
        ('rng.permutation(starts) if self.shuffle == "batches" else starts', "starts"),
        ("self.batch_sampler.epoch = epoch", "pass"),
    ),
    *cut(
        "data/loading/loader.py",
        f"{_LOADER}::test_batches",
        ("math.ceil(len(self.order) / self.batch_size)", "len(self.order) // self.batch_size"),
    ),
    *cut(
        "data/loading/loader.py",
        f"{_LOADER}::test_shape_of_rectangular_batches",
        ("aspects[members].max(), aspects", "aspects[members].min(), aspects"),
    ),
)

_ANNOTATIONS = (
    *cut("data/coco/boxes.py", f"{_COCO}::test_records", ("corners[:, 2:] += corners[:, :2]", "pass")),
    *cut(
        "data/coco/categories.py",
        f"{_COCO}::test_names_choose_classes_and_their_order",
        ("labels = order[position]", "labels = position"),
    ),
    *cut(
        "data/coco/boxes.py",
        f"{_COCO}::test_boxes_are_cleaned_and_counted",
        ("inside = np.clip(corners, 0.0, bounds)", "inside = corners"),
        ('"of no area": (size == 0).any(1)', '"of no area": (size < 0).any(1)'),
    ),
)

_BROKEN = "tests/data/coco/test_broken_images.py"
_DAMAGE = "tests/data/loading/test_damage.py"
_IMAGE = "tests/data/media/test_image.py"

_BAD_PICTURES = (
    *cut(
        "data/media/image.py",
        f"{_IMAGE}::test_damage_inside_is_a_finding_about_a_named_file",
        ("    if said.damage:\n", "    if False:\n"),
    ),
    *cut(
        "data/media/image.py",
        f"{_IMAGE}::test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated",
        (" or not jpeg_scans_are_complete(encoded.tobytes())", ""),
    ),
    *cut(
        "data/media/image.py",
        "tests/data/media/test_image_limits.py::test_the_limit_on_pixels_holds_before_decoding",
        ("            check_pixels(header.width, header.height, path, max_pixels)\n            if", "            if"),
    ),
    *cut(
        "data/media/complaints.py",
        f"{_IMAGE}::test_lines_of_others_are_passed_on",
        ('os.write(original, b"".join(others))', "pass"),
    ),
    *cut(
        "data/media/sources.py",
        "tests/data/media/test_containers.py::test_an_avi_that_lost_its_index_only_is_whole",
        ("    if frames >= count > 0:\n", "    if False:\n"),
    ),
    *cut(
        "data/media/entries.py",
        "tests/data/media/test_animation.py::test_every_frame_comes_in_order",
        ('"video" if is_animation(path) else "image"', '"image"'),
    ),
    *cut(
        "data/coco/tolerance.py",
        f"{_BROKEN}::test_more_than_one_percent_and_three_are_an_error",
        ("max(images // _SHARE, _ALWAYS)", "_ALWAYS"),
        ("max(images // _SHARE, _ALWAYS)", "images // _SHARE"),
    ),
    *cut(
        "data/coco/records.py",
        f"{_BROKEN}::test_a_repaired_one_is_used_again",
        ("(*records.paths(), *map(Path, report.broken))", "records.paths()"),
    ),
    *cut(
        "data/loading/dataset.py",
        f"{_DAMAGE}::test_the_one_that_takes_its_place_follows_from_seed_epoch_and_index",
        ("(self.seed, epoch, index, _REPLACEMENT)", "(self.seed, index, _REPLACEMENT)"),
    ),
    *cut(
        "data/loading/damage.py",
        f"{_DAMAGE}::test_a_memory_that_is_not_right_is_made_anew",
        ('content["digest"] == _digest(entries)', "True"),
    ),
    *cut(
        "engine/metrics/evaluate.py",
        "tests/engine/metrics/test_evaluate.py::test_a_damaged_picture_counts_as_one_without_detections",
        ("boxes[:0] if meta.damaged else boxes", "boxes"),
    ),
)

_LOSSES = (
    *cut(
        "data/coco/columns.py",
        f"{_SILENT}::test_two_ids_with_one_file_are_refused",
        ("map(normpath, self.strings(key))", "self.strings(key)"),
    ),
    *cut(
        "data/coco/tables.py",
        f"{_SILENT}::test_a_key_twice_is_refused",
        ("object_pairs_hook=None if legacy else as_object", "object_pairs_hook=None"),
    ),
    *cut(
        "data/coco/records.py",
        f"{_SILENT}::test_a_box_that_is_listed_twice_counts_once",
        ("drop_repeated=not settings.legacy", "drop_repeated=False"),
        ("(owner, labels, tables.crowd | tables.ignored)", "(owner, labels)"),
    ),
    *cut(
        "data/coco/records.py",
        f"{_SILENT}::test_a_box_to_be_ignored_is_treated_as_a_crowd",
        ('"box_crowd": table.crowd[kept] | table.ignored[kept]', '"box_crowd": table.crowd[kept]'),
    ),
    *cut(
        "data/coco/categories.py",
        f"{_COCO}::test_a_second_split_may_lack_categories_and_have_others_without_boxes",
        ("elsewhere if elsewhere not in taken else max(taken) + 1", "elsewhere"),
    ),
    *cut(
        "files/arrays.py",
        f"{_ARRAYS}::test_every_bit_counts",
        ("digest if digest is not None else _digest_of(memory)", "stated"),
    ),
    *cut(
        "data/coco/records.py",
        f"{_SCANS}::test_records_of_a_cache_go_to_other_processes_as_the_name_of_the_file",
        ("Records(arrays, source.images, (scan_file(key), stored.digest))", "Records(arrays, source.images)"),
    ),
)

_YOLO = "tests/data/formats/test_yolo.py"

_IGNORE = "tests/data/test_ignore.py"
_MOVES = "tests/data/augment/test_regions.py"

_VOC = "tests/data/formats/test_voc.py"
_CONVERT = "tests/data/test_convert.py"

_FORMATS = (
    *cut(
        "data/formats/voc.py",
        f"{_VOC}::test_a_data_set_in_vocs_format",
        ("(left - 1, top - 1, right - left + 1, bottom - top + 1)", "(left, top, right - left, bottom - top)"),
        ("ignored=[item.difficult for _, item in rows]", "ignored=None"),
    ),
    *cut(
        "data/formats/voc.py",
        f"{_VOC}::test_which_picture_an_xml_belongs_to",
        ("candidates = same_name or near", "candidates = near or same_name"),
    ),
    *cut(
        "data/formats/voc.py",
        f"{_VOC}::test_xml_that_is_refused",
        ("ET.XMLParser(target=_PlainTree())", "ET.XMLParser()"),
    ),
    *cut(
        "data/formats/yolo.py",
        f"{_YOLO}::test_a_link_to_a_folder_of_pictures",
        ("Path(normpath(root / (find(path, root) or expanded(path))))", "(root / path).resolve()"),
    ),
    *cut(
        "data/config.py",
        "tests/data/test_config.py::test_mistakes_are_one_line",
        ("config.names is None and any(part.needs_names for part in parts)", "False"),
        ("config.nc not in (None, len(config.names))", "False"),
    ),
    *cut(
        "engine/training/same_data.py",
        f"{_IGNORE}::test_a_training_knows_its_data_by_them_too",
        ("record.crowd, record.regions_xyxy)", "record.crowd)"),
    ),
    *cut(
        "data/convert/yolo.py",
        f"{_CONVERT}::test_to_yolo_and_back",
        ("single = ~truth.crowd[rows]", "single = truth.labels[rows] >= 0"),
        ("fractions[:, :2] += fractions[:, 2:] / 2", "pass"),
    ),
    *cut(
        "data/convert/target.py",
        f"{_CONVERT}::test_to_yolo_and_back",
        ('if part not in ("images", "..")', 'if part != ".."'),
        ('while str(name.with_suffix("")).casefold() in taken', "while str(name) in taken"),
    ),
    *cut(
        "data/convert/coco.py",
        f"{_CONVERT}::test_from_voc",
        ('**({"ignore": 1} if is_ignored else {})', "**{}"),
    ),
    *cut(
        "data/convert/__init__.py",
        f"{_CONVERT}::test_what_is_there_stays",
        ("    _refuse_existing(folder)\n", ""),
    ),
    *cut(
        "data/convert/target.py",
        f"{_CONVERT}::test_links_hold_when_both_are_moved_together",
        ("os.path.relpath(record.path.resolve(), (self.folder / relative).parent)", "record.path.resolve()"),
    ),
    *cut(
        "data/coco/records.py",
        f"{_IGNORE}::test_a_detector_may_have_it_as_a_class",
        (
            "np.where(region, -1, labels_of(tables.annotation_categories, classes.ids))",
            "labels_of(tables.annotation_categories, classes.ids)",
        ),
    ),
    *cut(
        "data/coco/records.py",
        f"{_IGNORE}::test_boxes_of_a_category_to_be_ignored_are_regions",
        ("used = (labels >= 0) | region", "used = labels >= 0"),
        ("regions = regions[np.argsort(owner[regions]", "regions = regions[np.argsort(-owner[regions]"),
    ),
    *cut(
        "data/loading/dataset.py",
        f"{_IGNORE}::test_regions_reach_the_loss",
        (
            "Sample(image, boxes, record.labels[~record.crowd], pool, regions), start",
            "Sample(image, boxes, record.labels[~record.crowd], pool), start",
        ),
        ("boxes, record.labels[~record.crowd], pool, regions)\n\n", "boxes, record.labels[~record.crowd], pool)\n\n"),
    ),
    *cut("engine/targets.py", f"{_IGNORE}::test_regions_reach_the_loss", ("batch.ignore, (", "batch.ignore[:0], (")),
    *cut(
        "data/augment/affine.py",
        f"{_MOVES}::test_regions_move_as_boxes_do",
        ("regions_xyxy=regions[seen]", "regions_xyxy=sample.regions_xyxy[seen]"),
    ),
    *cut(
        "data/augment/flip.py",
        f"{_MOVES}::test_regions_move_as_boxes_do",
        ("regions_xyxy=mirror(sample.regions_xyxy)", "regions_xyxy=sample.regions_xyxy"),
    ),
    *cut(
        "data/augment/mosaic.py",
        f"{_MOVES}::test_regions_move_as_boxes_do",
        ("regions.append(tile.regions_xyxy + shift)", "regions.append(tile.regions_xyxy)"),
    ),
    *cut(
        "data/augment/mixup.py",
        f"{_MOVES}::test_regions_of_both_pictures_are_kept",
        ("(sample.regions_xyxy, other.regions_xyxy)", "(sample.regions_xyxy,)"),
    ),
    *cut(
        "engine/metrics/coco.py",
        "tests/engine/metrics/test_regions.py::test_a_region_is_a_crowd_of_every_class",
        ("for category in classes.ids\n    )\n    return", "for category in classes.ids[:1]\n    )\n    return"),
        ("_region_entries(split.records, split.classes, len(entries) + 1)", "[]"),
    ),
    *cut(
        "engine/metrics/evaluate.py",
        "tests/engine/metrics/test_regions.py::test_a_detection_in_a_region_is_no_false_alarm",
        ("record.crowd, record.regions_xyxy", "record.crowd, None"),
    ),
    *cut(
        "data/formats/yolo.py",
        f"{_YOLO}::test_a_data_set_in_yolos_format",
        ("cx - width / 2", "cx"),
        ('parts[places[-1]] = "labels"', 'parts[places[0]] = "labels"'),
    ),
    *cut(
        "data/formats/yolo.py",
        f"{_YOLO}::test_a_change_of_a_label_is_seen",
        ("files_fingerprint(labels)", '""'),
    ),
    *cut(
        "data/coco/tables.py",
        f"{_YOLO}::test_a_data_set_in_yolos_format",
        ("boxes * np.tile(sizes[self.owners()], 2)", "boxes * np.tile(sizes[:1], 2)"),
    ),
    *cut(
        "data/coco/names.py",
        "tests/data/coco/test_exports.py::test_what_label_studio_exports",
        ("    yield from (", "    yield from () and ("),
        ("parts[-1][9:]", "parts[-1]"),
    ),
    *cut(
        "data/coco/outlines.py",
        "tests/data/coco/test_exports.py::test_an_outline_that_is_none_is_refused",
        ("if not _COMPRESSED.fullmatch(counts):", "if not counts.isascii():"),
        ("if sum(counts) != size[0] * size[1]:", "if False:"),
    ),
    *cut(
        "data/coco/columns.py",
        "tests/data/coco/test_exports.py::test_what_cvat_exports",
        ("_stated_boxes(key), lacking\n\n    def _surr", "_stated_boxes(key), ~lacking\n\n    def _surr"),
    ),
    *cut(
        "data/coco/categories.py",
        "tests/data/coco/test_exports.py::test_a_root_without_boxes_is_no_class",
        ("if settings.roots else tables.roots & _without_boxes(tables)", "if True else set()"),
    ),
)

MUTATIONS = (*_BAD_PICTURES, *_GEOMETRY, *_AUGMENTATIONS, *_LOADING, *_ANNOTATIONS, *_FORMATS, *_LOSSES)
