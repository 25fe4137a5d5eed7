"""`train.py`: its flags and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from engine.cli.flags import options_parser, parse, text_type
from engine.errors import EngineError
from engine.flag import Flag, filled
from engine.options import ResumeOptions, TrainOptions
from files.exit_codes import ExitCode

_DESCRIPTION = "Train a detector on COCO-format data. Without --data, a small demo data set is generated."
_RESUME_FLAGS = tuple(field.name for field in fields(ResumeOptions) if field.name != "checkpoint")


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags and trains.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run.run_cli` turns them into one line.
    """
    options = parse_options(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.training.loop import train

    return ExitCode.INTERRUPTED if train(options).interrupted else ExitCode.DONE


def parse_options(argv: Sequence[str] | None = None) -> TrainOptions | ResumeOptions:
    """The options of a command line.

    Raises:
        EngineError: `--resume` with a flag that it cannot honour, or without a run to resume.
    """
    parser = options_parser(TrainOptions, "train.py", _DESCRIPTION)
    parser.add_argument(
        "--resume",
        nargs="?",
        const=None,
        type=text_type(Flag("", text=filled)),
        metavar="LAST.PT",
        help="continue the newest run, or that of a last.pt or of its folder; only --device, --workers and --cache may "
        "differ, --data where the data set has moved, and --epochs, which extends it",
    )
    given = parse(parser, argv)
    if "resume" in given:
        return _resume_options(given)
    if "freeze" in given:
        given["freeze"] = _frozen_rows(given["freeze"])
    return TrainOptions(**given)


def _resume_options(given: dict[str, Any]) -> ResumeOptions:
    checkpoint = given.pop("resume") or _newest(given.pop("project", TrainOptions.project))
    refused = [f"--{name.replace('_', '-')}" for name in given if name not in _RESUME_FLAGS]
    if refused:
        raise EngineError(
            f"--resume continues {checkpoint} with the settings that it was started with; leave out "
            f"{', '.join(refused)} (--device, --workers, --cache, --data and --epochs may be given), or start a new "
            f"training with --weights {_file_of(checkpoint)}"
        )
    return ResumeOptions(checkpoint, **given)


def _file_of(checkpoint: str) -> str:
    """The last.pt of a run that was named by its folder: --weights takes files. Other texts as they are."""
    files = (Path(checkpoint) / "weights" / "last.pt", Path(checkpoint) / "last.pt")
    return next((str(file) for file in files if file.is_file()), checkpoint)


def _frozen_rows(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """One number N means the first N rows, several mean those rows."""
    return tuple(range(numbers[0])) if len(numbers) == 1 else numbers


def _newest(project: str) -> str:
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.runs import newest_checkpoint

    found = newest_checkpoint(Path(project))
    if found is None:
        raise EngineError(f"--resume: no last.pt under {project}; name the checkpoint, or start without --resume")
    return str(found)
