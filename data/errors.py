"""The errors that `data` raises for input it cannot use."""

from __future__ import annotations


class DataError(ValueError):
    """A data set, an annotation file or a source is wrong. One line: the file, the entry and the remedy."""


class ImageError(DataError):
    """An image file cannot be decoded."""
