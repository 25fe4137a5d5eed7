"""Train a detector: `python train.py --cfg yolov5s-saconv.yaml --data my.yaml`; `--help` lists the flags."""

import sys

from engine.cli.run import run_cli
from engine.cli.train import main

if __name__ == "__main__":
    sys.exit(run_cli(main))
