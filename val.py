"""Measure a checkpoint on a data set: `python val.py --weights best.pt --data my.yaml`; `--help` lists the flags."""

import sys

from engine.cli.run import run_cli
from engine.cli.val import main

if __name__ == "__main__":
    sys.exit(run_cli(main))
