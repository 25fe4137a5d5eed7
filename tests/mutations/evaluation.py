"""Evaluation and detection: from the network's predictions to figures, and to boxes on pictures."""

from __future__ import annotations

from tests.mutations.mutation import cut

_EVALUATE = "tests/engine/metrics/test_evaluate.py"
_SUPPRESSION = "tests/engine/test_postprocess.py"
_PREDICT = "tests/engine/detect/test_predict.py"
_COCO = "tests/engine/metrics/test_coco.py"
_TRUTH = "tests/engine/metrics/test_truth.py"
_CONFUSION = "tests/engine/metrics/test_confusion.py"

_FIGURES = (
    *cut(
        "engine/metrics/evaluate.py",
        f"{_EVALUATE}::test_every_class_of_a_box_above_the_threshold_counts",
        ("multi_label=True", "multi_label=False"),
        ("conf_thres: float = 0.001", "conf_thres: float = 0.25"),
    ),
    *cut(
        "engine/metrics/evaluate.py",
        f"{_EVALUATE}::test_what_a_person_sees_is_above_a_quarter",
        ("conf_thres=SHOWN_CONF", "conf_thres=conf_thres"),
    ),
    *cut(
        "engine/metrics/evaluate.py",
        f"{_EVALUATE}::test_losses_are_means_over_images",
        ("loss.detach().float() * images", "loss.detach().float()"),
    ),
    *cut(
        "engine/device.py",
        f"{_EVALUATE}::test_images_are_channels_last_floats_in_0_to_1",
        ("pixels.float() / 255 if", "pixels.float() if"),
    ),
    *cut(
        "data/letterbox.py",
        f"{_EVALUATE}::test_predictions_in_the_grey_border_are_no_detections",
        ("axis=1)[visible]", "axis=1)"),
    ),
    *cut(
        "engine/metrics/evaluate.py",
        f"{_EVALUATE}::test_the_truth_comes_back_with_its_ids_and_in_original_pixels",
        ('"bbox": [x1, y1, x2 - x1, y2 - y1]', '"bbox": [x1, y1, x2, y2]'),
    ),
    *cut(
        "engine/metrics/evaluate.py",
        f"{_EVALUATE}::test_every_module_returns_to_its_mode",
        ("    model.eval()\n", ""),
        ("module.training = training", "pass"),
    ),
    *cut(
        "engine/metrics/coco.py",
        f"{_COCO}::test_perfect_detections_of_odd_ids_and_missing_fields",
        ('"id": len(kept) + 1', '"id": len(kept)'),
    ),
    *cut(
        "engine/metrics/coco.py",
        f"{_COCO}::test_a_crowd_is_neither_a_miss_nor_a_false_alarm",
        ('int(bool(entry.get("iscrowd")))', "0"),
    ),
    *cut(
        "engine/metrics/confusion.py",
        f"{_CONFUSION}::test_counts_by_hand",
        ("np.argsort(-iou", "np.argsort(iou"),
    ),
    *cut(
        "engine/metrics/confusion.py",
        f"{_CONFUSION}::test_counts_by_hand",
        ("excused[paired_predicted] = True", "pass"),
    ),
)

_BOXES = (
    *cut(
        "engine/postprocess.py",
        f"{_SUPPRESSION}::test_equals_the_reference",
        ("scores.amax(2) > conf_thres", "scores.amin(2) > conf_thres"),
        ("labels = (class_scores > conf_thres)", "labels = (class_scores > 0)"),
        ("torch.zeros_like(candidates[:, 5]) if agnostic else candidates[:, 5]", "candidates[:, 5]"),
        ("groups, iou_thres)", "groups, 1 - iou_thres)"),
        ("keep[:max_det]", "keep"),
    ),
    *cut(
        "engine/postprocess.py",
        f"{_SUPPRESSION}::test_rows_that_are_not_finite_are_dropped_and_others_stay",
        ("boxes.isfinite().all(1) & class_scores", "class_scores"),
    ),
    *cut(
        "engine/postprocess.py",
        f"{_SUPPRESSION}::test_only_the_best_candidates_take_part",
        ("scores.topk(MAX_CANDIDATES)", "scores.topk(MAX_CANDIDATES, largest=False)"),
    ),
    *cut(
        "engine/detect/predictor.py",
        f"{_PREDICT}::test_boxes_land_where_the_rectangles_are",
        ("cv2.COLOR_BGR2RGB", "cv2.COLOR_BGR2HSV"),
        ("letterbox.detections_to_image(rows)", "rows"),
    ),
    *cut(
        "engine/detect/predictor.py",
        f"{_PREDICT}::test_flags_that_choose_detections",
        ("agnostic=self._agnostic", "agnostic=False"),
        ("conf_thres=self._conf_thres", "conf_thres=0.25"),
        ("iou_thres=self._iou_thres", "iou_thres=0.45"),
        ("max_det=self._max_det", "max_det=1000"),
    ),
    *cut(
        "engine/postprocess.py",
        f"{_SUPPRESSION}::test_without_suppression_the_best_stay_and_overlap",
        ("if needs_suppression:", "if True:"),
        ("argsort(descending=True, stable=True)", "argsort(stable=True)"),
    ),
    *cut(
        "engine/metrics/evaluate.py",
        f"{_EVALUATE}::test_a_head_that_needs_no_suppression_gets_none",
        ("yield look_at_logits, network.head.needs_suppression", "yield look_at_logits, True"),
    ),
    *cut(
        "engine/input_size.py",
        f"{_PREDICT}::test_the_input_is_a_rectangle_of_whole_strides",
        ("-(-side // stride) * stride", "side"),
    ),
)

_ONE_TRUTH = (
    *cut(
        "data/coco/truth.py",
        f"{_TRUTH}::test_a_box_keeps_its_stated_area_unless_it_is_clipped",
        ("np.where(unchanged, self.areas[rows], np.nan)", "self.areas[rows]"),
        ("np.where(unchanged[:, None], self.boxes_xywh[rows], clipped_xywh)", "self.boxes_xywh[rows]"),
    ),
    *cut(
        "data/coco/truth.py",
        f"{_TRUTH}::test_an_unchanged_box_is_the_files_own_number",
        ("unchanged = self.outcomes[rows] == KEPT", "unchanged = self.outcomes[rows] < 0"),
    ),
    *cut(
        "data/coco/truth.py",
        f"{_TRUTH}::test_own_boxes_reach_1_and_a_mistake_shows_in_the_second_figure_alone",
        ("self.crowd[rows] | self.ignored[rows])", "self.crowd[rows])"),
    ),
    *cut(
        "engine/metrics/coco.py",
        f"{_TRUTH}::test_more_objects_than_coco_counts",
        ("classes.ids], 0, 2]", "classes.ids], 0, -1]"),
        ("if number > COUNTED}", "if number >= COUNTED}"),
    ),
    *cut(
        "engine/training/setup.py",
        "tests/scripts/test_old_checkpoint.py::test_an_older_training_goes_on_with_the_annotations_as_it_read_them",
        ('legacy=rules.truth == "file"', "legacy=False"),
        ('as_filed=rules.truth == "file"', "as_filed=False"),
    ),
    *cut(
        "engine/training/loop.py",
        "tests/scripts/test_undefined_ap.py::test_without_a_truth_the_last_epoch_is_best",
        ("progress.best_epoch = progress.epoch  #", "pass  #"),
    ),
)

MUTATIONS = (*_FIGURES, *_BOXES, *_ONE_TRUTH)
