"""Detect objects: `python detect.py --weights best.pt --source photo.jpg`; `--help` lists the flags."""

import sys

from engine.cli import run_cli
from engine.detect_cli import main

if __name__ == "__main__":
    sys.exit(run_cli(main))
