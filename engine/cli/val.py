"""The flags of `val.py`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.cli.flags import options_parser, parse
from engine.options import ValOptions

_DESCRIPTION = "Measure a checkpoint: COCO figures, per-class AP, curves, confusion matrix, timings."


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags, measures, prints the tables and writes the pictures.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run.run_cli` turns them into one line.
    """
    options = parse_options(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.metrics.validation import validate

    validate(options)
    return 0


def parse_options(argv: Sequence[str] | None = None) -> ValOptions:
    """The options of a command line."""
    return ValOptions(**parse(options_parser(ValOptions, "val.py", _DESCRIPTION), argv))
