"""Checkpoints: tensors and plain data only, written whole, read without running anybody's code.

A checkpoint is a dictionary that `torch.load(weights_only=True)` reads:

    format        'saconv-yolo/1'
    model         state dict of the detector (its EMA where training kept one): what `val.py` and `detect.py` run
    yaml          the model configuration, as `build_model` takes it
    names         class names; category_ids: the data set's own id of each class
    imgsz         network input size of the training, pixels
    epoch         epochs that were complete
    data          path of the data-set YAML, in older checkpoints; newer ones are handed on without their author's paths
    training      in `last.pt` only, where it stays when the training is over: trained weights, optimiser, progress and
                  all else that `--resume` needs (see `engine.training.state`); `best.pt` is slim
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from engine.errors import EngineError
from files.atomic import atomic_path, sync_folder
from models.weights.source import FORMAT, read_plain


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint: after a kill or a crash at any moment `path` holds the previous one or this one, whole.

    Raises:
        OutputError: it cannot be written; the previous one is still there.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        into_temporary = _Sink(file)
        try:
            torch.save({"format": FORMAT, **content}, cast("IO[bytes]", into_temporary))
        except RuntimeError:
            if into_temporary.fault is None:
                raise
            raise into_temporary.fault from None
    sync_folder(path.parent)


class _Sink:
    """A file that remembers why it could not be written: of that, torch's writer makes a RuntimeError without a reason.

    Attributes:
        fault: what the system said; None for nothing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.fault: OSError | None = None

    def write(self, content: bytes) -> int:
        """As of a file."""
        try:
            return self._file.write(content)
        except OSError as error:
            self.fault = self.fault or error
            raise

    def flush(self) -> None:
        """As of a file."""
        self._file.flush()


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU.

    Raises:
        EngineError: there is no such file, it is damaged, it holds more than tensors and plain data (and might run
            code), or it is of another program.
    """
    try:
        content = read_plain(Path(path))
    except pickle.UnpicklingError:
        raise EngineError(
            f"{path}: damaged, or holds more than tensors and plain data; it is not loaded, since it might run code: "
            "use a checkpoint written by this project's train.py; a training of another program is not resumed, but "
            "its weights are a start with --weights"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EngineError(f"{path}: not a checkpoint of this project (no format {FORMAT!r}); train one with train.py")
    return content
