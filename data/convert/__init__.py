"""A data set's annotations in another format: `python -m data convert my.yaml --to yolo`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from data.coco.split import CocoSplit
from data.config import DatasetConfig, load_dataset_config
from data.convert.coco import write_coco
from data.convert.target import Target
from data.convert.yolo import write_yolo
from data.errors import DataError
from data.splits import load_splits, missing_test
from files.atomic import atomic_folder, write_text
from files.faults import OutputError
from files.paths import exists, expanded

_YAML = "data.yaml"
_DEFAULTS = ("imgsz", "epochs", "batch_size", "hyp", "optimizer")

_WRITERS: Mapping[str, Callable[[CocoSplit, Target], Any]] = {"coco": write_coco, "yolo": write_yolo}
"""Each writes one split, and returns its entry of the YAML."""


def convert(source: str | Path, to: str, out: str | Path | None = None, *, copy: bool = False) -> Iterator[str]:
    """Writes a data set in another format, into a new folder; says what it did, a line each.

    What is written are the boxes as the scan cleaned them, and a `data.yaml` that can be loaded at once. Pictures stay
    where they are: COCO's format names them there; YOLO's, which finds labels beside pictures, gets links to them.

    Args:
        source: the data set's YAML.
        to: the format: `coco` or `yolo`.
        out: the folder to make; None for one beside the YAML, named after it and the format.
        copy: copy the pictures, so that the folder stands alone.

    Raises:
        DataError: the data set cannot be used, or there is something at `out`.
        OutputError: it cannot be written.
    """
    config = load_dataset_config(source)
    folder = (expanded(out) if out else config.file.with_name(f"{config.file.stem}-{to}")).resolve()
    _refuse_existing(folder)
    splits = load_splits(config)
    notes = [line for line in [missing_test(config)] if line]
    with _new_folder(folder) as work:
        entries = {}
        for name, split in splits.items():
            target = Target(work, folder, name, config, splits["train"].classes, copy=copy)
            entries[name] = _WRITERS[to](split, target)
            notes += [f"{name}: {line}" for line in (*split.report.lines(), *target.notes)]
        write_text(work / _YAML, _yaml(config, splits["train"], entries))
    yield from notes
    yield f"written: {folder / _YAML}"


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """The folder in the making; errors of writing are about it, those of pictures that are read stay what they are."""
    work: Path | None = None
    try:
        with atomic_folder(folder, exists) as work:
            yield work
    except OSError as error:
        names = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if name is not None]
        if work is None or not names or any(name.is_relative_to(work) for name in names):  # a copy has two names
            raise OutputError(folder, error) from None
        raise


def _refuse_existing(folder: Path) -> None:
    if exists(folder) or folder.is_symlink():
        raise DataError(f"{folder}: is there already; remove it, or choose another folder with --out")


def _yaml(config: DatasetConfig, train: CocoSplit, entries: Mapping[str, Any]) -> str:
    """The YAML of the new folder: splits, names, and the data set's own defaults."""
    content: dict[str, Any] = dict(entries)
    content["names"] = [*train.classes.names, *config.ignore[:1]]
    if config.ignore:
        content["ignore"] = list(config.ignore[:1])
    content |= {key: getattr(config, key) for key in _DEFAULTS if getattr(config, key) is not None}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
    return f"# Written by `python -m data convert`, from {config.file.name!r}.\n{text}"
