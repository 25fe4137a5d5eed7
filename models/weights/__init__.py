"""Everything about taking weights over, as one way in three steps; imports go up in this list.

    read     `unpickling` (pickled files, without running them), `foreign` (what they say), `source` (any, in one shape)
    match    `report`, `units` (what stands where), `conversion` (unit to unit), `matching` (row to row), `activations`
    build    `transfer` (into a network that is there), `load` (from a file to a detector)

What a single block or head knows of itself stands in its own file.
"""
