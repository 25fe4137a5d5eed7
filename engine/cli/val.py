"""The flags of `val.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from engine.cli.run import non_negative_int, positive_int, unit_interval
from engine.options import MANY_CLASSES, TASKS, ValOptions


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
    return ValOptions(**vars(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="val.py",
        description="Measure a checkpoint: COCO figures, per-class AP, curves, confusion matrix, timings.",
    )
    add = parser.add_argument
    add("--weights", required=True, help="checkpoint, such as runs/train/exp/weights/best.pt, or YOLOv5's own")
    add("--cfg", default=ValOptions.cfg, help="model YAML to run the weights in (default: their own architecture)")
    add(
        "--data",
        default=ValOptions.data,
        help="data-set YAML: a path, or a name in configs/data/ (default: as trained)",
    )
    add("--imgsz", "--img", "--img-size", type=positive_int, help="input size, px (default: that of the training)")
    add("--batch-size", "--batch", type=positive_int, default=ValOptions.batch_size)
    add("--conf-thres", type=unit_interval, default=ValOptions.conf_thres, help="boxes below this score do not count")
    add("--iou-thres", type=unit_interval, default=ValOptions.iou_thres, help="IoU of non-maximum suppression")
    add("--max-det", type=positive_int, default=ValOptions.max_det, help="boxes per image (COCO counts the first 100)")
    add("--task", choices=TASKS, default=ValOptions.task, help="the split to measure on")
    add("--device", default=ValOptions.device, help="cpu, mps, or the number of a GPU (default: first GPU, else CPU)")
    add("--workers", type=non_negative_int, default=ValOptions.workers, help="processes that load images")
    add("--half", action="store_true", help="float16, on a GPU")
    add("--bf16", action="store_true", help="bfloat16")
    add("--save-json", action="store_true", help="write predictions.json with the data set's own ids")
    add("--verbose", action="store_true", help=f"per-class table, also for more than {MANY_CLASSES} classes")
    add("--project", default=ValOptions.project, help="folder of the runs")
    add("--name", default=ValOptions.name, help="folder of this run, inside --project")
    add("--exist-ok", action="store_true", help="use the folder even when it exists")
    return parser
