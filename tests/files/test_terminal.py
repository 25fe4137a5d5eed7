"""Standard output and error of a command: in a process of its own where descriptors are closed or full."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from files.progress import bar, bar_put_aside, bars_shown
from files.terminal import PrintableStream, terminal
from tests.places import ROOT

COMMAND = r"""
import sys
from files.terminal import reader_is_gone, terminal
with terminal() as shown:
    for number in range(20000):
        print("line", number, flush=number % 100 == 0)
    print("\x1b[31m \udcff \xf6 \u6c49")
    print("on the other one", file=sys.stderr)
    with open(sys.argv[1], "w") as file:
        file.write(f"all of it {file.fileno() > 2} {reader_is_gone()}")
    code = shown.finish(0)
sys.exit(code)
"""


def run(shell: str, folder: Path, **variables: str) -> tuple[int, str, str, str]:
    """Exit code, output and error output of the command in a shell line that calls it $C; what its file holds."""
    file = folder / "file"
    environment = {**os.environ, "C": f"{sys.executable} {folder / 'command.py'} {file}", "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONUNBUFFERED", None)  # without a buffer, nothing is left to fail at the end
    (folder / "command.py").write_text(COMMAND)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr, file.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="the shell lines are those of Linux")
@pytest.mark.parametrize(
    ("shell", "code", "errors", "gone"),
    [
        ("$C | head -1", 0, "on the other one\n", True),
        ("$C >&-", 0, "on the other one\n", False),
        ("$C 2>&-", 0, "", False),
        ("$C <&- >&- 2>&-", 0, "", False),
        ("$C 2>/dev/full", 0, "", False),
        ("$C >/dev/full 2>/dev/full", 2, "", False),
        (
            "$C >/dev/full",
            2,
            "on the other one\nerror: standard output cannot be written: no space left on device; lead it elsewhere\n",
            False,
        ),
    ],
)
def test_the_work_is_done_whatever_becomes_of_its_lines(
    tmp_path: Path, shell: str, code: int, errors: str, gone: bool
) -> None:
    found, _, said, file = run(shell, tmp_path)
    assert (found, said) == (code, errors)
    assert file == f"all of it True {gone}"


@pytest.mark.parametrize(
    ("encoding", "last"), [("ascii", r"\x1b[31m \xff \xf6 \u6c49"), ("utf-8", r"\x1b[31m \xff ö 汉")]
)
def test_every_name_can_be_shown(tmp_path: Path, encoding: str, last: str) -> None:
    code, output, _, _ = run("$C", tmp_path, PYTHONIOENCODING=encoding)
    assert code == 0
    assert output.splitlines()[-1] == last


def test_streams_are_put_back_and_warnings_are_silent_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with terminal():
            warnings.warn("of a library", stacklevel=1)
            assert os.environ["PYTHONWARNINGS"] == "ignore"
            print("a\x1bb", file=sys.stderr)
        assert not heard
        assert "PYTHONWARNINGS" not in os.environ
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().err == "a\\x1bb\n"


def test_a_stream_that_fails_is_left_alone() -> None:
    raw = io.StringIO()
    stream = PrintableStream(raw)
    assert stream.write("a\x07") == 2
    raw.close()
    assert stream.write("b") == 1
    stream.flush()
    assert isinstance(stream.fault, ValueError)


def test_bars_move_the_cursor_and_are_put_aside(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(), bars_shown():
        for _ in bar(range(2), "\x1b[2Jloud"):
            with bar_put_aside():
                print("a line", flush=True)
    output = capsys.readouterr()
    assert output.out == "a line\na line\n"
    assert "\\x1b[2Jloud" in output.err
    assert "\r" in output.err
    blank = [part for part in output.err.split("\r") if part and not part.strip()]
    assert len(blank) >= 2, "the bar was wiped away for each line"
