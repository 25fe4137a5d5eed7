"""What blocks cost after export: simpler ones in their place, and the table of back ends."""

from __future__ import annotations

from tests.mutations.mutation import cut

_TABLE = "tests/engine/exporting/test_benchmark.py"
_SIMPLE = "tests/engine/exporting/test_simplification.py"

MUTATIONS = (
    *cut(
        "engine/exporting/simplification.py",
        f"{_SIMPLE}::test_differences_and_ap_are_those_of_the_trained_and_the_simpler_network",
        ("full = ExportedNetwork(copy.deepcopy(detector))", "full = ExportedNetwork(detector)"),
        ("(accuracy.ap(full.detector), accuracy.ap(simpler.detector))", "(accuracy.ap(simpler.detector),) * 2"),
        ("differences(full.run, simpler.run", "differences(simpler.run, simpler.run"),
    ),
    *cut(
        "engine/exporting/simplification.py",
        f"{_SIMPLE}::test_what_is_simpler_is_replaced_and_measured",
        ('picture_paths(dataset, "train", MOST)', 'picture_paths(dataset, "val", MOST)'),
        ("simpler = ExportedNetwork(copy.deepcopy(detector))", "simpler = ExportedNetwork(detector)"),
    ),
    *cut(
        "engine/exporting/simplification.py",
        f"{_SIMPLE}::test_where_nothing_is_replaced_nothing_is_measured",
        ("if not found.replaced:", "if False:"),
    ),
    *cut(
        "engine/exporting/export.py",
        f"{_SIMPLE}::test_what_is_written_is_the_simpler_network",
        ("        simplify_blocks=options.simplify_blocks,\n", ""),
        (
            "simplification = simplified(detector, job, inputs)",
            "simplification = simplified(copy.deepcopy(detector), job, inputs)",
        ),
        ("replace(one, simplification=simplification)", "one"),
    ),
    *cut(
        "engine/exporting/accuracy.py",
        f"{_TABLE}::test_ap_is_measured_by_the_limits_of_val_on_inputs_of_one_size",
        ("            conf_thres=options.conf_thres,\n", ""),
        ("            max_det=options.max_det,\n", ""),
        ("            input_hw=self._imgsz,\n", "            rect=True,\n"),
    ),
    *cut(
        "engine/exporting/benchmark.py",
        f"{_TABLE}::test_a_row_for_every_format_and_precision",
        ('.replace(f"{folder}/", "")', ""),
        ("backend, written.megabytes)", "backend)"),
        ("shutil.copyfile(Path(options.weights).expanduser(), weights)", "weights = Path(options.weights)"),
    ),
    *cut(
        "engine/exporting/benchmark.py",
        f"{_TABLE}::test_what_the_exporter_is_asked_for",
        ("imgsz=(imgsz,), model_budget=options.model_budget", "imgsz=(imgsz,)"),
        ("options.imgsz or first.imgsz", "first.imgsz"),
        ('int8=precision == "int8"', "int8=False"),
    ),
    *cut(
        "engine/exporting/benchmark.py",
        f"{_TABLE}::test_half_precision_of_the_checkpoint_is_a_row_of_its_own",
        ("dict.fromkeys((torch.float32, asked))", "[torch.float32]"),
    ),
    *cut(
        "engine/exporting/timing.py",
        f"{_TABLE}::test_back_ends_take_turns_and_the_first_call_of_a_turn_does_not_count",
        ("                if call:\n    ", ""),
        ("inputs[number % len(inputs)]", "inputs[0]"),
    ),
    *cut(
        "engine/cli/val.py",
        f"{_TABLE}::test_the_command_prints_the_table",
        ("if options.benchmark:", "if False:"),
    ),
)
