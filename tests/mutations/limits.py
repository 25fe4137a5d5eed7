"""What is refused before it does harm: kinds, budgets, numbers that are none."""

from __future__ import annotations

from tests.mutations.mutation import cut

MUTATIONS = (
    *cut(
        "models/kinds.py",
        "tests/models/test_kinds.py::test_what_fits_an_annotation",
        (" and not isinstance(value, bool)\n    return", "\n    return"),
    ),
    *cut(
        "models/kinds.py",
        "tests/models/test_kinds.py::test_a_wrong_kind_is_refused",
        ("number < least", "number < 0"),
    ),
    *cut(
        "models/parser.py",
        "tests/models/test_budget.py::test_each_limit_is_named_with_its_flag",
        ('budget.check("rows", len(config.rows))', "pass"),
    ),
    *cut(
        "models/weights/checks.py",
        "tests/models/weights/test_unfit_numbers.py::test_numbers_that_no_network_runs_with",
        ("if not finite.all():", "if False:"),
        ("if tensor.is_complex():", "if False:"),
    ),
    *cut(
        "files/recipe.py",
        "tests/engine/training/test_hyperparameters.py::test_wrong_files_are_one_line",
        ("if isinstance(value, bool) and", "if False and"),
    ),
)
