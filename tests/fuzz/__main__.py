"""`python -m tests.fuzz TARGET`: see `tests.fuzz.targets`."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Feeds one target until it is stopped or has found something."""
    import atheris

    with atheris.instrument_imports(include=["models", "data", "files"]):
        from tests.fuzz.targets import SEEDS, TARGETS, feed
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {'|'.join(TARGETS)} [flags of libFuzzer]")
    logging.disable(logging.WARNING)
    # 2 s and 500 MB above the idle process, which has torch in it
    limits = ["-timeout=2", "-rss_limit_mb=1500"]
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found"
        found.mkdir()
        arguments = [sys.argv[0], *limits, *sys.argv[2:], str(found), str(SEEDS / name)]
        atheris.Setup(arguments, lambda content: feed(name, Path(folder), content))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
