"""Letters that can be drawn: by DejaVu, which matplotlib brings along, else by a font of the system, else spelt out.

Nothing is fetched, and no letter becomes an empty box.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from files.printable import printable, spelt_out

DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
_PREFERRED = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallback.ttf",
    "msyh.ttc",
    "simhei.ttf",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "NotoEmoji-Regular.ttf",
    "Symbola.ttf",
)
"""Tried before all others, since some letters are in many fonts."""
_MOST_FONTS = 500  # that are opened in the search for a letter
_MOST_LETTERS = 200
"""Of a text that is drawn: more of them are a file that is no table of names."""


def drawable(text: str, most: int = _MOST_LETTERS) -> str:
    r"""One line of text with letters that fonts here have: others are spelt out, as `:automobile:` or `\u6c49`.

    Args:
        most: letters; a longer text ends with an ellipsis.
    """
    letters = " ".join(printable(text[: most + 1]).split())
    spelt = [letter if font_of(letter) else spelt_out(letter) for letter in letters if not _is_invisible(letter)]
    ends = [*itertools.accumulate(map(len, spelt))]
    if not ends or ends[-1] <= most:
        return "".join(spelt)
    return "".join(spelt[: bisect.bisect_right(ends, most - 1)]) + "…"


def runs(text: str) -> list[tuple[Path, str]]:
    """A drawable text in pieces that one font each can draw."""
    pieces: list[tuple[Path, str]] = []
    for letter in text:
        font = font_of(letter) or DEJAVU
        if pieces and pieces[-1][0] == font:
            pieces[-1] = (font, pieces[-1][1] + letter)
        else:
            pieces.append((font, letter))
    return pieces


def families(*texts: str) -> list[str]:
    """Names of the fonts that matplotlib needs for drawable texts; it knows them from now on."""
    files = dict.fromkeys(font for text in texts for font, _ in runs(text) if font != DEJAVU)
    for file in files:
        font_manager.fontManager.addfont(file)
    return ["DejaVu Sans", *(FT2Font(str(file)).family_name for file in files)]


@functools.lru_cache(maxsize=65536)
def font_of(letter: str) -> Path | None:
    """The first font that has a letter; None where none has."""
    return next((file for file, face in _faces() if face.get_char_index(ord(letter))), None)


def _is_invisible(letter: str) -> bool:
    """What joins letters or chooses between their variants."""
    return unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"


def _faces() -> Iterator[tuple[Path, FT2Font]]:
    """The fonts in the order in which they are tried; each is opened once, when the search comes to it."""
    yield DEJAVU, _dejavu()
    yield from (found for file in _system_fonts() if (found := _face(file)) is not None)


@functools.cache
def _dejavu() -> FT2Font:
    return FT2Font(str(DEJAVU))


@functools.cache
def _system_fonts() -> tuple[Path, ...]:
    found = sorted(map(Path, font_manager.findSystemFonts()))
    rank = {name: number for number, name in enumerate(_PREFERRED)}
    return tuple(sorted(found, key=lambda file: rank.get(file.name, len(rank)))[:_MOST_FONTS])


@functools.cache
def _face(file: Path) -> tuple[Path, FT2Font] | None:
    """None for fonts of pixels or colours, which neither Pillow nor matplotlib draws as text, and for broken ones."""
    if "color" in file.name.lower():
        return None
    try:
        ImageFont.truetype(str(file), 10)
        face = FT2Font(str(file))
    except (OSError, RuntimeError, ValueError):
        return None
    return (file, face) if face.scalable else None
