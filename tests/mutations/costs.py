"""What blocks cost after export: simpler ones in their place, and the table of back ends."""

from __future__ import annotations

from tests.mutations.mutation import cut

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
)
