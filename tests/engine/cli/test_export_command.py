"""`export.py`: its table, its exit code, and the flags that exclude each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.export import main
from engine.cli.run import run_cli
from engine.exporting.check import Differences
from engine.exporting.export import Exported
from engine.options import ExportOptions
from files.exit_codes import ExitCode


def test_the_table_has_a_row_for_each_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def export(options: ExportOptions) -> list[Exported]:
        asked.append(options)
        found = Differences(0.0125, 0.0004, 800, 31.4, 15.7, 8)
        return [Exported(Path("a/best_fp16.onnx"), "onnx", "fp16", found, 4.25)]

    monkeypatch.setattr("engine.exporting.export.export", export)
    argv = "--weights a/best.pt --include onnx --half --imgsz 320 640 --nms --topk-all 7 --agnostic-nms"
    assert run_cli(main, argv.split()) == ExitCode.DONE
    expected = ExportOptions(
        "a/best.pt", include=("onnx",), half=True, imgsz=(320, 640), nms=True, topk_all=7, agnostic_nms=True
    )
    assert asked == [expected]
    output = capsys.readouterr().out
    (row,) = (line.split() for line in output.splitlines() if line.startswith("onnx "))
    assert row == ["onnx", "fp16", "4.2", "0.013", "0.0004", "31.4", "15.7"]
    assert "a/best_fp16.onnx: try it with val.py or detect.py --weights" in output


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("--include onxx", "argument --include: 'onxx' is no format; did you mean 'onnx'?"),
        ("--include zzz", "argument --include: 'zzz' is no format; known formats: "),
        ("--half --int8", "argument --half: excludes --int8; give one of them"),
        ("--imgsz 1 2 3", "argument --imgsz: takes one number, or height and width"),
    ],
)
def test_flags_that_are_refused(argv: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run_cli(main, ["--weights", "a.pt", *argv.split()])
    assert raised.value.code == ExitCode.BAD_INPUT
    assert line in capsys.readouterr().err.splitlines()[-1]


def test_weights_that_are_not_there_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert run_cli(main, ["--weights", str(tmp_path / "missing.pt")]) == ExitCode.BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert "missing.pt" in line
    assert list(tmp_path.iterdir()) == []
