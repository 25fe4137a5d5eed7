"""Detect objects: `python detect.py --weights best.pt --source photo.jpg`; `--help` lists the flags."""

import sys

from engine.cli.detect import main
from engine.cli.run import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(main))
