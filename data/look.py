"""A look at a data set before training: what the scan of every split found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.coco.overlap import shared_pictures_line
from data.coco.records import CocoSplit
from data.config import load_dataset_config
from data.errors import DataError
from data.splits import load_splits, missing_test
from files.paths import is_folder, why_missing
from files.printable import printable

_NAMED = 8  # classes that a line names


def look(source: str | Path, sheet: str | Path | None = None, imgsz: int | None = None) -> Iterator[str]:
    """The scan's report of every split, a line each; then draws the sheet, and says where it is.

    Args:
        sheet: the PNG to write (default: `NAME-labels.png` in the working folder, after the YAML).
        imgsz: side of the network's input in pixels (default: the data set's own, else 640).

    Raises:
        DataError: the data set cannot be used.
        OutputError: the sheet cannot be written.
    """
    config = load_dataset_config(source)
    file = Path(sheet) if sheet is not None else Path(f"{config.file.stem}-labels.png")
    if not is_folder(file.parent):
        raise DataError(f"{file}: {why_missing(file.parent, 'folder')}; make it, or choose another --out")
    splits = load_splits(config)
    for name, split in splits.items():
        for line in split.report.lines():
            yield f"{name}: {line}"
        yield from _remarks(name, split, splits["train"])
    if line := missing_test(config):
        yield line
    # Imported late: whoever asks for the splits alone needs no matplotlib.
    from data.sheet.facts import Network
    from data.sheet.page import write_sheet

    write_sheet(file, str(source), splits, Network(imgsz or config.imgsz or 640))
    yield f"sheet: {file}"


def _remarks(name: str, split: CocoSplit, train: CocoSplit) -> Iterator[str]:
    """Classes without an object, and pictures that are in the training, too."""
    columns = split.columns()
    present = {*columns.labels[~columns.crowd].tolist()}
    without = [each for label, each in enumerate(split.classes.names) if label not in present]
    if without:
        more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
        yield f"{name}: no object of {', '.join(map(printable, without[:_NAMED]))}{more}"
    if split is not train and (line := shared_pictures_line(train, split)):
        yield f"{name}: {line}"
