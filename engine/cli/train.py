"""The flags of `train.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.cli.run import non_negative_int, positive_int, unit_interval
from engine.errors import EngineError
from engine.options import ResumeOptions, TrainOptions
from engine.training.optimizer import OPTIMIZERS

_RESUME_FLAGS = ("device", "workers", "cache")


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags and trains.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run.run_cli` turns them into one line.
    """
    options = parse_options(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.training.loop import Trainer

    return Trainer(options).run()


def parse_options(argv: Sequence[str] | None = None) -> TrainOptions | ResumeOptions:
    """The options of a command line.

    Raises:
        EngineError: `--resume` with a flag that it cannot honour, or without a run to resume.
    """
    given = vars(_parser().parse_args(argv))
    if "resume" in given:
        return _resume_options(given)
    if "freeze" in given:
        given["freeze"] = _frozen_rows(given["freeze"])
    return TrainOptions(**given)


def _resume_options(given: dict[str, Any]) -> ResumeOptions:
    checkpoint = given.pop("resume")
    if not checkpoint:
        checkpoint = str(_newest_checkpoint(Path(given.pop("project", TrainOptions.project))))
    refused = [f"--{name.replace('_', '-')}" for name in given if name not in _RESUME_FLAGS]
    if refused:
        raise EngineError(
            f"--resume continues {checkpoint} with the settings that it was started with; leave out "
            f"{', '.join(refused)} (--device, --workers and --cache may change), or start a new training with "
            f"--weights {checkpoint}"
        )
    return ResumeOptions(checkpoint, **given)


def _parser() -> argparse.ArgumentParser:
    # Flags that are not given stay absent: TrainOptions has the defaults, and --resume wants to know what was given.
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train a detector on COCO-format data. Without --data, a small demo data set is generated.",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--cfg", help="model YAML: path, or name in configs/ (default: that of --weights, else yolov5s)")
    add("--weights", help="checkpoint to start from (default: from scratch)")
    add("--data", help="data-set YAML: a path, or a name in configs/data/ (default: the generated demo)")
    add("--hyp", help="hyperparameter YAML: path, or name in configs/hyps/ (default: data set's, scratch)")
    add("--epochs", type=positive_int, help="default: as the data-set YAML says, else 100")
    add("--batch-size", "--batch", type=positive_int, help="default: likewise, 16")
    add("--imgsz", "--img", "--img-size", type=positive_int, help="input size, px (default: likewise, 640)")
    add("--rect", action="store_true", help="rectangular batches; no mosaic, no shuffling")
    add(
        "--resume",
        nargs="?",
        const="",
        metavar="LAST.PT",
        help="continue the newest run, or that of a last.pt; only --device, --workers and --cache may differ",
    )
    add("--noval", action="store_true", help="validate after the last epoch only")
    add("--noautoanchor", action="store_true", help="keep the anchors, however badly they fit")
    add("--noplots", action="store_true", help="draw no pictures")
    add("--cache", nargs="?", const="ram", choices=("ram", "disk"), help="keep decoded images")
    add("--device", help="cpu, mps, or the number of a GPU (default: first GPU, else CPU)")
    add("--optimizer", choices=OPTIMIZERS, help="default: as the data-set YAML says, else SGD")
    add("--workers", type=non_negative_int, help=f"processes that load images (default: {TrainOptions.workers})")
    add("--project", help=f"folder of the runs (default: {TrainOptions.project})")
    add("--name", help=f"folder of this run, inside --project (default: {TrainOptions.name})")
    add("--exist-ok", action="store_true", help="use the folder even when it exists")
    add("--cos-lr", action="store_true", help="cosine schedule of the learning rate")
    add("--label-smoothing", type=unit_interval, help="overrides the hyperparameter")
    add(
        "--patience",
        type=non_negative_int,
        help=f"stop after N epochs without gain; 0: off (default: {TrainOptions.patience})",
    )
    add("--freeze", type=non_negative_int, nargs="+", help="rows to freeze; one number N: the first N")
    add("--save-period", type=non_negative_int, help="keep a checkpoint every N epochs; 0: last and best")
    add("--seed", type=non_negative_int, help="of initial values, shuffling and augmentation (default: 0)")
    return parser


def _frozen_rows(numbers: list[int]) -> tuple[int, ...]:
    """One number means the first so many rows, several mean those rows."""
    return tuple(range(numbers[0])) if len(numbers) == 1 else tuple(numbers)


def _newest_checkpoint(project: Path) -> Path:
    found = sorted(project.glob("*/weights/last.pt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise EngineError(f"--resume: no last.pt under {project}; name the checkpoint, or start without --resume")
    return found[-1]
