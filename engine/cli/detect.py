"""The flags of `detect.py`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.cli.flags import options_parser, parse
from engine.errors import EngineError
from engine.options import DetectOptions

_DESCRIPTION = "Detect objects in pictures, videos, webcams and network streams."


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags and detects.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run.run_cli` turns them into one line.
    """
    options = parse_options(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.detect.predict import predict

    return predict(options)


def parse_options(argv: Sequence[str] | None = None) -> DetectOptions:
    """The options of a command line."""
    parser = options_parser(DetectOptions, "detect.py", _DESCRIPTION)
    given = parse(parser, argv)
    try:
        return DetectOptions(**given)
    except EngineError as error:
        # Flags that exclude each other are known to the options alone.
        parser.error(f"argument {error}")
