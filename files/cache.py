"""Where the project keeps between runs what it can make again: `python -m files.cache` prints the folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from platformdirs import user_cache_path

from files.paths import expanded
from files.printable import printable
from files.terminal import terminal

VARIABLE = "SACONV_YOLO_CACHE"
"""Environment variable that names another folder."""


def cache_folder() -> Path:
    """The folder, absolute; it may not exist yet, and may be deleted at any time.

    It holds `scans/` (checks of data sets), `images/` (pixels of `--cache disk`) and the generated demo data set.
    """
    chosen = os.environ.get(VARIABLE)
    folder = expanded(chosen) if chosen else user_cache_path("saconv-yolo", appauthor=False)
    return folder.absolute()


if __name__ == "__main__":
    with terminal() as shown:
        print(printable(str(cache_folder())))
        sys.exit(shown.finish(0))
