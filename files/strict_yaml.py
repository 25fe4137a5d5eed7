"""YAML that people write, read strictly: nothing is dropped in silence, and every entry knows its line.

Model configurations, data sets and recipes are read here. Refused are a key that occurs twice in one map (plain YAML
keeps the last one), an alias to itself, aliases that unfold to very much, text that is not UTF-8, and a file that is
no map. Tags make no objects: the loader is PyYAML's safe one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from files.errors import InputError

MAX_VALUES = 100_000
"""Values that a file may hold once its aliases are written out."""

MAX_BYTES = 1_000_000
"""Size of a file; a data set with the names of 20,000 classes has half of it."""

_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Document:
    """What a YAML file holds, or a mapping in place of one.

    Attributes:
        origin: the file as messages name it, or what stands for it.
        content: the top-level map; all inside are plain values, and no two entries share a list or map.
    """

    origin: str
    content: dict[Any, Any]
    _root: yaml.Node | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_mapping(cls, content: Mapping[Any, Any], origin: str, error: type[InputError] = InputError) -> Document:
        """A mapping that no file stands behind: its entries have no lines.

        Raises:
            InputError: of the class `error`: it contains itself, or one part of it so often that it unfolds to more
                than `MAX_VALUES` values.
        """
        try:
            _unfolded_size(content, {})
        except RecursionError:
            raise error(f"{origin}: is nested too deeply, or contains itself; write it flatter") from None
        except _RefusalError as refusal:
            raise error(f"{origin}: {refusal}") from None
        return cls(origin, plain_copy(content))

    def with_content(self, content: dict[Any, Any]) -> Document:
        """Another content with the lines of this one: entries that both have keep theirs."""
        return replace(self, content=content)

    def line(self, *location: str | int) -> int | None:
        """Line (from 1) of the entry at `location`, keys and indices from the top; of the deepest one that is there.

        None where no line is known.
        """
        node, line = self._root, None
        for name in location:
            if isinstance(node, yaml.MappingNode):
                # the last one: entries that `<<` merges stand before the map's own
                pair = next((pair for pair in reversed(node.value) if pair[0].value == str(name)), None)
                if pair is None:
                    break
                line, node = _line(pair[0]), pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(name, int) and name < len(node.value):
                node = node.value[name]
                line = _line(node)
            else:
                break
        return line

    def where(self, *location: str | int) -> str:
        """`file, line 3` for the entry at `location`; `file` alone where no line is known."""
        line = self.line(*location)
        return self.origin if line is None else f"{self.origin}, line {line}"


def read_yaml(path: Path, error: type[InputError], form: str, origin: str = "") -> Document:
    """Reads a YAML file whose top level is a map.

    Args:
        error: class of what is raised.
        form: what such a file holds, for the message about one that is empty or no map.
        origin: the file as messages name it (default: its path).

    Raises:
        InputError: of the class `error`; one line that names the file, the line and the remedy.
    """
    origin = origin or str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise error(f"{origin}: cannot be read ({reason}); check the path and its permissions") from None
    return parse_yaml(content, error, form, origin)


def parse_yaml(content: bytes, error: type[InputError], form: str, origin: str) -> Document:
    """`read_yaml` for what is in memory already.

    Raises:
        InputError: of the class `error`; see `read_yaml`.
    """
    if len(content) > MAX_BYTES:
        raise error(f"{origin}: has more than {MAX_BYTES:,} bytes; {form}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise error(f"{origin}, line {line}: cannot be read as UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        raise error(f"{origin}: holds zero bytes, as UTF-16 does; save the file as UTF-8")
    try:
        return _parse(text, origin)
    except _RefusalError as refusal:
        where = origin if refusal.line is None else f"{origin}, line {refusal.line}"
        raise error(f"{where}: {refusal}{form if refusal.wants_form else ''}") from None


def plain_copy(value: Any) -> Any:
    """The value with new dicts and lists, tuples as lists, at every depth."""
    if isinstance(value, Mapping):
        return {key: plain_copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_copy(item) for item in value]
    return value


def _unfolded_size(value: Any, known: dict[int, int]) -> int:
    """Number of values that lists and maps hold at every depth; one that occurs twice counts twice."""
    if not isinstance(value, Mapping | list | tuple):
        return 1
    if id(value) not in known:
        items = value.values() if isinstance(value, Mapping) else value
        known[id(value)] = total = 1 + sum(_unfolded_size(item, known) for item in items)
        if total > MAX_VALUES:
            raise _RefusalError(f"unfolds to more than {MAX_VALUES:,} values; use fewer")
    return known[id(value)]


class _RefusalError(Exception):
    """Why a text is refused, and where."""

    def __init__(self, text: str, line: int | None = None, *, wants_form: bool = False) -> None:
        super().__init__(text)
        self.line = line
        self.wants_form = wants_form


class _Loader(yaml.SafeLoader):
    """Values that the safe loader chokes on (`2001-13-45`, `!!bool x`) are refused with their line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            problem = f"{str(error) or type(error).__name__} in {str(node.value)[:40]!r}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _parse(text: str, origin: str) -> Document:
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                what = "is empty, not a map of keys" if root is None else "is not a map of keys"
                raise _RefusalError(f"the file {what}; ", wants_form=True)
            _Inspection(loader).count(root)
            content = loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _syntax_refusal(error, text) from None
    except RecursionError:
        raise _RefusalError("is nested too deeply; write it flatter") from None
    return Document(origin, plain_copy(content), root)


class _Inspection:
    """Looks at every node before values are made of them."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._counts: dict[int, int] = {}
        self._open: set[int] = set()

    def count(self, node: yaml.Node) -> int:
        """Number of values that `node` unfolds to.

        Raises:
            _RefusalError: a key that occurs twice, an alias to itself, or too many values.
        """
        if id(node) in self._open:
            raise _RefusalError("an alias refers to itself; write the value out", _line(node))
        if id(node) not in self._counts:
            self._open.add(id(node))
            self._counts[id(node)] = total = 1 + sum(map(self.count, self._children(node)))
            self._open.remove(id(node))
            if total > MAX_VALUES:
                raise _RefusalError(f"its aliases unfold to more than {MAX_VALUES:,} values; use fewer", _line(node))
        return self._counts[id(node)]

    def _children(self, node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.MappingNode):
            self._refuse_twins(node)
            return [value for _, value in node.value]
        return node.value if isinstance(node, yaml.SequenceNode) else []

    def _refuse_twins(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key, _ in node.value:
            # other kinds of keys are no YAML that the loader takes
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                value = self._loader.construct_object(key)
                if value in seen:
                    raise _RefusalError(f"the key {key.value!r} occurs twice; remove one", _line(key))
                seen.add(value)


_SYNTAX_REMEDY = "check brackets, quotes and indentation there"
_SYNTAX_REMEDIES = {
    "character '\\t'": "it is a tab; write spaces",
    "unknown escape character": r"in double quotes \ begins an escape; write / in paths, or single quotes",
}
"""What to do, by what stands in PyYAML's words."""


def _syntax_refusal(error: yaml.YAMLError, text: str) -> _RefusalError:
    line = None
    problem = " ".join(str(error).split())
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        problem = error.problem or error.context or type(error).__name__
    elif isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        problem = f"{error.reason}: {chr(error.character)!r}"
    remedy = next((remedy for sign, remedy in _SYNTAX_REMEDIES.items() if sign in problem), _SYNTAX_REMEDY)
    return _RefusalError(f"not valid YAML syntax ({problem}); {remedy}", line)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
