"""`python -m data my.yaml` looks at a data set; `python -m data convert my.yaml --to yolo` writes it anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence

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
        print(_USAGE, end="")
        return 0 if arguments else 2
    convert = arguments[0] == "convert"
    work = _convert(arguments[1:]) if convert else _look(arguments)
    # Imported late, so that --help and a wrong flag answer at once.
    from files.errors import InputError
    from files.progress import bars_shown

    try:
        with bars_shown():
            for line in work():
                print(line)
    except (InputError, OSError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _look(argv: Sequence[str]) -> Callable[[], Lines]:
    """`python -m data DATA`: the scan's report of every split."""
    parser = argparse.ArgumentParser(
        prog="python -m data", description="Look at a data set before training.", allow_abbrev=False
    )
    parser.add_argument("data", help="a data-set YAML: a path, or the name of one in configs/data/")
    options = parser.parse_args(argv)

    def work() -> Lines:
        from data.look import look

        return look(options.data)

    return work


def _convert(argv: Sequence[str]) -> Callable[[], Lines]:
    """`python -m data convert DATA`: annotations and a YAML in another format."""
    parser = argparse.ArgumentParser(
        prog="python -m data convert",
        description="Write a data set's annotations, as the scan cleaned them, in another format.",
        allow_abbrev=False,
    )
    parser.add_argument("data", help="a data-set YAML: a path, or the name of one in configs/data/")
    parser.add_argument("--to", required=True, choices=("coco", "yolo"), help="the format to write")
    parser.add_argument("--out", metavar="DIR", help="the folder to make (default: beside DATA, named after both)")
    parser.add_argument("--copy", action="store_true", help="copy the pictures too, so that the folder stands alone")
    options = parser.parse_args(argv)

    def work() -> Lines:
        from data.convert import convert

        return convert(options.data, options.to, options.out, copy=options.copy)

    return work


if __name__ == "__main__":
    sys.exit(main())
