"""Everything about taking weights over, as one way in three steps; imports go up in this list.

    read     `unpickling` (YOLOv5's files, without running them), `source` (any file, in one shape)
    match    `report`, `units` (what stands where), `conversion` (unit to unit), `matching` (row to row)
    build    `transfer` (into a network that is there), `load` (from a file to a detector)

What a single block or head knows of itself stands in its own file.
"""
