"""Losses and assignments. Each head names its own in `criterion`."""
