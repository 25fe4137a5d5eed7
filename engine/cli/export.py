"""`export.py`: its flags, and the table that it prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.cli.flags import options_parser, parse
from engine.errors import EngineError
from engine.options import ExportOptions
from files.exit_codes import ExitCode
from files.printable import printable
from files.words import count

if TYPE_CHECKING:
    from engine.exporting.export import Exported
    from engine.exporting.simplification import Simplification

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
    if results[0].simplification is not None:
        print(f"\n{simplification_text(results[0].simplification)}")
    print(f"\n{export_table(results)}\n")
    for result in results:
        if result.ap is not None:
            print(printable(f"{result.path}: {_ap_line(*result.ap)}"))
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


def simplification_text(found: Simplification) -> str:
    """What became of each block, and what that changes."""
    from tabulate import tabulate

    if not found.blocks:
        return "--simplify-blocks: this model has no block that could be a simpler one"
    names = dict.fromkeys(name for block in found.blocks for name in block.departures)
    rows = [
        (
            block.row,
            block.place,
            *(f"{block.departures[name]:.2g}" if name in block.departures else "-" for name in names),
            block.simpler if block.replaced else f"{block.block}, as it is",
        )
        for block in found.blocks
    ]
    table = tabulate(
        rows, ("row", "block", *(f"{name} off by" for name in names), "exported as"), disable_numparse=True
    )
    return f"{table}\n{_simplification_line(found)}"


def _simplification_line(found: Simplification) -> str:
    many = f"{found.replaced} of {len(found.blocks)} blocks"
    line = f"{many} are simpler ones within {found.tolerance:g} on {count(found.pictures, 'training picture')}"
    if found.differences is None or found.ap is None:
        return line
    trained, simpler = found.ap
    both = found.differences
    ap = f"AP {simpler:.4f}, {trained:.4f} as trained ({simpler - trained:+.4f})"
    return (
        f"{line}: boxes change by up to {both.boxes_px:.2g} px, scores by {both.scores:.2g}; PyTorch needs "
        f"{both.file_ms:.1f} ms, {both.torch_ms:.1f} as trained; "
        f"{'no object to find, so AP is undefined' if math.isnan(trained) else ap}"
    )


def _ap_line(trained: float, written: float) -> str:
    if math.isnan(trained):
        return "no object to find, so AP is undefined"
    return f"AP {written:.4f}, {trained:.4f} in PyTorch ({written - trained:+.4f})"


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
