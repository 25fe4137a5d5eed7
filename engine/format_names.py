"""The formats that there are, found without importing them: `--help` and a wrong `--include` answer without torch."""

from __future__ import annotations

import pkgutil
from pathlib import Path

from files.hints import did_you_mean
from files.words import short

_FOLDER = Path(__file__).parent / "exporting" / "formats"


def format_names() -> list[str]:
    """Names of all formats, sorted: those of the files in `engine/exporting/formats`."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_FOLDER)]))


def known_format(text: str) -> str:
    """The rule of `--include`: what is wrong with a name, and the remedy; "" for nothing."""
    known = format_names()
    if text in known:
        return ""
    return f"{short(text)} is no format; {did_you_mean(text, known, 'known formats: ' + ', '.join(known))}"
