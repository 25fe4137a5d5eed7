"""Write a trained detector for other runtimes: `python export.py --weights best.pt --include onnx`; see `--help`."""

import sys

from engine.cli.export import main
from engine.cli.run import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(main))
