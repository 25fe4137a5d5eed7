"""Everything about taking weights over, as one way in three steps.

    read     `source` (own checkpoints, and by `unpickling` YOLOv5's): one shape for whatever a file holds
    match    `units` (what stands where), `matching` (row to row), `conversion` (unit to unit): what goes where, and how
    build    `transfer` (into a network that is there, with a `report`), `load` (from a file to a detector)

Each file imports only from those before it. What a single block or head knows of itself stands in its own file.
"""
