"""`python -m models yolov5s-saconv.yaml`: print the network that a model YAML describes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table. Returns the exit code: 2 for a configuration or a size that is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m models", description="Print the network that a model YAML describes."
    )
    parser.add_argument("cfg", help="a model YAML: a path, or the name of one in configs/models/")
    parser.add_argument("--imgsz", type=int, default=640, help="side of the image in pixels (default: 640)")
    parser.add_argument("--nc", type=int, help="number of classes, in place of the file's")
    options = parser.parse_args(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    from models.detector import build_model
    from models.summary import summarize

    try:
        print(summarize(build_model(options.cfg, options.nc), options.imgsz))
    except (ValueError, OSError) as error:  # a ConfigError is a ValueError
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
