"""Models for torch.hub, and TorchScript: pictures of every kind, attributes, results; programs that do no more."""

from __future__ import annotations

from tests.mutations.mutation import cut

_HUB = "tests/engine/hub/test_hub.py"
_SCRIPT = "tests/engine/backends/test_torchscript.py"

MUTATIONS = (
    *cut(
        "engine/hub/pictures.py",
        f"{_HUB}::test_every_kind_of_picture",
        ("ImageOps.exif_transpose(image).convert", "image.convert"),
        ("rgb[..., ::-1]", "rgb"),
        ("(batch.float() * 255).round()", "batch.float()"),
    ),
    *cut(
        "engine/hub/pictures.py", f"{_HUB}::test_files_that_are_no_pictures", ('if entry.kind != "image"', "if False")
    ),
    *cut("engine/hub/model.py", f"{_HUB}::test_attributes_are_thresholds", ("max_det=self.max_det", "max_det=1000")),
    *cut(
        "engine/hub/model.py",
        f"{_HUB}::test_suppression_follows_its_attributes",
        ("iou_thres=self.iou", "iou_thres=0.45"),
        ("agnostic=self.agnostic", "agnostic=False"),
    ),
    *cut("engine/hub/results.py", f"{_HUB}::test_text", ("map(printable, self._lines())", "self._lines()")),
    *cut(
        "engine/hub/entries.py",
        "tests/scripts/test_hubconf.py::test_fresh_weights_stay_the_same_on_every_device",
        ("        fresh.load_state_dict(state)\n", ""),
    ),
    *cut(
        "hubconf.py",
        "tests/scripts/test_hubconf.py::test_another_package_of_the_same_name",
        ("\n_require_own_packages()\n", "\n"),
    ),
    *cut(
        "engine/backends/torchscript_archive.py",
        f"{_SCRIPT}::test_programs_that_are_no_traces",
        ("save|from_file|", "from_file|"),
        ("PythonOp|IgnoredPythonOp|", ""),
        ("__setstate__", "__other__"),
        (r"|\btorch\s*\.\s*classes\b", ""),
        (r"(?!\s*\.)", "(?=never)"),
        (' or "\\\\" in text', ""),
        ("if use[1] not in _NAMESPACES", "if False"),
    ),
    *cut(
        "engine/backends/torchscript_archive.py",
        f"{_SCRIPT}::test_what_torch_would_run_is_not_loaded",
        ("        if found:\n", "        if False:\n"),
    ),
    *cut(
        "engine/backends/torchscript_archive.py",
        f"{_SCRIPT}::test_bytes_that_are_no_torchscript",
        (' or "model.json" in records', ""),
        ("> MAX_UNFOLDED", "> 1 << 40"),
    ),
    *cut(
        "engine/backends/torchscript_archive.py",
        f"{_SCRIPT}::test_what_is_written_has_no_paths_and_no_pictures",
        ("if not name.endswith(_UNUSED) and", "if"),
    ),
    *cut(
        "engine/exporting/formats/torchscript.py",
        "tests/engine/exporting/formats/test_torchscript.py::test_what_cannot_be_written_is_one_line",
        ("    if not same:\n", "    if False:\n"),
    ),
    *cut(
        "engine/exporting/formats/torchscript.py",
        "tests/engine/exporting/formats/test_torchscript.py::test_half",
        ("            network.half_inside()\n", "            pass\n"),
    ),
    *cut(
        "models/blocks/saconv/local_average.py",
        "tests/models/blocks/test_saconv.py::test_a_trace_reflects_at_every_size",
        ("@branches_on_size ", "# "),
    ),
)
