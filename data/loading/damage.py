"""Pictures whose damage shows only when they are decoded: named once, remembered, and limited in number.

What is remembered is one JSON file in the user's cache folder, for all data sets. An entry counts as long as its file
has the size and modification time that it had; a file of another digest counts as empty.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.coco.records import CocoSplit
from data.coco.scan import file_state, fingerprint
from data.coco.tolerance import check_unusable
from files.atomic import LEFTOVER_AGE_S, remove_leftovers, write_json
from files.cache import cache_folder
from files.progress import bar_put_aside

log = logging.getLogger(__name__)

_NAMED_NOTES = 3
"""How many pictures are named whose decoder complained without damage; some data sets consist of such."""


@dataclass(frozen=True)
class Finding:
    """What the decoder said about a picture, in one line that names it; `damaged` where its pixels are not whole."""

    index: int
    text: str
    damaged: bool


class DamageLog:
    """Receives what was found while the pictures of a split were decoded.

    Args:
        split: whose pictures they are; those that the scan left out count too.
        strict: every damaged picture is an error.
        instead: what happens to a damaged picture, as the end of a sentence.
    """

    def __init__(self, split: CocoSplit, *, strict: bool, instead: str) -> None:
        self._records, self._annotations = split.records, split.annotations
        self._images = split.report.images + len(split.report.broken)
        self._messages = list(split.report.broken.values())
        self._strict, self._instead = strict, instead
        self._known: set[int] = set()
        self._notes = 0

    def add(self, findings: Iterable[Finding]) -> None:
        """Names what is new, and remembers it for the next run.

        Raises:
            DataError: too many pictures are broken or damaged by now, or one with `strict`.
        """
        new = [finding for finding in findings if finding.index not in self._known]
        for finding in new:
            self._known.add(finding.index)
            if not finding.damaged:
                self._note(finding)
                continue
            self._messages.append(finding.text)
            remember_damage(self._records[finding.index].path, finding.text)
            problem = [*self._messages[-1:], *self._messages[:-1]]
            check_unusable(problem, self._images, self._annotations, strict=self._strict)
            with bar_put_aside():
                log.warning("%s. %s", finding.text, self._instead)

    def _note(self, finding: Finding) -> None:
        self._notes += 1
        if self._notes <= _NAMED_NOTES:
            log.info("%s", finding.text)
        elif self._notes == _NAMED_NOTES + 1:
            log.info("%s: further images like these are not named", self._annotations)


def known_damage(paths: Sequence[Path]) -> dict[int, str]:
    """What earlier runs found: index in `paths` to one line; empty where nothing is known."""
    entries = _read()
    found = {}
    for index, path in enumerate(paths):
        entry = entries.get(str(path))
        if entry is not None and entry[0] == file_state(path):
            found[index] = entry[1]
    return found


def remember_damage(path: Path, text: str) -> None:
    """Keeps what was found out about a file, as long as it does not change; does nothing where there is no cache."""
    entries = _read()
    entry = [file_state(path), text]
    if entries.get(str(path)) == entry:
        return
    entries[str(path)] = entry
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(_file().parent, LEFTOVER_AGE_S)
        write_json(_file(), {"digest": _digest(entries), "files": entries})


def _read() -> dict[str, Any]:
    try:
        content = json.loads(_file().read_bytes())
        entries = content["files"]
        return entries if content["digest"] == _digest(entries) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _digest(entries: Any) -> str:
    return fingerprint(json.dumps(entries, sort_keys=True).encode())


def _file() -> Path:
    return cache_folder() / "damaged.json"
