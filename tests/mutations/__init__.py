"""The wires that `python -m tests.mutate` cuts, by area.

When code moves, its entries move with it: tests/test_mutations.py refuses an entry that no longer fits its file.
"""

from __future__ import annotations

from tests.mutations import (
    anchor_free,
    costs,
    data,
    dialect,
    evaluation,
    exporting,
    faults,
    hub,
    limits,
    network,
    outputs,
    runtimes,
    sources,
    training,
)
from tests.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *training.MUTATIONS,
    *network.MUTATIONS,
    *anchor_free.MUTATIONS,
    *dialect.MUTATIONS,
    *hub.MUTATIONS,
    *limits.MUTATIONS,
    *data.MUTATIONS,
    *sources.MUTATIONS,
    *outputs.MUTATIONS,
    *evaluation.MUTATIONS,
    *faults.MUTATIONS,
    *costs.MUTATIONS,
    *exporting.MUTATIONS,
    *runtimes.MUTATIONS,
)
"""All of them; none may survive."""
