"""Detectors from Python in the manner of `torch.hub`: pictures in, results with tables and files out."""
