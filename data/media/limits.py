"""How much is read at most. Free of imports, since the options name these."""

from __future__ import annotations

MAX_PIXELS = 250_000_000
"""Pixels of a picture. Decoded they take three bytes each, and while they are converted up to eight."""
ANIMATION_COPIES = 8
"""An animation may have so many times fewer pixels: Pillow keeps several copies of it, of four bytes a pixel."""
DOWNLOAD_BYTES = 256 * 2**20
"""Bytes of a picture that is downloaded."""
DOWNLOAD_S = 60.0
"""Seconds that a download may take in all."""
LIST_BYTES = 128 * 2**20
"""Bytes of a list of sources: a million paths of more than a hundred letters."""
