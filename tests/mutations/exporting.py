"""Wires of the exporter and of the back ends of exported files."""

from __future__ import annotations

from tests.mutations.mutation import cut

_CHECK = "tests/engine/exporting/test_check.py"
_ONNX = "tests/engine/exporting/test_onnx.py"
_BACKEND = "tests/engine/backends/test_onnx_backend.py"
_LAYOUTS = "tests/engine/backends/test_layouts.py"
_METADATA = "tests/engine/backends/test_metadata.py"

MUTATIONS = (
    *cut(
        "engine/exporting/check.py",
        f"{_CHECK}::test_what_is_no_number_and_other_shapes_are_infinitely_far",
        ("return math.inf if math.isnan(value) else value", "return value"),
    ),
    *cut(
        "engine/exporting/check.py",
        f"{_CHECK}::test_suppressed_detections",
        ("max(self.scores, other.scores)", "self.scores"),
    ),
    *cut(
        "engine/exporting/check.py",
        f"{_CHECK}::test_a_difference_beyond_the_tolerance_is_refused",
        ("if value > most:", "if value > 2 * most:"),
    ),
    *cut(
        "engine/exporting/check_suppressed.py",
        f"{_CHECK}::test_suppressed_detections",
        ("max(self._missing(expected, boxes, scores, labels), self._twins(boxes, labels))", "0.0"),
        ("bool((scores <= self.options.conf_thres - self.score).any())", "False"),
    ),
    *cut(
        "engine/exporting/check_suppressed.py",
        f"{_CHECK}::test_a_box_in_the_place_of_one_as_good",
        ("scores[None] > wanted[:, 4:5] - self.score", "scores[None] > 0"),
    ),
    *cut(
        "engine/exporting/export.py",
        f"{_ONNX}::test_a_file_that_computes_something_else_is_not_left",
        ("        require_equal(found, tolerance, path, job.precision)\n", ""),
    ),
    *cut(
        "engine/exporting/export.py",
        f"{_ONNX}::test_what_cannot_be_written_is_one_line",
        ("if options.nms and not detector.head.needs_suppression:", "if False:"),
    ),
    *cut(
        "engine/exporting/onnx_suppression.py",
        f"{_ONNX}::test_suppression_in_the_file_is_that_of_detection",
        ("if options.agnostic_nms:", "if False:"),
        ("graph.floats([options.iou_thres])", "graph.floats([0.9])"),
    ),
    *cut(
        "engine/backends/exported.py",
        f"{_ONNX}::test_a_fixed_file_takes_any_number_of_pictures_of_its_size",
        ("size = self.fixed_batch or len(array)", "size = len(array)"),
        ("torch.cat(tensors)[: len(array)]", "torch.cat(tensors)"),
        ("None if metadata.dynamic else metadata.imgsz", "None"),
    ),
    *cut(
        "engine/backends/onnx.py",
        f"{_BACKEND}::test_files_of_another_kind_are_one_line",
        ("if channels in (3, None):", "if True:"),
        ('if task != "detect":', "if False:"),
    ),
    *cut(
        "engine/backends/onnx.py",
        f"{_BACKEND}::test_float16_goes_in_where_the_file_takes_it",
        ("images.astype(self._dtype, copy=False)", "images"),
    ),
    *cut(
        "engine/backends/onnx.py",
        f"{_BACKEND}::test_names_come_from_a_data_set_where_the_file_has_none",
        ("names is not None, batch", "True, batch"),
    ),
    *cut(
        "engine/backends/layouts.py",
        f"{_LAYOUTS}::test_one_class_of_yolov5_is_not_taken_for_end_to_end",
        (" and not (known in (None, 1) and rows in _cell_counts(hw))", ""),
    ),
    *cut(
        "engine/backends/layouts.py",
        f"{_LAYOUTS}::test_all_layouts_say_the_same",
        ("np.where(places < outputs[numbers].reshape(-1, 1), values, 0)", "values"),
        ("table[..., 5:] * table[..., 4:5]", "table[..., 5:]"),
    ),
    *cut(
        "engine/backends/layouts.py",
        f"{_LAYOUTS}::test_a_class_that_is_none_scores_nothing",
        ("(_tensor(scores) * known)[..., None]", "_tensor(scores)[..., None]"),
    ),
    *cut(
        "engine/backends/metadata.py",
        f"{_METADATA}::test_names_are_readable_as_other_programs_read_them",
        ("json.dumps(name, ensure_ascii=False)", "json.dumps(name)"),
    ),
    *cut(
        "engine/backends/metadata.py",
        f"{_METADATA}::test_what_is_wrong_is_one_line",
        ("        found.classes  # noqa: B018 (checks that there are as many ids as names)\n", ""),
    ),
    *cut(
        "engine/detect/predictor.py",
        f"{_ONNX}::test_a_fixed_file_takes_any_number_of_pictures_of_its_size",
        ("        check_fixed_size(imgsz, fixed, self.backend.weights)\n", ""),
    ),
    *cut(
        "engine/validation.py",
        f"{_ONNX}::test_a_fixed_file_takes_any_number_of_pictures_of_its_size",
        ("        check_fixed_size(asked, backend.fixed_hw, backend.weights)\n", ""),
        ("        input_hw=backend.fixed_hw,\n", ""),
    ),
    *cut(
        "engine/detect/predict.py",
        f"{_BACKEND}::test_names_come_from_a_data_set_where_the_file_has_none",
        ("            name_classes(backend, load_dataset_config(options.data))\n", "            pass\n"),
    ),
)
