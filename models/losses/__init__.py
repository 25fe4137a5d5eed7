"""Losses. Each head names its own in `build_loss`."""
