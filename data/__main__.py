"""`python -m data my.yaml` looks at a data set; `python -m data convert my.yaml --to yolo` writes it anew."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from files.command import CommandParser
from files.exit_codes import ExitCode, table
from files.terminal import terminal

_USAGE = """\
usage: python -m data DATA [flags]           look at a data set before training
       python -m data convert DATA [flags]   write a data set's annotations in another format

DATA is a data-set YAML: a path, or the name of one in configs/data/. --help after either says which flags there are.
"""

Lines = Iterable[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit code: 2 for a data set or a flag that is wrong."""
    with terminal() as shown:
        return shown.finish(_run(argv))


def _run(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in ([], ["-h"], ["--help"]):
        print(f"{_USAGE}\n{table()}")
        return ExitCode.DONE if arguments else ExitCode.BAD_INPUT
    convert = arguments[0] == "convert"
    work = _convert(arguments[1:]) if convert else _look(arguments)
    # Imported late, so that --help and a wrong flag answer at once.
    from files.errors import InputError
    from files.faults import describe_fault
    from files.printable import one_line
    from files.progress import bars_shown

    try:
        with _logs_shown(), bars_shown():
            for line in work():
                print(line)
    except (InputError, OSError) as error:
        message = str(error) if isinstance(error, InputError) else describe_fault(error)
        print("error: " + one_line(message), file=sys.stderr)
        return ExitCode.BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


@contextmanager
def _logs_shown() -> Iterator[None]:
    """The lines of this package, such as about pictures that are left out, go to the standard output."""
    logger, handler = logging.getLogger("data"), logging.StreamHandler(sys.stdout)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _look(argv: Sequence[str]) -> Callable[[], Lines]:
    """`python -m data DATA`: the scan's report of every split, and a sheet that shows the data."""
    parser = CommandParser(
        "python -m data",
        "Look at a data set before training: what the scan finds, and one picture with sampled images, classes, sizes, "
        "aspect ratios, centres, the splits compared, and what is left out.",
    )
    parser.add_argument("data", help="a data-set YAML: a path, or the name of one in configs/data/")
    parser.add_argument("--out", metavar="FILE", type=_png, help="the picture (default: NAME-labels.png, here)")
    parser.add_argument(
        "--imgsz", metavar="N", type=_side, help="network input in pixels (default: the data set's own, else 640)"
    )
    options = parser.parse_args(argv)

    def work() -> Lines:
        from data.look import look

        return look(options.data, options.out, options.imgsz)

    return work


def _png(text: str) -> str:
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text!r} is no PNG; give a name that ends in .png")
    return text


def _folder(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; write a folder, or leave the flag out")
    return text


def _side(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 32 <= int(text[:9]) <= 16384):
        raise argparse.ArgumentTypeError(f"{text!r} is no size of a network's input; give pixels from 32 to 16384")
    return int(text)


def _convert(argv: Sequence[str]) -> Callable[[], Lines]:
    """`python -m data convert DATA`: annotations and a YAML in another format."""
    parser = CommandParser(
        "python -m data convert", "Write a data set's annotations, as the scan cleaned them, in another format."
    )
    parser.add_argument("data", help="a data-set YAML: a path, or the name of one in configs/data/")
    parser.add_argument("--to", required=True, choices=("coco", "yolo"), help="the format to write")
    parser.add_argument(
        "--out", metavar="DIR", type=_folder, help="the folder to make (default: beside DATA, named after both)"
    )
    parser.add_argument("--copy", action="store_true", help="copy the pictures, so that the folder stands alone")
    options = parser.parse_args(argv)

    def work() -> Lines:
        from data.convert import convert

        return convert(options.data, options.to, options.out, copy=options.copy)

    return work


if __name__ == "__main__":
    sys.exit(main())
