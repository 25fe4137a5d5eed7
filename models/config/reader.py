"""From a name, a path or a mapping to a checked configuration: find the file, read it, expand its dialect, check."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from files.lookup import Shelf, shown
from files.places import CONFIGS
from files.strict_yaml import Document, read_yaml
from models.config import yolov5, yolov8
from models.config.heads import Expanded, expand_head
from models.config.schema import ModelConfig
from models.config.sizes import families_of, sized_name, sizes_of
from models.config.tasks import refuse_other_tasks
from models.errors import ConfigError

SHELF = Shelf(CONFIGS / "models", "model configuration", ConfigError, earlier=(CONFIGS,))
"""Where a bare configuration name is looked up. Until version 0.1 every size had a file in `configs/` itself."""

_FORM = "a model YAML has the keys nc, anchors, backbone and head"


class Dialect(NamedTuple):
    """A way to write a model YAML.

    Attributes:
        recognises: whether a file's content is written so.
        expand: (file, name that it was asked for by) -> the file in the internal form, that of `ModelConfig`, but for
            its head, which all dialects write alike.
    """

    recognises: Callable[[Mapping[Any, Any]], bool]
    expand: Callable[[Document, str], Expanded]


DIALECTS: tuple[Dialect, ...] = (
    Dialect(yolov8.recognises, yolov8.expand),
    Dialect(lambda content: True, yolov5.expand),
)
"""The first one that recognises a file expands it. YOLOv5's takes all, and reports what is no model YAML at all."""


class FoundConfig(NamedTuple):
    """A configuration file, and the name without ending that it was asked for by, which may say a size."""

    path: Path
    stem: str


def load_config(config: str | os.PathLike[str] | Mapping[str, Any]) -> ModelConfig:
    """Read and check a model configuration.

    Args:
        config: a path, a name in `configs/models/` (with or without `.yaml`), or the content as a mapping. A name may
            be one size of a family: `yolov5m-spconv` is size m of `yolov5-spconv.yaml`.

    Raises:
        ConfigError: not found, not readable, not YAML, or wrong in an entry; the message names file, line and entry.
    """
    if isinstance(config, Mapping):
        return _from_document(Document.from_mapping(config, "model configuration", ConfigError), "")
    found = find_config(config)
    origin = str(config) if Path(config) == found.path else shown(found.path)
    return _from_document(read_yaml(found.path, ConfigError, _FORM, origin), found.stem)


def find_config(name: str | os.PathLike[str]) -> FoundConfig:
    """The file of a configuration name: an existing path, a name in `configs/models/`, or a size of a family there.

    The folder of a path is searched for a family too: `my/yolov5m.yaml` may be size m of `my/yolov5.yaml`.

    Raises:
        ConfigError: there is none; the message suggests near names.
    """
    path = SHELF.existing(name) or SHELF.named(name)
    if path is not None:
        return FoundConfig(path, path.stem)
    for folder, stem in _places(name):
        for family, size in families_of(stem):
            file = folder / f"{family}.yaml"
            if file.is_file() and size in sizes_of(read_yaml(file, ConfigError, _FORM, shown(file))):
                return FoundConfig(file, stem)
    raise SHELF.missing(name, config_names(), examples=[names[0] for names in _names_by_file()])


def config_names() -> list[str]:
    """Every name that `configs/models/` knows, without ending: a family counts by its sizes."""
    return sorted({name for names in _names_by_file() for name in names})


def _names_by_file() -> list[list[str]]:
    """The names of each file in `configs/models/`: that of every size, in the file's order, or its own."""
    names = []
    for file in SHELF.files():
        sizes = sizes_of(read_yaml(file, ConfigError, _FORM, shown(file)))
        # a file of one size has it in its own name: yolov10n
        is_family = bool(sizes) and not any(size in sizes for _, size in families_of(file.stem))
        names.append([sized_name(file.stem, size) for size in sizes] if is_family else [file.stem])
    return names


def _places(name: str | os.PathLike[str]) -> Iterator[tuple[Path, str]]:
    """Folders in which the name may be one of a family, and the name without ending."""
    stem = SHELF.stem(name)
    if stem is not None:
        yield SHELF.folder, stem
    yield Path(name).parent, Path(name).stem


def _from_document(document: Document, stem: str) -> ModelConfig:
    refuse_other_tasks(document)
    dialect = next(dialect for dialect in DIALECTS if dialect.recognises(document.content))
    sized, of_size = dialect.expand(document, stem)
    expanded, of_head = expand_head(sized)
    return ModelConfig.from_document(expanded, (*of_size, *of_head))
