"""The YAML that names a data set, read and checked.

path: ../my-data            # root of everything below, relative to this file; optional
train: {images: images/train, annotations: annotations/train.json}
val: {images: images/val, annotations: annotations/val.json}
names: [cat, dog]           # optional: the categories to use, in class order
imgsz: 640                  # optional defaults, which the command line overrides:
epochs: 100                 # imgsz, epochs, batch_size, hyp, optimizer
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from data.coco.source import AnnotationSource, ScanSettings
from data.demo import CONFIG as DEMO_CONFIG
from data.demo import ensure_demo_dataset
from data.errors import DataError
from data.formats import SplitConfig, format_of, split_forms
from data.formats.base import join
from data.media.limits import MAX_PIXELS
from files.hints import did_you_mean
from files.lookup import Shelf
from files.paths import is_file
from files.places import CONFIGS
from files.problems import Problem, first_problem
from files.strict_yaml import Document, read_yaml

SHELF = Shelf(CONFIGS / "data", "data-set YAML", DataError)
"""Where a bare data-set name is looked up."""

_FORM = f"it needs train and val, each {split_forms()}"
_SPLITS = ("train", "val", "test")
_HINTS = {
    "nc": "the number of classes follows from the annotations; delete the line",
    "download": "nothing is downloaded; delete the line",
}
Checked = TypeVar("Checked", bound=BaseModel)

_BARE_WORD = "YAML takes a bare yes, no, on or off for true or false; put it in quotes"

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(gt=0, strict=True)]


class DatasetConfig(BaseModel):
    """A data set as its YAML describes it.

    Attributes:
        file: the YAML itself, absolute.
        path: root folder, absolute.
        train, val, test: the splits.
        names: categories to use, in class order; all of the training annotations', by ascending id, if None.
        ignore: categories whose boxes are no objects, but regions in which nothing is right or wrong.
        nc: the number of names, where somebody wrote it beside them.
        imgsz, epochs, batch_size: the data set's own defaults (pixels, count, images), if it has any.
        hyp, optimizer: likewise: a hyperparameter YAML (by name, or absolute path) and the name of an optimiser.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path
    path: Path
    train: SplitConfig
    val: SplitConfig
    test: SplitConfig | None = None
    names: tuple[Text, ...] | None = Field(default=None, min_length=1)
    ignore: tuple[Text, ...] = ()
    nc: Positive | None = None
    imgsz: Positive | None = None
    epochs: Positive | None = None
    batch_size: Positive | None = None
    hyp: Text | None = None
    optimizer: Text | None = None

    @field_validator("ignore", mode="before")
    @classmethod
    def _one_or_several(cls, ignore: Any) -> Any:
        """A single name may stand without its list, and a blank entry is none."""
        return [ignore] if isinstance(ignore, str) else () if ignore is None else ignore

    @field_validator("names", mode="before")
    @classmethod
    def _names_in_class_order(cls, names: Any) -> Any:
        """YOLOv5 also writes `{0: cat, 1: dog}`."""
        if isinstance(names, dict):
            if any(isinstance(name, bool) for name in names):  # which Python counts as 0 and 1
                raise ValueError(_BARE_WORD)
            names = {_number(key): name for key, name in names.items()}
            if sorted(names, key=str) != sorted(range(len(names)), key=str):
                raise ValueError("number the names 0, 1, 2, ... without gaps, or write a list")
            names = [names[index] for index in range(len(names))]
        if isinstance(names, list | tuple):
            seen: set[Any] = set()
            for name in names:
                if isinstance(name, bool):
                    raise ValueError(_BARE_WORD)
                if isinstance(name, str | int | float):  # other kinds are refused later
                    if name in seen:
                        raise ValueError(f"{name!r} occurs twice; give every class its own name")
                    seen.add(name)
        return names

    def source(self, split: str) -> AnnotationSource:
        """Where the annotations of a split are, which the data set has."""
        part: SplitConfig = getattr(self, split)
        return part.source(self.names, self.path)

    def settings(self, *, legacy: bool = False, roots: bool = False, max_pixels: int = MAX_PIXELS) -> ScanSettings:
        """What a scan makes of the annotations; see `ScanSettings`."""
        names = None if self.names is None else tuple(name for name in self.names if name not in self.ignore)
        return ScanSettings(names, None, self.ignore, legacy=legacy, roots=roots, max_pixels=max_pixels)


def _number(key: Any) -> Any:
    """The number of a class, also as the text "0", which files that began as JSON have; other keys as they are."""
    return int(key) if isinstance(key, str) and re.fullmatch("[0-9]{1,9}", key) else key


def load_dataset_config(source: str | Path) -> DatasetConfig:
    """Read a data-set YAML.

    Args:
        source: path of the YAML, or a bare name (`coco`, `coco.yaml`) that is found in `configs/data/`.

    Returns:
        The checked settings; all paths are absolute. Whether the files that they name exist is not checked here.

    Raises:
        DataError: the file is missing, is not YAML, or an entry is unknown, missing or of the wrong kind.
    """
    place = find_dataset_yaml(source)
    if place.suffix.lower() == ".json":
        raise DataError(
            f"{place}: is a JSON, not a data-set YAML; write one that names it: train: {{images: FOLDER, annotations: "
            f"{place.name}}}, and val likewise"
        )
    document = read_yaml(place, DataError, _FORM)
    file, content = Path(document.origin), document.content
    if "file" in content:
        raise DataError(f"{document.where('file')}: unknown entry 'file'; delete it")
    entries = _with_absolute_paths(document, file)
    splits = {name: _split(document, name, entries["path"]) for name in _SPLITS if content.get(name, ...) is not ...}
    unread = {key for split in splits.values() if split is not None for key in split.foreign}
    entries = {key: value for key, value in entries.items() if key not in unread}
    config = _checked(DatasetConfig, entries | splits | {"file": file}, document)
    _check_names(document, config)
    return config


def _split(document: Document, name: str, root: Path) -> SplitConfig | None:
    """One split's entry, checked by its format; None where it is blank and need not be there."""
    entry = document.content[name]
    if name == "test" and entry is None:
        return None
    kind = format_of(entry, root)
    if kind is None:
        raise DataError(f"{document.where(name)}: {name}: {entry!r} is not a split; write {name}: {split_forms()}")
    return _checked(kind, kind.as_map(entry), document, name, root=root)


def _check_names(document: Document, config: DatasetConfig) -> None:
    """Refuses a data set whose annotations are numbers of names that are not there, or not as many as `nc` says."""
    parts = [part for part in (config.train, config.val, config.test) if part is not None]
    if config.names is None and any(part.needs_names for part in parts):
        raise DataError(
            f"{config.file}: 'names' is missing; list the classes in the order of their numbers: names: [cat, dog]"
        )
    if config.nc is not None and config.names is None:
        raise DataError(f"{document.where('nc')}: unknown entry 'nc'; {_HINTS['nc']}")
    if config.names is not None and config.nc not in (None, len(config.names)):
        raise DataError(f"{document.where('nc')}: nc: {config.nc}, but 'names' has {len(config.names)}; correct either")


def _checked(kind: type[Checked], values: Any, document: Document, *above: str, root: Path | None = None) -> Checked:
    """What pydantic makes of some values, or one line that names the entry; `above` are the keys that lead to it."""
    try:
        return kind.model_validate(values, context=root)
    except ValidationError as error:
        problem = first_problem(error)
        problem = problem._replace(location=(*above, *problem.location))
        raise DataError(f"{document.where(*problem.location)}: {_describe(problem, kind)}") from None


def find_dataset_yaml(source: str | Path) -> Path:
    """Absolute path of a data-set YAML given by path or by bare name.

    For `demo`, also as a path into `configs/data/`, the demo data set is drawn where it is missing; its YAML is the
    copy that lies with the pictures.

    Raises:
        DataError: there is no such file.
    """
    file = SHELF.find(source).resolve()
    return ensure_demo_dataset() if file == DEMO_CONFIG else file


def _with_absolute_paths(document: Document, file: Path) -> dict[Any, Any]:
    """`path` taken from the YAML's folder, and so a recipe where it is a file; other entries as they are."""
    content = document.content
    root = content.get("path", ".")
    if not isinstance(root, str) or not root.strip():
        where = document.where("path")
        raise DataError(
            f"{where}: path: {root!r} is not a folder; write the data set's root folder, or delete the line"
        )
    absolute = dict(content, path=join(file.parent, root))
    hyp = content.get("hyp")
    if isinstance(hyp, str) and is_file(join(file.parent, hyp)):
        absolute["hyp"] = str(join(file.parent, hyp))
    return absolute


def _describe(problem: Problem, kind: type[BaseModel]) -> str:
    """The mistake and its remedy, without the place."""
    key = str(problem.location[-1])
    if problem.is_unknown:
        if key in _HINTS and len(problem.location) == 1:
            return f"unknown entry '{key}'; {_HINTS[key]}"
        allowed = [name for name in kind.model_fields if name != "file"]
        known = f"known are {', '.join(allowed)}"
        return f"unknown entry '{problem.entry}'; {did_you_mean(key, allowed, known)}"
    if problem.is_missing:
        form = f"a split is {kind.form}" if issubclass(kind, SplitConfig) else f"write {key}: {split_forms()}"
        return f"'{problem.entry}' is missing; {form}"
    return problem.sentence()
