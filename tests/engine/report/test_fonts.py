"""Letters that can be drawn, with and without fonts of the system."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from data.media import fonts
from data.media.fonts import DEJAVU, drawable, families, font_of, runs
from engine.metrics.coco import FIGURES, ClassMetrics, CocoMetrics
from engine.metrics.confusion import ConfusionMatrix
from engine.report import plots
from engine.report.draw import _text_mask, draw_detections

STIX = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf"
NAMES = ("汽车", "🚗 car", "$x^2$ $^$", "_hidden", "red\x1b[31m\nline", "größe", "a" * 100, "\udcff", "👨‍👩‍👧", "")


@pytest.fixture
def only_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A system with these fonts only."""

    def forget() -> None:
        for cached in (fonts.font_of, fonts._system_fonts, fonts._face, _text_mask):
            cached.cache_clear()

    def use(*files: Path) -> None:
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_, **__: [str(file) for file in files])
        forget()

    yield use
    monkeypatch.undo()
    forget()


def test_letters_that_no_font_has_are_spelt_out(only_fonts: Callable[..., None]) -> None:
    only_fonts()
    assert drawable("größe кошка") == "größe кошка"
    assert drawable("汽车 🚗\ufe0f") == "\\u6c7d\\u8f66 :automobile:"
    assert drawable("👨‍👩") == ":man::woman:"
    assert drawable("a\x1b[2J\nb\udcff  c") == "a\\x1b[2J\\nb\\xff c"
    assert drawable(" \u200d") == ""


def test_a_font_of_the_system_draws_what_the_first_one_lacks(only_fonts: Callable[..., None]) -> None:
    letter = next(
        chr(code) for code in sorted({*FT2Font(str(STIX)).get_charmap()} - {*FT2Font(str(DEJAVU)).get_charmap()})
    )
    only_fonts()
    assert font_of(letter) is None
    without = _text_mask(f"a{letter}b", 20)
    only_fonts(STIX)
    assert font_of(letter) == STIX
    assert drawable(f"a{letter}b") == f"a{letter}b"
    assert runs(f"ab{letter}c") == [(DEJAVU, "ab"), (STIX, letter), (DEJAVU, "c")]
    assert families(f"a{letter}") == ["DejaVu Sans", "STIXGeneral"]
    mask = _text_mask(f"a{letter}b", 20)
    assert mask.shape != without.shape
    assert mask.any()


def test_what_is_no_font_is_passed_over(tmp_path: Path, only_fonts: Callable[..., None]) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    coloured = tmp_path / "NotoColorEmoji.ttf"
    coloured.write_bytes(STIX.read_bytes())
    only_fonts(broken, coloured, tmp_path / "absent.ttf")
    assert font_of("汉") is None


@given(st.text(st.characters(codec=None)), st.integers(3, 60))
def test_any_text_can_be_drawn(text: str, most: int) -> None:
    line = drawable(text, most)
    assert len(line) <= most
    assert all(font_of(letter) for letter in line)
    assert "".join(piece for _, piece in runs(line)) == line


def test_a_long_text_ends_with_an_ellipsis(only_fonts: Callable[..., None]) -> None:
    only_fonts()
    assert drawable("a" * 20, 10) == "a" * 9 + "…"
    assert drawable("a" * 10, 10) == "a" * 10
    assert drawable("汉" * 10, 20) == "\\u6c49" * 3 + "…"


def test_any_class_name_on_plots_and_pictures(tmp_path: Path, only_fonts: Callable[..., None]) -> None:
    only_fonts()
    count = len(NAMES)
    classes = tuple(ClassMetrics(name, 3, 5, ap=0.4, ap50=0.5) for name in NAMES)
    metrics = CocoMetrics(dict.fromkeys(FIGURES, 0.5), classes, np.linspace((1,) * 101, (0,) * 101, count), images=10)
    saved = []
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(plots, "_save", lambda figure, png, save=plots._save: (saved.append(figure), save(figure, png)))
        plots.plot_precision_recall(metrics, tmp_path / "pr.png")
        plots.plot_confusion_matrix(ConfusionMatrix(count), NAMES, tmp_path / "matrix.png")
        boxes = np.tile([[10, 40, 90, 90]], (count, 1))
        draw_detections(np.zeros((100, 100, 3), np.uint8), boxes, range(count), NAMES, thickness=1000)
    texts = [text.get_text().removesuffix(" 0.500") for text in saved[0].axes[0].get_legend().get_texts()]
    assert texts[:4] == ["\\u6c7d\\u8f66", ":automobile: car", "$x^2$ $^$", " _hidden"]
    assert len(texts) == count + 1
    ticks = saved[1].axes[0].get_yticklabels()
    assert [text.get_text() for text in ticks][:4] == texts[:4]
    assert not any(text.get_parse_math() for text in ticks)
    for name in ("pr.png", "matrix.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 5
