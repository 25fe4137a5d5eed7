"""Everything about taking weights over: reading checkpoints, matching rows, converting convolutions, the report."""
