"""The YAML that names a data set, read and checked.

path: ../my-data            # root of everything below, relative to this file; may be left out
train: {images: images/train, annotations: annotations/train.json}
val: {images: images/val, annotations: annotations/val.json}
names: [cat, dog]           # optional: the categories to use, in class order
imgsz: 640                  # optional defaults, which the command line overrides:
epochs: 100                 # imgsz, epochs, batch_size, hyp, optimizer
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from data.errors import DataError
from files.places import CONFIGS

CONFIG_FOLDER = CONFIGS / "data"
"""Where a bare data-set name is looked up."""

_SPLIT_FORM = "{images: FOLDER, annotations: FILE.json}"
_SPLITS = ("train", "val", "test")
_HINTS = {
    "nc": "the number of classes follows from the annotations; delete the line",
    "download": "nothing is downloaded; delete the line",
}

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(gt=0, strict=True)]


class SplitConfig(BaseModel):
    """One split: the folder of its images and its COCO annotation file, absolute once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: Path
    annotations: Path


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
            if sorted(names, key=str) != sorted(range(len(names)), key=str):
                raise ValueError("number the names 0, 1, 2, ... without gaps, or write a list")
            names = [names[index] for index in range(len(names))]
        if isinstance(names, list | tuple):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{name!r} stands there twice; give every class its own name")
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
    file = find_dataset_yaml(source)
    content = _read_yaml(file)
    for split in _SPLITS:
        entry = content.get(split)
        if split in content and not isinstance(entry, dict) and not (split == "test" and entry is None):
            raise DataError(
                f"{file}: {split}: {entry!r} is not a split; annotations are COCO JSON: write {split}: {_SPLIT_FORM}"
            )
    if "file" in content:
        raise DataError(f"{file}: unknown entry 'file'; delete it")
    content = _with_absolute_paths(content, file)
    try:
        return DatasetConfig.model_validate(content | {"file": file})
    except ValidationError as error:
        raise DataError(_first_problem(error, file)) from None


def find_dataset_yaml(source: str | Path) -> Path:
    """Absolute path of a data-set YAML given by path or by bare name.

    Raises:
        DataError: there is no such file.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path.resolve()
    if path.is_dir():
        raise DataError(f"{source}: is a folder; give the data set's YAML file")
    known = sorted(CONFIG_FOLDER.glob("*.yaml"))
    if path.parent == Path() and path.suffix in ("", ".yaml", ".yml"):
        for candidate in known:
            if candidate.stem == path.stem:
                return candidate
    nearest = difflib.get_close_matches(path.stem, [candidate.stem for candidate in known], 1)
    hint = f"did you mean '{nearest[0]}.yaml'?" if nearest else "give a path, or a name out of configs/data/"
    raise DataError(f"{source}: no such data-set YAML; {hint}")


def _read_yaml(file: Path) -> dict[str, Any]:
    """The YAML's top-level map."""
    try:
        content = yaml.load(file.read_bytes(), Loader=_StrictLoader)
    except OSError as error:
        raise DataError(f"{file}: cannot read the data-set YAML: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise DataError(f"{file}{line}: YAML syntax: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: YAML syntax: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: not a map of entries; it needs train and val, each {_SPLIT_FORM}")
    return content


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in a map, of which plain YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' stands there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _with_absolute_paths(content: dict[str, Any], file: Path) -> dict[str, Any]:
    """`path` taken from the YAML's folder, and the paths of the splits from `path`; other entries as they are."""
    root = content.get("path", ".")
    if not isinstance(root, str):
        raise DataError(f"{file}: path: {root!r} is not a folder; write the data set's root folder, or delete the line")
    absolute = dict(content, path=_join(file.parent, root))
    for split in _SPLITS:
        if isinstance(content.get(split), dict):
            absolute[split] = {
                key: _join(absolute["path"], value) if isinstance(value, str) and value else value
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


def _first_problem(error: ValidationError, file: Path) -> str:
    """One line about the first thing that is wrong."""
    # an unknown entry first: a misspelt one makes its right name missing
    problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    entry = ".".join(str(part) for part in problem["loc"])
    key = str(problem["loc"][-1])
    if problem["type"] == "extra_forbidden":
        if key in _HINTS and len(problem["loc"]) == 1:
            return f"{file}: unknown entry '{key}'; {_HINTS[key]}"
        fields = SplitConfig.model_fields if len(problem["loc"]) > 1 else DatasetConfig.model_fields
        allowed = [name for name in fields if name != "file"]
        nearest = difflib.get_close_matches(key, allowed, 1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known are {', '.join(allowed)}"
        return f"{file}: unknown entry '{entry}'; {hint}"
    if problem["type"] == "missing":
        form = f"write {entry}: {_SPLIT_FORM}" if key in _SPLITS else f"a split is {_SPLIT_FORM}"
        return f"{file}: '{entry}' is missing; {form}"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if problem["type"] == "value_error" else f" (not {problem['input']!r})"
    return f"{file}: {entry}: {message[:1].lower() + message[1:]}{given}"
