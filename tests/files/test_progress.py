"""Bars are drawn for commands and for nobody else."""

from __future__ import annotations

import pytest

from engine.cli.run import run_cli
from files.progress import bar, bar_put_aside, bars_shown


def test_a_bar_is_drawn_where_a_command_asked_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(bar(range(3), "quiet")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    with bars_shown():
        assert list(bar(range(3), "loud")) == [0, 1, 2]
    output = capsys.readouterr()
    assert output.out == ""
    assert "loud" in output.err
    assert "3/3" in output.err
    list(bar(range(3), "quiet"))
    assert capsys.readouterr() == ("", ""), "not for longer"


def test_commands_show_bars(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: object) -> int:
        with bar_put_aside():
            return len(list(bar("abc", "letters")))

    assert run_cli(main) == 3
    assert "letters" in capsys.readouterr().err
