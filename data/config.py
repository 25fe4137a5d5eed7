"""The YAML that names a data set, read and checked.

path: ../my-data            # root of everything below, relative to this file; optional
train: {images: images/train, annotations: annotations/train.json}
val: {images: images/val, annotations: annotations/val.json}
names: [cat, dog]           # optional: the categories to use, in class order
imgsz: 640                  # optional defaults, which the command line overrides:
epochs: 100                 # imgsz, epochs, batch_size, hyp, optimizer
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from data.demo import CONFIG as DEMO_CONFIG
from data.demo import ensure_demo_dataset
from data.errors import DataError
from files.hints import did_you_mean
from files.lookup import Shelf
from files.places import CONFIGS
from files.problems import Problem, first_problem
from files.strict_yaml import Document, read_yaml

SHELF = Shelf(CONFIGS / "data", "data-set YAML", DataError)
"""Where a bare data-set name is looked up."""

_SPLIT_FORM = "{images: FOLDER, annotations: FILE.json}"
_FORM = f"it needs train and val, each {_SPLIT_FORM}"
_SPLITS = ("train", "val", "test")
_HINTS = {
    "nc": "the number of classes follows from the annotations; delete the line",
    "download": "nothing is downloaded; delete the line",
}
_BARE_WORD = "YAML takes a bare yes, no, on or off for true or false; put it in quotes"

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(gt=0, strict=True)]


class SplitConfig(BaseModel):
    """One split: the folder of its images and its COCO annotation file, absolute once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: Path
    annotations: Path

    @field_validator("images", "annotations", mode="before")
    @classmethod
    def _not_blank(cls, path: Any) -> Any:
        if isinstance(path, str) and not path.strip():
            raise ValueError("is empty; write a path, '.' for the folder of the data set itself")
        return path


class DatasetConfig(BaseModel):
    """A data set as its YAML describes it.

    Attributes:
        file: the YAML itself, absolute.
        path: root folder, absolute.
        train, val, test: the splits.
        names: categories to use, in class order; all of the training annotations', by ascending id, if None.
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
    imgsz: Positive | None = None
    epochs: Positive | None = None
    batch_size: Positive | None = None
    hyp: Text | None = None
    optimizer: Text | None = None

    @field_validator("names", mode="before")
    @classmethod
    def _names_in_class_order(cls, names: Any) -> Any:
        """YOLOv5 also writes `{0: cat, 1: dog}`."""
        if isinstance(names, dict):
            if any(isinstance(name, bool) for name in names):  # which Python counts as 0 and 1
                raise ValueError(_BARE_WORD)
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


def load_dataset_config(source: str | Path) -> DatasetConfig:
    """Read a data-set YAML.

    Args:
        source: path of the YAML, or a bare name (`coco`, `coco.yaml`) that is found in `configs/data/`.

    Returns:
        The checked settings; all paths are absolute. Whether the files that they name exist is not checked here.

    Raises:
        DataError: the file is missing, is not YAML, or an entry is unknown, missing or of the wrong kind.
    """
    document = read_yaml(find_dataset_yaml(source), DataError, _FORM)
    file, content = Path(document.origin), document.content
    for split in _SPLITS:
        entry = content.get(split)
        if split in content and not isinstance(entry, dict) and not (split == "test" and entry is None):
            raise DataError(
                f"{document.where(split)}: {split}: {entry!r} is not a split; annotations are COCO JSON: write "
                f"{split}: {_SPLIT_FORM}"
            )
    if "file" in content:
        raise DataError(f"{document.where('file')}: unknown entry 'file'; delete it")
    try:
        return DatasetConfig.model_validate(_with_absolute_paths(document, file) | {"file": file})
    except ValidationError as error:
        problem = first_problem(error)
        raise DataError(f"{document.where(*problem.location)}: {_describe(problem)}") from None


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
    """`path` taken from the YAML's folder, and the paths of the splits from `path`; other entries as they are."""
    content = document.content
    root = content.get("path", ".")
    if not isinstance(root, str) or not root.strip():
        where = document.where("path")
        raise DataError(
            f"{where}: path: {root!r} is not a folder; write the data set's root folder, or delete the line"
        )
    absolute = dict(content, path=_join(file.parent, root))
    for split in _SPLITS:
        if isinstance(content.get(split), dict):
            absolute[split] = {
                key: _join(absolute["path"], value) if isinstance(value, str) and value.strip() else value
                for key, value in content[split].items()
            }
    hyp = content.get("hyp")
    if isinstance(hyp, str) and _join(file.parent, hyp).is_file():
        absolute["hyp"] = str(_join(file.parent, hyp))
    return absolute


def _join(base: Path, path: str) -> Path:
    try:
        return (base / Path(path).expanduser()).resolve()
    except RuntimeError:  # ~user of an unknown user
        return base / path


def _describe(problem: Problem) -> str:
    """The mistake and its remedy, without the place."""
    key = str(problem.location[-1])
    if problem.is_unknown:
        if key in _HINTS and len(problem.location) == 1:
            return f"unknown entry '{key}'; {_HINTS[key]}"
        fields = SplitConfig.model_fields if len(problem.location) > 1 else DatasetConfig.model_fields
        allowed = [name for name in fields if name != "file"]
        known = f"known are {', '.join(allowed)}"
        return f"unknown entry '{problem.entry}'; {did_you_mean(key, allowed, known)}"
    if problem.is_missing:
        form = f"write {key}: {_SPLIT_FORM}" if key in _SPLITS else f"a split is {_SPLIT_FORM}"
        return f"'{problem.entry}' is missing; {form}"
    return problem.sentence()
