"""The last row of a file whose head has no anchors: `[[15, 18, 21], 1, Detect, [nc]]`.

YOLOv5's head and the one of YOLOv8 and newer are both called `Detect` in files. Which one is meant, the arguments say:
`[nc, anchors]` or `[nc]`. In the internal form the second is `AnchorFreeDetect`, and what the file says of it in keys
at the top (`reg_max`, `end2end`, `legacy_class_branch`) stands in its row, written out, so that a checkpoint's
configuration depends on no default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from files.problems import short
from files.strict_yaml import Document
from models.config.rows import last_row, row_names
from models.errors import ConfigError

ANCHOR_BASED, ANCHOR_FREE, TWO_HEADED = "Detect", "AnchorFreeDetect", "v10Detect"

REG_MAX, END2END, LEGACY = "reg_max", "end2end", "legacy_class_branch"
KEYS = {REG_MAX: "a whole number from 1", END2END: "true or false", LEGACY: "true or false"}
"""What a file may say of an anchor-free head at its top, and what each must be."""

_REG_MAX = 16  # bins of each side's distribution where a file does not say

# Files with one of these blocks mean the class branch that YOLOv10 brought: depth-wise and 1x1 convolutions.
_NEWER_BLOCKS = frozenset({"C3k2", "A2C2f", "C2fCIB"})


class Expanded(NamedTuple):
    """A file in the internal form, and what a person should know of how it was read: one sentence each."""

    document: Document
    remarks: tuple[str, ...] = ()


def has_anchor_free_head(content: Mapping[Any, Any]) -> bool:
    """Whether the last row is a head without anchors, as either dialect or the internal form writes it."""
    row = last_row(content)
    if row is None:
        return False
    _, _, name, args, _ = row
    return name in (ANCHOR_FREE, TWO_HEADED) or (name == ANCHOR_BASED and len(args) == 1)


def expand_head(document: Document) -> Expanded:
    """Writes what the keys at the top say of an anchor-free head into its row; other heads stay as they are.

    Raises:
        ConfigError: such a key is wrong, stands in the row too, or the last row is another head.
    """
    content = document.content
    given = _checked_keys(document)
    kept = {key: value for key, value in content.items() if key not in given}
    row = last_row(content)
    if row is None:  # no row at all, which the schema says with its line
        return Expanded(document.with_content(kept))
    if not has_anchor_free_head(content):
        for key in given:
            raise ConfigError(
                f"{document.where(key)}: {key!r} is for a head without anchors, as in [[15, 18, 21], 1, Detect, [nc]], "
                f"and the last row is {row[2]}; delete this line, or write that head"
            )
        return Expanded(document)
    source, number, name, args, keywords = row
    for key in set(given) & set(keywords):
        raise ConfigError(f"{document.where(key)}: {key!r} stands in the head's row too; delete one of them")
    if name == TWO_HEADED:
        keywords = {**_of_two_heads(document, given), **keywords}
    else:
        name = ANCHOR_FREE
        defaults = {REG_MAX: _REG_MAX, END2END: False, LEGACY: not _has_newer_block(content)}
        keywords = {**defaults, **given, **keywords}
    remarks = _remarks(document, row[2])
    kept.pop("anchors", None)
    kept["head"] = [*content["head"][:-1], [source, number, name, args, *([keywords] if keywords else [])]]
    return Expanded(document.with_content(kept), remarks)


def _checked_keys(document: Document) -> dict[str, Any]:
    given = {key: document.content[key] for key in KEYS if key in document.content}
    for key, value in given.items():
        fits = isinstance(value, bool) if key != REG_MAX else isinstance(value, int) and value is not True and value > 0
        if not fits:
            raise ConfigError(f"{document.where(key)}: {key!r} must be {KEYS[key]}, not {short(value)}")
    return given


def _of_two_heads(document: Document, given: Mapping[str, Any]) -> dict[str, Any]:
    """YOLOv10's head has two branches, and the newer one for classes, by its name: other values contradict it."""
    for key, value in ((END2END, True), (LEGACY, False)):
        if given.get(key, value) is not value:
            raise ConfigError(
                f"{document.where(key)}: {key!r} is {str(value).lower()} for every {TWO_HEADED}; delete this line, or "
                f"write {ANCHOR_BASED} in the last row"
            )
    return {key: value for key, value in given.items() if key == REG_MAX}


def _has_newer_block(content: Mapping[Any, Any]) -> bool:
    return any(name in _NEWER_BLOCKS for _, _, name in row_names(content))


def _remarks(document: Document, name: str) -> tuple[str, ...]:
    if document.content.get("anchors") is None:
        return ()
    where = document.where("anchors")
    return (f"{where}: the head {name} [nc] has no anchors, so these have no effect; YOLOv5's is Detect [nc, anchors]",)
