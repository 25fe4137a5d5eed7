"""Which categories of an annotation file are the classes, by name, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.coco.tables import CocoTables
from data.errors import DataError
from files.classes import Classes
from files.hints import did_you_mean


def chosen_classes(tables: CocoTables, names: Sequence[str] | None, annotations: Path) -> Classes:
    """All categories by ascending id, or those of `names` in its order.

    Raises:
        DataError: the file lacks one of `names`.
    """
    ids = _ids(tables)
    if names is None:
        names = tuple(sorted(ids, key=ids.__getitem__))
    for name in names:
        if name not in ids:
            hint = did_you_mean(name, ids, f"it has {_some(ids)}")
            raise DataError(f"{annotations}: there is no category {name!r}, which 'names' asks for; {hint}")
    return Classes.of(names, (ids[name] for name in names))


def shared_classes(tables: CocoTables, classes: Classes) -> Classes:
    """`classes` with the ids of this file. A category that it lacks keeps its id where that is free, else gets one."""
    ids = _ids(tables)
    taken = set(ids.values())
    own: list[int] = []
    for name, elsewhere in zip(classes.names, classes.ids, strict=True):
        number = ids.pop(name, None)  # a detector of other people may have a name twice; the first one is meant
        if number is None:
            number = elsewhere if elsewhere not in taken else max(taken) + 1
        taken.add(number)
        own.append(number)
    return Classes.of(classes.names, own)


def unused_categories(tables: CocoTables, classes: Classes) -> Mapping[str, int]:
    """The file's categories that are not among the classes, and how many annotations each has."""
    known = set(classes.names)
    return {
        name: int((tables.annotation_categories == number).sum())
        for name, number in _ids(tables).items()
        if name not in known
    }


def labels_of(categories: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """Category ids `(N,)` to classes `(N,)`, -1 for those that are not used."""
    order = np.argsort(class_ids)  # (nc,)
    # An id above all others would be found at nc, which is no class.
    position = np.searchsorted(np.asarray(class_ids)[order], categories).clip(max=len(class_ids) - 1)  # (N,)
    labels = order[position]  # (N,): the right class, or that of the next greater id
    return np.where(np.asarray(class_ids)[labels] == categories, labels, -1).astype(np.int64)  # (N,)


def _ids(tables: CocoTables) -> dict[str, int]:
    return dict(zip(tables.category_names, tables.category_ids.tolist(), strict=True))


def _some(names: Iterable[str], limit: int = 8) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")
