"""`export.py`: its flags, and the table that it prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.cli.flags import options_parser, parse
from engine.errors import EngineError
from engine.options import ExportOptions
from files.exit_codes import ExitCode
from files.printable import printable

if TYPE_CHECKING:
    from engine.exporting.export import Exported

_DESCRIPTION = "Write a trained detector for other runtimes, and compare each file with PyTorch on real pictures."


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags, exports, and prints the table.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run.run_cli` turns them into one line.
    """
    options = parse_options(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.exporting.export import export

    results = export(options)
    print(f"\n{export_table(results)}\n")
    for result in results:
        print(printable(f"{result.path}: try it with val.py or detect.py --weights"))
    return ExitCode.DONE


def parse_options(argv: Sequence[str] | None = None) -> ExportOptions:
    """The options of a command line."""
    parser = options_parser(ExportOptions, "export.py", _DESCRIPTION)
    given = parse(parser, argv)
    try:
        return ExportOptions(**given)
    except EngineError as error:
        # Flags that exclude each other are known to the options alone.
        parser.error(f"argument {error}")


def export_table(results: Sequence[Exported]) -> str:
    """One row a file: the largest differences from PyTorch, and the time of both."""
    from tabulate import tabulate

    rows = [
        (
            result.format,
            result.precision,
            f"{result.megabytes:.1f}",
            f"{result.differences.boxes_px:.2g}",
            f"{result.differences.scores:.2g}",
            f"{result.differences.torch_ms:.1f}",
            f"{result.differences.file_ms:.1f}",
        )
        for result in results
    ]
    headers = ("format", "precision", "MB", "boxes differ by, px", "scores by", "PyTorch, ms", "this file, ms")
    return tabulate(rows, headers, disable_numparse=True)
