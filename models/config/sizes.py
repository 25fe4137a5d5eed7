"""One file for a family of networks: `scales` names its sizes, and the file's name or the key `scale` chooses one.

The letters after a number in the name are the size: `yolov5m-spconv` is size `m` of the family `yolov5-spconv`. The x
of `yolo11-3x3` is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from files.hints import did_you_mean
from files.strict_yaml import Document
from models.errors import ConfigError

SCALES, SCALE = "scales", "scale"
"""The keys of the sizes, and of the one that a file chooses itself."""

_SIZE = re.compile(r"(?<=\d)[A-Za-z]+(?![A-Za-z])")
_USUAL = re.compile(r"yolov?\d+([nsmlx])(?![A-Za-z\d])", re.IGNORECASE)  # yolov8x, yolo11s-mine
_TIMES = re.compile(r"(?<!yolo)(?<!yolov)(?<!\d)\d+x(?=\d)", re.IGNORECASE)  # 3x3, but not the x of yolov5x6


def sizes_of(document: Document) -> list[str]:
    """Names of the sizes that a file has, in its order; empty for a file without `scales`."""
    scales = document.content.get(SCALES)
    return [str(size) for size in scales] if isinstance(scales, dict) else []


def families_of(stem: str) -> Iterator[tuple[str, str]]:
    """Every family name and size that a name may be made of: `yolov5m-p2` gives `("yolov5-p2", "m")`."""
    times = {match.end() for match in _TIMES.finditer(stem)}
    for match in _SIZE.finditer(stem):
        if match.end() in times:
            continue
        yield stem[: match.start()] + stem[match.end() :], match.group()


def sized_name(family: str, size: str) -> str:
    """The name of one size of a family, the inverse of `families_of`; without a number in the name, `family-size`."""
    number = re.search(r"\d+", family)
    return f"{family[: number.end()]}{size}{family[number.end() :]}" if number else f"{family}-{size}"


def checked_sizes(document: Document, example: str) -> Iterator[tuple[str, Any]]:
    """Name of each size, and what the file says of it, which the dialect knows how to judge.

    Args:
        example: one entry of `scales` in the file's dialect.

    Raises:
        ConfigError: `scales` is no map of sizes, or a size is not named by letters.
    """
    scales = document.content[SCALES]
    if not isinstance(scales, dict) or not scales:
        raise ConfigError(f"{document.where(SCALES)}: 'scales' must be a map of sizes, such as {example}")
    for size, value in scales.items():
        if not isinstance(size, str) or not size.isalpha():
            where = document.where(SCALES, size)
            raise ConfigError(f"{where}: a size must be named by letters, such as n, not {size!r}")
        yield size, value


def asked_size(document: Document, stem: str) -> str | None:
    """The size that a name (without ending) or the key `scale` asks for; None where neither does.

    Raises:
        ConfigError: both do and differ, or there is no such size.
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
    return named or written


def refuse_usual_size(document: Document, stem: str) -> None:
    """Raises ConfigError for a name that says a size in the usual way, as yolov8x-mine does, which the file lacks."""
    if usual := _USUAL.match(stem):
        raise ConfigError(
            f"{document.where(SCALES)}: has no size {usual[1]!r}, which the name {stem!r} says; there are "
            f"{', '.join(sizes_of(document))}; add it, or rename the file"
        )


def name_a_size(document: Document, stem: str, size: str) -> str:
    """How to ask for one size of the family that was asked for by the name `stem`, in words."""
    by_name = f"ask for one by name, such as {sized_name(stem, size)}.yaml, or " if stem else ""
    return f"{by_name}write 'scale: {size}'"


def choose_size(document: Document, stem: str) -> str:
    """The size that a name (without ending) or the key `scale` asks for.

    Raises:
        ConfigError: none does, both do and differ, or there is no such size.
    """
    sizes, chosen = sizes_of(document), asked_size(document, stem)
    if chosen is None:
        remedy = name_a_size(document, stem, sizes[0])
        raise ConfigError(f"{document.where(SCALES)}: describes the sizes {', '.join(sizes)}; {remedy}")
    return chosen
