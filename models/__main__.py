"""`python -m models yolov5s-saconv.yaml`: print the network that a model YAML describes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from files.command import CommandParser
from files.exit_codes import ExitCode
from files.terminal import terminal
from files.words import short


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table. Returns the exit code: 2 for a configuration or a size that is wrong."""
    with terminal() as shown:
        return shown.finish(_run(argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = CommandParser("python -m models", "Print the network that a model YAML describes.")
    parser.add_argument("cfg", help="a model YAML: a path, or the name of one in configs/models/")
    parser.add_argument("--imgsz", type=int, default=640, help="side, px; rounded up to the stride (default: 640)")
    parser.add_argument("--nc", type=int, help="number of classes, in place of the file's")
    parser.add_argument("--model-budget", type=int, default=1, help="build models this many times as large as usual")
    options = parser.parse_args(argv)
    for name, most in (("imgsz", 65_536), ("model_budget", 1_000_000)):
        if not 1 <= (number := getattr(options, name)) <= most:
            flag = f"--{name.replace('_', '-')}"
            parser.error(f"argument {flag}: {short(number)} is not a whole number from 1 to {most:,}")
    # Imported late, so that --help and a wrong flag answer at once.
    from files.errors import InputError
    from files.printable import one_line
    from models.budget import model_budget
    from models.detector import build_model
    from models.summary import summarize

    try:
        with model_budget(options.model_budget):
            model = build_model(options.cfg, options.nc)
        print(summarize(model, -(-options.imgsz // model.size_divisor) * model.size_divisor))
    except (InputError, OSError) as error:
        print("error: " + one_line(str(error)), file=sys.stderr)
        return ExitCode.BAD_INPUT
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
