"""Which categories of an annotation file are the classes, by name, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.coco.source import ScanSettings
from data.coco.tables import CocoTables
from data.errors import DataError
from files.classes import Classes
from files.hints import did_you_mean


def chosen_classes(tables: CocoTables, settings: ScanSettings, annotations: Path) -> Classes:
    """The classes that are asked for, with the ids of this file; else all categories by ascending id.

    Categories to be ignored are no classes. Neither, where none is asked for by name, is one without boxes that only
    stands above others, such as the root that Roboflow writes.

    Raises:
        DataError: the file lacks one of the names, or no class is left.
    """
    if settings.classes is not None:
        return _shared_classes(tables, settings.classes)
    ids = tables.categories()
    names = settings.names
    if names is None:
        bare = set() if settings.roots else tables.roots & _without_boxes(tables)
        names = tuple(name for name in sorted(ids, key=ids.__getitem__) if name not in bare) or tuple(ids)
    for asking, wanted in (("names", names), ("ignore", settings.ignore)):
        for name in wanted:
            if name not in ids:
                hint = did_you_mean(name, ids, f"it has {_some(ids)}")
                raise DataError(f"{annotations}: there is no category {name!r}, which '{asking}' asks for; {hint}")
    names = tuple(name for name in names if name not in settings.ignore)
    if not names:
        beside = " beside those of 'ignore'" if settings.ignore else ""
        raise DataError(f"{annotations}: there is no class{beside}; annotate objects, or correct the data-set YAML")
    return Classes.of(names, (ids[name] for name in names))


def _without_boxes(tables: CocoTables) -> set[str]:
    """The names of categories that no annotation is of."""
    used = np.isin(tables.category_ids, tables.annotation_categories)  # (K,)
    return {name for name, is_used in zip(tables.category_names, used.tolist(), strict=True) if not is_used}


def _shared_classes(tables: CocoTables, classes: Classes) -> Classes:
    """`classes` with the ids of this file. A category that it lacks keeps its id where that is free, else gets one."""
    ids = tables.categories()
    taken = set(ids.values())
    own: list[int] = []
    for name, elsewhere in zip(classes.names, classes.ids, strict=True):
        number = ids.pop(name, None)  # a detector of other people may have a name twice; the first one is meant
        if number is None:
            number = elsewhere if elsewhere not in taken else max(taken) + 1
        taken.add(number)
        own.append(number)
    return Classes.of(classes.names, own)


def unused_categories(tables: CocoTables, classes: Classes, ignore: Sequence[str] = ()) -> Mapping[str, int]:
    """The file's categories that are neither classes nor to be ignored, and how many annotations each has."""
    known = {*classes.names, *ignore}
    return {
        name: int((tables.annotation_categories == number).sum())
        for name, number in tables.categories().items()
        if name not in known
    }


def labels_of(categories: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """Category ids `(N,)` to classes `(N,)`, -1 for those that are not used."""
    order = np.argsort(class_ids)  # (nc,)
    # An id above all others would be found at nc, which is no class.
    position = np.searchsorted(np.asarray(class_ids)[order], categories).clip(max=len(class_ids) - 1)  # (N,)
    labels = order[position]  # (N,): the right class, or that of the next greater id
    return np.where(np.asarray(class_ids)[labels] == categories, labels, -1).astype(np.int64)  # (N,)


def _some(names: Iterable[str], limit: int = 8) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")
