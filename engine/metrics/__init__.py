"""Measuring a detector: average precision, confusion, losses and timings."""
