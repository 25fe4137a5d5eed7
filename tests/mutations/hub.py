"""Models for torch.hub: pictures of every kind, attributes, results."""

from __future__ import annotations

from tests.mutations.mutation import cut

_HUB = "tests/engine/hub/test_hub.py"

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
)
