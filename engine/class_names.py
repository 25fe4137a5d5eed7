"""Names for the classes of weights that carry none: those of a data set."""

from __future__ import annotations

from data.coco.records import load_split
from data.config import DatasetConfig
from engine.backends.base import Backend
from engine.errors import EngineError
from files.classes import Classes


def name_classes(backend: Backend, dataset: DatasetConfig) -> None:
    """Gives a back end whose weights carry no names the data set's, in class order; others keep theirs.

    Raises:
        EngineError: the data set has more or fewer classes.
        DataError: its annotations cannot be used.
    """
    if backend.is_named:
        return
    settings = dataset.settings()
    names = settings.names or load_split(dataset.source("train"), settings).classes.names
    if len(names) != len(backend.classes):
        raise EngineError(
            f"{dataset.file}: has {len(names)} classes, but {backend.weights}, which names none, has "
            f"{len(backend.classes)}; give the data set that it was trained on"
        )
    backend.classes, backend.is_named = Classes.of(names), True
