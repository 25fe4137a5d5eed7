"""The flags of `train.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.cli import non_negative_int, positive_int, unit_interval
from engine.errors import EngineError
from engine.optim import OPTIMIZERS
from engine.options import TrainOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the flags and trains.

    Raises:
        ConfigError, DataError, EngineError: bad input; `engine.cli.run_cli` turns them into one line.
    """
    options = parse_options(argv)
    # Imported late, so that --help and a wrong flag answer at once.
    from engine.trainer import Trainer

    return Trainer(options).run()


def parse_options(argv: Sequence[str] | None = None) -> TrainOptions:
    """The options of a command line."""
    values = vars(_parser().parse_args(argv))
    values["freeze"] = _frozen_rows(values["freeze"])
    resume = values.pop("resume")
    options = TrainOptions(**values)
    if resume is None:
        return options
    weights = resume or _newest_checkpoint(Path(options.project))
    return replace(options, resume=True, weights=str(weights))


def _parser() -> argparse.ArgumentParser:
    defaults = TrainOptions()
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train a detector on COCO-format data. Without --data, a small demo data set is generated.",
    )
    add = parser.add_argument
    add("--cfg", default="", help="model YAML: path, or name in configs/ (default: that of --weights, else yolov5s)")
    add("--weights", default="", help="checkpoint to start from (default: from scratch)")
    add("--data", default="", help="data-set YAML: a path, or a name in configs/data/ (default: the generated demo)")
    add("--hyp", default="", help="hyperparameter YAML: path, or name in configs/hyps/ (default: data set's, scratch)")
    add("--epochs", type=positive_int, default=0, help="default: as the data-set YAML says, else 100")
    add("--batch-size", "--batch", type=positive_int, default=0, help="default: likewise, 16")
    add(
        "--imgsz",
        "--img",
        "--img-size",
        type=positive_int,
        default=0,
        help="input size, px (default: likewise, 640)",
    )
    add("--rect", action="store_true", help="rectangular batches; no mosaic, no shuffling")
    add("--resume", nargs="?", const="", metavar="LAST.PT", help="continue the newest run, or that of a last.pt")
    add("--noval", action="store_true", help="validate after the last epoch only")
    add("--noautoanchor", action="store_true", help="keep the anchors, however badly they fit")
    add("--noplots", action="store_true", help="draw no pictures")
    add("--cache", nargs="?", const="ram", default="", choices=("ram", "disk"), help="keep decoded images")
    add("--device", default="", help="cpu, mps, or the number of a GPU (default: first GPU, else CPU)")
    add("--optimizer", default="", choices=OPTIMIZERS, help="default: as the data-set YAML says, else SGD")
    add("--workers", type=non_negative_int, default=defaults.workers, help="processes that load images")
    add("--project", default=defaults.project, help="folder of the runs")
    add("--name", default=defaults.name, help="folder of this run, inside --project")
    add("--exist-ok", action="store_true", help="use the folder even when it exists")
    add("--cos-lr", action="store_true", help="cosine schedule of the learning rate")
    add("--label-smoothing", type=unit_interval, help="overrides the hyperparameter")
    add("--patience", type=non_negative_int, default=defaults.patience, help="stop after N epochs without gain; 0: off")
    add("--freeze", type=non_negative_int, nargs="+", default=[], help="rows to freeze; one number N: the first N")
    add("--save-period", type=non_negative_int, default=0, help="keep a checkpoint every N epochs; 0: last and best")
    add("--seed", type=non_negative_int, default=defaults.seed)
    return parser


def _frozen_rows(numbers: list[int]) -> tuple[int, ...]:
    """One number means the first so many rows, several mean those rows."""
    return tuple(range(numbers[0])) if len(numbers) == 1 else tuple(numbers)


def _newest_checkpoint(project: Path) -> Path:
    found = sorted(project.glob("*/weights/last.pt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise EngineError(f"--resume: no last.pt under {project}; name the checkpoint, or start without --resume")
    return found[-1]
