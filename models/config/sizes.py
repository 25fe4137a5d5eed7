"""One file for a family of networks: `scales` names its sizes, and the file's name or the key `scale` chooses one.

The letters after a number in the name are the size: `yolov5m-spconv` is size `m` of the family `yolov5-spconv`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from files.hints import did_you_mean
from files.strict_yaml import Document
from models.errors import ConfigError

SCALES, SCALE = "scales", "scale"
"""The keys of the sizes, and of the one that a file chooses itself."""

_SIZE = re.compile(r"(?<=\d)[A-Za-z]+(?![A-Za-z])")


def sizes_of(document: Document) -> list[str]:
    """Names of the sizes that a file has, in its order; empty for a file without `scales`."""
    scales = document.content.get(SCALES)
    return [str(size) for size in scales] if isinstance(scales, dict) else []


def families_of(stem: str) -> Iterator[tuple[str, str]]:
    """Every family name and size that a name may be made of: `yolov5m-p2` gives `("yolov5-p2", "m")`."""
    for match in _SIZE.finditer(stem):
        yield stem[: match.start()] + stem[match.end() :], match.group()


def sized_name(family: str, size: str) -> str:
    """The name of one size of a family, the inverse of `families_of`; without a number in the name, `family-size`."""
    number = re.search(r"\d+", family)
    return f"{family[: number.end()]}{size}{family[number.end() :]}" if number else f"{family}-{size}"


def choose_size(document: Document, stem: str) -> str:
    """The size that a name (without ending) or the key `scale` asks for.

    Raises:
        ConfigError: none does, both do and differ, or there is no such size.
    """
    sizes = sizes_of(document)
    named = next((size for _, size in families_of(stem) if size in sizes), None)
    written = document.content.get(SCALE)
    if written is not None and written not in sizes:
        hint = did_you_mean(str(written), sizes, f"there are {', '.join(sizes)}")
        raise ConfigError(f"{document.where(SCALE)}: 'scale' must be one of 'scales', not {written!r}; {hint}")
    if named and written and named != written:
        raise ConfigError(
            f"{document.where(SCALE)}: 'scale' says {written!r}, but the name {stem!r} says {named!r}; "
            "delete the line, or rename the file"
        )
    chosen = named or written
    if chosen is None:
        example = sized_name(stem, sizes[0]) if stem else ""
        by_name = f"ask for one by name, such as {example}.yaml, or " if example else ""
        raise ConfigError(
            f"{document.where(SCALES)}: describes the sizes {', '.join(sizes)}; {by_name}write 'scale: {sizes[0]}'"
        )
    return str(chosen)
