"""The parser of every command, and the exit codes."""

from __future__ import annotations

import re

import pytest

from data.__main__ import main as data_main
from engine.cli import detect, train, val
from files.command import CommandParser
from files.exit_codes import MEANINGS, ExitCode, table
from models.__main__ import main as models_main
from tests.places import ROOT


def parser() -> CommandParser:
    made = CommandParser("x.py", "Does something.")
    made.add_argument("--epochs", type=int)
    made.add_argument("--batch-size", "--batch", type=int)
    made.add_argument("--classes", nargs="+")
    made.add_argument("--noval", action="store_true")
    return made


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(argv)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("--epoch 3", "--epoch; did you mean --epochs?"),
        ("--epoch=3", "--epoch; did you mean --epochs?"),
        ("--EPOCHS 3", "--EPOCHS; did you mean --epochs?"),
        ("-epochs 3", "-epochs; did you mean --epochs?"),
        ("\u2014epochs 3", "\u2014epochs; did you mean --epochs?"),
        ("--batch_size 3", "--batch_size; did you mean --batch-size?"),
        ("--zzz", "--zzz; --help lists the flags"),
        ("3 4", "3; --help lists the flags"),
        ("--classes -a.jpg", "-a.jpg; as the value of --classes, write --classes=-a.jpg"),
        ("--classes --zzz", "--zzz; --help lists the flags"),
        ("--classes 3 -a.jpg", "-a.jpg; --help lists the flags"),
        ("-a.jpg", "-a.jpg; --help lists the flags"),
        ("--\x1b[2J", "'--\\x1b[2J'; --help lists the flags"),
        ("--" + "y" * 500, f"--{'y' * 75}...; --help lists the flags"),
    ],
)
def test_a_misspelt_flag(argv: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(argv.split(), capsys) == f"x.py: error: unrecognized arguments: {line}"


@pytest.mark.parametrize("argv", ["--noval=1", "--noval=True", "--noval="])
def test_a_flag_that_takes_no_value(argv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal([argv], capsys) == "x.py: error: argument --noval takes no value; write it alone, or leave it out"


def test_values_are_no_flags() -> None:
    assert parser().parse_args(["--epochs", "-3", "--classes", "a"]).epochs == -3
    assert parser().parse_args(["--classes=-a.jpg"]).classes == ["-a.jpg"], "as the hint says"
    assert parser().parse_args(["--classes", "- a", "a-b"]).classes == ["- a", "a-b"]


def test_a_flag_given_twice(caplog: pytest.LogCaptureFixture) -> None:
    assert parser().parse_args(["--batch", "3", "--batch-size=4", "--epochs", "1"]).batch_size == 4
    assert caplog.messages == ["warning: --batch-size is given 2 times; the last one counts"]


def test_every_code_has_a_meaning() -> None:
    assert {*MEANINGS} == {*ExitCode}
    assert [int(code) for code in ExitCode] == [0, 1, 2, 130, 143]


@pytest.mark.parametrize("main", [train.parse_options, val.parse_options, detect.parse_options, models_main])
def test_help_ends_with_the_exit_codes(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])  # type: ignore[operator]
    assert capsys.readouterr().out.endswith(f"\n{table()}\n")


def test_so_does_that_of_the_commands_of_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert data_main(["--help"]) == 0
    assert capsys.readouterr().out.endswith(f"\n{table()}\n")
    for argv in (["my.yaml", "--help"], ["convert", "--help"]):
        with pytest.raises(SystemExit):
            data_main(argv)
        assert capsys.readouterr().out.endswith(f"\n{table()}\n")


def test_the_docs_have_the_same_table() -> None:
    section = (ROOT / "docs" / "bad-input.md").read_text().split("\n## Exit codes\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", section, re.M)
    assert {ExitCode(int(code)): meaning for code, meaning in rows} == MEANINGS
