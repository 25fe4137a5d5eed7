"""`val.py`: its flags, and the tables that it prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.cli.flags import options_parser, parse
from engine.options import MANY_CLASSES, ValOptions
from files.exit_codes import ExitCode
from files.printable import printable
from files.words import count

if TYPE_CHECKING:
    from engine.exporting.benchmark import Benchmark
    from engine.metrics.evaluate import EvalResult

_DESCRIPTION = "Measure a detector: COCO figures, per-class AP, curves, confusion matrix, timings."


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags, measures, and prints the tables.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run.run_cli` turns them into one line.
    """
    options = parse_options(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    if options.benchmark:
        from engine.exporting.benchmark import benchmark

        print(f"\n{benchmark_text(benchmark(options))}")
        return ExitCode.DONE
    from engine.validation import validate

    result = validate(options)
    _print_tables(result, per_class=options.verbose or len(result.metrics.classes) <= MANY_CLASSES)
    print(printable(f"Results in {result.folder}"))
    return ExitCode.DONE


def parse_options(argv: Sequence[str] | None = None) -> ValOptions:
    """The options of a command line."""
    return ValOptions(**parse(options_parser(ValOptions, "val.py", _DESCRIPTION), argv))


def benchmark_text(found: Benchmark) -> str:
    """The table, what its figures mean, and why some are missing."""
    from tabulate import tabulate

    rows = [
        (one.name, one.precision, _figure(one.ap, 4), _figure(one.ms, 1), _figure(one.megabytes, 1))
        for one in found.rows
    ]
    lines = (
        tabulate(rows, ("back end", "precision", "AP", "ms", "MB"), disable_numparse=True),
        "",
        f"AP of {count(found.pictures, 'picture')} of '{found.task}', every input {found.imgsz}x{found.imgsz} px; "
        "ms of one picture, median, all in turn",
        printable(found.where),
        *(printable(f"{row.name} {row.precision}: not measured: {row.fault}") for row in found.rows if row.fault),
    )
    return "\n".join(lines)


def _figure(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _print_tables(result: EvalResult, per_class: bool) -> None:
    from engine.metrics.coco import class_table, figures_table

    print(f"\n{figures_table(result.metrics)}\n")
    if per_class:
        print(f"{class_table(result.metrics)}\n")
    print(result.speed_line())
    for note in result.notes:
        print(printable(f"note: {note}"))
