"""Reading and checking a model YAML: top-level keys, and rows `[from, number, module, args]` with the line of each.

A fifth element of a row, where present, is a map of keyword arguments. Nothing here knows what a block is: names are
looked up by the parser.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from files.places import CONFIGS
from models.errors import ConfigError

CONFIG_FOLDER = CONFIGS
"""Where a bare configuration name is looked up."""

ROW_SHAPE = "[from, number, module, args] or [from, number, module, args, {keyword: value}]"

# What a wrong entry should have been, by the last name in its location.
EXPECTED = {
    "nc": "a whole number of classes from 1",
    "depth_multiple": "a positive number",
    "width_multiple": "a positive number",
    "channel_multiple": "a whole number from 1",
    "ch": "a whole number of image channels from 1",
    "anchors": "a number of anchors per level, or for each level a list w0, h0, w1, h1, ... in pixels",
    "activation": "the name of an activation, such as nn.SiLU()",
    "inplace": "true or false",
    "backbone": f"a list of rows {ROW_SHAPE}",
    "head": f"a list of rows {ROW_SHAPE}",
    "row": f"a list {ROW_SHAPE}",
    "from": "a row number, a negative offset, or a list of them",
    "number": "a whole number of repeats from 1 to 1000",
    "module": "the name of a block",
    "args": "a list of arguments",
    "kwargs": "a map of keyword arguments",
}

LABELS = {"row": "a row", "kwargs": "the fifth element"}


class RowSpec(BaseModel):
    """One row as written: no name resolved, no multiple applied."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: int | list[int] = Field(alias="from")
    number: int = Field(ge=1, le=1000)
    module: str = Field(min_length=1)
    args: list[Any]
    kwargs: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_the_elements(cls, row: Any) -> Any:
        if not isinstance(row, list) or len(row) not in (4, 5):
            raise ValueError("row")
        return dict(zip(("from", "number", "module", "args", "kwargs"), row, strict=False))


class ModelConfig(BaseModel):
    """A checked model configuration.

    Attributes:
        nc: number of classes.
        depth_multiple: factor for the repeats of rows that say more than 1.
        width_multiple: factor for output channels, rounded up to `channel_multiple`.
        ch: channels of the input image.
        anchors: per level `w0, h0, w1, h1, ...` in input pixels; or their number per level; or none, for heads
            without anchors.
        activation: default activation of the convolutions, such as `nn.LeakyReLU(0.1)`.
        inplace: accepted because YOLOv5's files may have it; without effect.
        backbone, head: the rows, numbered through.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    nc: int = Field(ge=1)
    depth_multiple: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    width_multiple: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    channel_multiple: int = Field(default=8, ge=1)
    ch: int = Field(default=3, ge=1)
    anchors: int | list[list[float]] | None = None
    activation: str | None = None
    inplace: bool = True
    backbone: list[RowSpec] = Field(min_length=1)
    head: list[RowSpec] = Field(min_length=1)

    _origin: str = PrivateAttr(default="model configuration")
    _lines: list[int] = PrivateAttr(default_factory=list)
    _key_lines: dict[str, int] = PrivateAttr(default_factory=dict)
    _plain: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check_anchors(self) -> ModelConfig:
        if isinstance(self.anchors, int):
            if self.anchors < 1:
                raise ValueError("anchors")
        elif self.anchors is not None:
            lengths = {len(level) for level in self.anchors}
            if len(lengths) != 1 or lengths & {0} or lengths.pop() % 2:
                raise ValueError("anchors")
        return self

    @property
    def rows(self) -> list[RowSpec]:
        """Backbone and head, in order."""
        return [*self.backbone, *self.head]

    @property
    def origin(self) -> str:
        """The file that the configuration came from, or what stands for it."""
        return self._origin

    def locate(self, index: int) -> str:
        """Where row `index` stands: file, line (where known), row number and block name."""
        line = f", line {self._lines[index]}" if self._lines else ""
        return f"{self._origin}{line}, row {index} ({' '.join(self.rows[index].module.split())})"

    def locate_key(self, key: str) -> str:
        """Where a top-level key stands: file and line (where known)."""
        line = self._key_lines.get(key)
        return self._origin if line is None else f"{self._origin}, line {line}"

    def plain(self) -> dict[str, Any]:
        """The configuration as plain dicts, lists, strings and numbers; reading it again gives an equal one."""
        return _plain_copy(self._plain)

    def with_classes(self, num_classes: int) -> ModelConfig:
        """The same configuration for another number of classes.

        Raises:
            ConfigError: `num_classes` is not a whole number from 1.
        """
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise ConfigError(
                f"{self._origin}: the number of classes must be a whole number from 1, not {num_classes!r}"
            )
        changed = self.model_copy(update={"nc": num_classes})
        changed._plain = {**self._plain, "nc": num_classes}
        return changed


def load_config(config: str | os.PathLike[str] | Mapping[str, Any]) -> ModelConfig:
    """Read and check a model configuration.

    Args:
        config: a path, the bare name of a file in `configs/` (with or without `.yaml`), or the content as a mapping.

    Raises:
        ConfigError: not found, not readable, not YAML, or wrong in an entry; the message names file, line and entry.
    """
    if isinstance(config, Mapping):
        return _check(_plain_copy(config), "model configuration", None)
    path = find_config(config)
    origin = str(config)
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        try:
            node = loader.get_single_node()
            content = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{origin}: cannot be read as UTF-8 text ({_one_line(error)}); check the file") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(_yaml_problem(origin, error)) from error
    if not isinstance(node, yaml.MappingNode):
        what = "is empty" if node is None else "is not a map of keys"
        raise ConfigError(f"{origin}: the file {what}; a model YAML has the keys nc, anchors, backbone and head")
    _refuse_duplicates(node, origin)
    try:
        content = _plain_copy(content)
    except RecursionError as error:
        raise ConfigError(f"{origin}: an alias refers to itself; write the value out") from error
    return _check(content, origin, node)


def find_config(name: str | os.PathLike[str]) -> Path:
    """The file of a configuration name: an existing path, or a bare name in `configs/`.

    Raises:
        ConfigError: there is none; the message suggests near names.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise ConfigError(f"{name}: is a folder; give a model YAML file")
    if path.name == str(name):
        for candidate in (CONFIG_FOLDER / path.name, CONFIG_FOLDER / f"{path.name}.yaml"):
            if candidate.is_file():
                return candidate
    known = sorted(entry.name for entry in CONFIG_FOLDER.glob("*.yaml"))
    wanted = path.name if path.suffix else f"{path.name}.yaml"
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6) or known
    hint = f"did you mean {' or '.join(near)}?" if near else f"{CONFIG_FOLDER} holds no configuration"
    raise ConfigError(f"{name}: no such model configuration, neither as a path nor in configs/; {hint}")


class _Problem(NamedTuple):
    location: tuple[int | str, ...]
    text: str


def _check(content: dict[str, Any], origin: str, node: yaml.MappingNode | None) -> ModelConfig:
    _refuse_unnamed(content, origin)
    try:
        config = ModelConfig.model_validate(content)
    except ValidationError as error:
        problem = _describe(error, content)
        line = _line_of(node, problem.location)
        where = origin if line is None else f"{origin}, line {line}"
        if len(problem.location) > 1 and problem.location[0] in ("backbone", "head"):
            first = len(content["backbone"]) if problem.location[0] == "head" else 0
            where += f", row {first + int(problem.location[1])}"
        raise ConfigError(f"{where}: {problem.text}") from error
    config._origin = origin
    config._plain = content
    if node is not None:
        config._key_lines = {key.value: _mark(key) for key, _ in node.value}
        config._lines = [_mark(row) for key in ("backbone", "head") for row in _child(node, key).value]
    return config


def _refuse_unnamed(content: dict[Any, Any], origin: str) -> None:
    for key in content:
        if not isinstance(key, str):
            raise ConfigError(f"{origin}: unknown key {key!r}; known keys: {', '.join(ModelConfig.model_fields)}")


def _describe(error: ValidationError, content: dict[str, Any]) -> _Problem:
    """The first mistake, in a sentence that says what was expected."""
    first = error.errors(include_url=False)[0]
    location = first["loc"]
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), ModelConfig.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(ModelConfig.model_fields)}"
        return _Problem(location, f"unknown key {location[-1]!r}; {hint}")
    if first["type"] == "missing":
        key = str(location[-1])
        return _Problem(location[:-1], f"the key {key!r} is missing; it must be {EXPECTED[key]}")
    if first["type"] == "value_error":
        key = str(first["ctx"]["error"])
        location = location or (key,)
        value = content[key] if location == (key,) else first["input"]
    else:
        # pydantic appends the member of a union that it tried, which has no place in the file
        names = [name for name in location if name in EXPECTED]
        key, value = str(names[-1]), first["input"]
    return _Problem(location, f"{LABELS.get(key, repr(key))} must be {EXPECTED[key]}, not {_short(value)}")


def _line_of(node: yaml.Node | None, location: tuple[int | str, ...]) -> int | None:
    """Line (from 1) of the deepest node on the way to `location`."""
    if node is None or not location:
        return None
    line = None
    for name in location:
        if isinstance(node, yaml.MappingNode):
            key = next((key for key, _ in node.value if key.value == str(name)), None)
            if key is None:
                break
            node, line = _child(node, str(name)), _mark(key)
        elif isinstance(node, yaml.SequenceNode) and isinstance(name, int):
            node = node.value[name]
            line = _mark(node)
        else:
            break
    return line


def _child(node: yaml.MappingNode, name: str) -> Any:
    return next(value for key, value in node.value if key.value == name)


def _mark(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _refuse_duplicates(node: yaml.MappingNode, origin: str) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if str(key.value) in seen:
            raise ConfigError(f"{origin}, line {_mark(key)}: the key {key.value!r} occurs twice; remove one")
        seen.add(str(key.value))


def _yaml_problem(origin: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = origin if mark is None else f"{origin}, line {mark.line + 1}"
    problem = getattr(error, "problem", None) or _one_line(error)
    return f"{where}: not valid YAML ({problem}); check brackets, quotes and indentation there"


def _plain_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain_copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_copy(item) for item in value]
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _one_line(error: BaseException) -> str:
    return next(_lines_of(str(error)), type(error).__name__)


def _lines_of(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())
