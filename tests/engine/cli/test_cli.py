"""Exit codes and flag types."""

from __future__ import annotations

import argparse
import errno
import io
import logging
from collections.abc import Sequence

import pytest
import torch

from data.errors import ImageError
from engine.cli import flags
from engine.cli import run as cli
from engine.cli.train import parse_options
from engine.device import detection_precision, precision_of, select_device
from engine.errors import EngineError
from engine.flag import whole
from engine.options import TrainOptions
from files.printable import Lines
from models.errors import ConfigError


def failing(error: BaseException) -> cli.Main:
    def main(argv: Sequence[str] | None) -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("a.yaml: row 3:\nwrong"), "error: a.yaml: row 3: wrong\n"),
        (ImageError("b.jpg: empty"), "error: b.jpg: empty\n"),
        (EngineError("c"), "error: c\n"),
        (FileNotFoundError(2, "No such file or directory", "d"), "error: d: no such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_cli(failing(error)) == 2
    assert capsys.readouterr().err.startswith(line)


def test_defects_of_ours_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        cli.run_cli(failing(ZeroDivisionError()))


def test_interrupt() -> None:
    assert cli.run_cli(failing(KeyboardInterrupt())) == 130


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (flags.positive_int, {"1": 1, "640": 640}, ["0", "-1", "1.5", "x"]),
        (flags.argument_type(whole(0, 9)), {"0": 0, "9": 9}, ["-1", "nan", "10", "9" * 5000]),
        (flags.unit_interval, {"0": 0.0, "1": 1.0, ".25": 0.25}, ["1.1", "-0.1", "nan", "x"]),
    ],
)
def test_flag_types(kind: type, good: dict[str, float], bad: list[str]) -> None:
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError):
            kind(text)


def test_devices() -> None:
    assert select_device("cpu") == torch.device("cpu")
    with pytest.raises(EngineError, match="--device 99: "):
        select_device("99")
    with pytest.raises(EngineError, match="--device gpu: not a device"):
        select_device("gpu")
    for spec, line in (
        ("0,1", "--device 0,1: not a device; one process uses one GPU; give one number, such as 0"),
        ("-1", "--device -1: not a device"),
        ("cuda:", "--device cuda:: not a device"),
        ("9" * 5000, f"--device {'9' * 37}...: not a device"),
        ("cpu\x1b[2J", "--device 'cpu\\x1b[2j': not a device"),
        ("\u0663", "--device \u0663: not a device"),
    ):
        with pytest.raises(EngineError) as caught:
            select_device(spec)
        assert str(caught.value).startswith(line)
    with pytest.raises(EngineError, match="exclude each other"):
        precision_of(torch.device("cuda"), half=True, bf16=True)
    with pytest.raises(EngineError, match="--half: float16 needs a GPU"):
        precision_of(torch.device("cpu"), half=True)


@pytest.mark.parametrize(
    ("count", "spec", "expected"),
    [
        (0, "cuda", "--device cuda: no CUDA devices are available here; use --device cpu"),
        (0, "7", "--device 7: no CUDA devices are available here; use --device cpu"),
        (1, "cuda:1", "--device cuda:1: 1 CUDA device is available here; use --device cpu, or a number from 0 to 0"),
        (2, "7", "--device 7: 2 CUDA devices are available here; use --device cpu, or a number from 0 to 1"),
        (2, "cuda:1", "cuda:1"),
        (2, "1", "cuda:1"),
        (2, " CUDA ", "cuda:0"),
    ],
)
def test_numbers_of_gpus(count: int, spec: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    try:
        found = str(select_device(spec))
    except EngineError as error:
        found = str(error)
    assert found == expected


@pytest.mark.parametrize(
    ("device", "capability", "flags", "expected"),
    [
        ("cpu", None, {}, torch.float32),
        ("cpu", None, {"bf16": True}, torch.bfloat16),
        ("cuda", (9, 0), {}, torch.float16),
        ("cuda", (6, 1), {}, torch.float32),
        ("cuda", (9, 0), {"fp32": True}, torch.float32),
        ("cuda", (9, 0), {"bf16": True}, torch.bfloat16),
        ("cuda", (6, 1), {"half": True}, torch.float16),
    ],
)
def test_precision_of_detection(device, capability, flags, expected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert detection_precision(torch.device(device), **flags) == expected
    with pytest.raises(EngineError, match="--fp32 excludes"):
        detection_precision(torch.device(device), bf16=True, fp32=True)


def test_train_flags() -> None:
    options = parse_options(["--cfg", "yolov5n.yaml", "--img", "320", "--batch", "8", "--freeze", "3", "--cache"])
    assert isinstance(options, TrainOptions)
    assert (options.cfg, options.imgsz, options.batch_size, options.freeze) == ("yolov5n.yaml", 320, 8, (0, 1, 2))
    assert options.cache == "ram"
    assert parse_options(["--freeze", "0", "4"]) == TrainOptions(freeze=(0, 4))
    assert parse_options([]) == TrainOptions()


def test_resume_without_a_run_is_one_line(tmp_path: object) -> None:
    with pytest.raises(EngineError, match=r"--resume: no last\.pt under"):
        parse_options(["--resume", "--project", str(tmp_path)])


def test_wrong_flag_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(["--epoch-count", "3"])
    assert caught.value.code == 2
    assert "--epoch-count" in capsys.readouterr().err


def test_our_lines_are_shown_and_those_of_libraries_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: Sequence[str] | None) -> int:
        logging.getLogger("matplotlib.font_manager").warning("findfont: no such family")
        log = logging.getLogger("engine.training.loop")
        log.info("%s: %.2f of %d\n%s", "a\x1b[2J\nb", 0.5, 3, Lines("row 1\nrow\x1b2"))
        log.info("no arguments: 100%")
        log.debug("too much")
        return 0

    assert cli.run_cli(main) == 0
    assert capsys.readouterr().out == "a\\x1b[2J\\nb: 0.50 of 3\nrow 1\nrow\\x1b2\nno arguments: 100%\n"
    assert cli.run_cli(main) == 0
    assert capsys.readouterr().out.count("no arguments") == 1, "nobody listens twice"


def test_help_that_nobody_can_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(SystemExit) as caught:
        cli.run_cli(lambda argv: int(bool(parse_options(argv))), ["--help"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: standard output cannot be written: no space left on device; ")
