"""The errors that `data` raises for input it cannot use."""

from __future__ import annotations

from files.errors import InputError


class DataError(InputError):
    """A data set, an annotation file or a source is wrong. One line: the file, the entry and the remedy."""


class ImageError(DataError):
    """An image file cannot be decoded."""


class DamagedImageError(ImageError):
    """An image file is there and can be read, but what it holds is broken, damaged or no picture."""
