"""The parsers that are made from the options: every flag there is, its other names, and what it refuses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from engine.cli import detect, train, val
from engine.cli.flags import options_parser, parse
from engine.errors import EngineError
from engine.flag import flags_of
from engine.options import DetectOptions, ExportOptions, ResumeOptions, TrainOptions, ValOptions

# As they were before the parsers were made from the options, and those that came later (--strict, --max-pixels,
# detect.py's --data, export.py's); names of one flag are joined by a slash.
FLAGS: dict[type, str] = {
    TrainOptions: (
        "--cfg --weights --data --hyp --epochs --batch-size/--batch --imgsz/--img/--img-size --rect --noval "
        "--noautoanchor --noplots --cache --device --optimizer --workers --project --name --exist-ok --cos-lr "
        "--label-smoothing --patience --freeze --save-period --seed --strict --max-pixels --model-budget"
    ),
    ValOptions: (
        "--weights --cfg --data --imgsz/--img/--img-size --batch-size/--batch --conf-thres --iou-thres --max-det "
        "--task --device --workers --half --bf16 --save-json --benchmark --verbose --project --name --exist-ok "
        "--strict --max-pixels --model-budget"
    ),
    DetectOptions: (
        "--weights --cfg --source --imgsz/--img/--img-size --conf-thres --iou-thres --max-det --data --device "
        "--view-img --save-txt --save-conf --save-crop --save-json --nosave --classes --agnostic-nms --project --name "
        "--exist-ok --line-thickness --hide-labels --hide-conf --half --bf16 --fp32 --vid-stride --max-pixels "
        "--model-budget"
    ),
    ExportOptions: (
        "--weights --include --cfg --data --imgsz/--img/--img-size --batch-size/--batch --dynamic --opset --half "
        "--int8 --nms --conf-thres --iou-thres --topk-all --agnostic-nms --simplify --simplify-blocks --model-budget"
    ),
}


@pytest.mark.parametrize("options", FLAGS)
def test_the_flags_are_those_that_people_know(options: type) -> None:
    actions = options_parser(options, "x", "")._actions
    found = {"/".join(action.option_strings) for action in actions if action.dest != "help"}
    assert found == set(FLAGS[options].split())
    required = {action.dest for action in actions if action.required}
    assert required == {field.name for field in fields(options) if field.default is MISSING}


@pytest.mark.parametrize("options", FLAGS)
def test_every_option_is_a_flag_with_a_help_that_names_its_default(options: Any) -> None:
    assert [field.name for field, _ in flags_of(options)] == [field.name for field in fields(options)]
    for action in options_parser(options, "x", "")._actions:
        assert action.help
        default = getattr(options, action.dest, None)
        if isinstance(default, tuple):
            default = " ".join(default)
        if not isinstance(default, bool) and default not in (None, ""):
            assert f"(default: {default})" in action.help or "(default: as the data-set YAML says" in action.help


@pytest.mark.parametrize("options", FLAGS)
def test_help_of_python_says_what_that_of_the_command_line_says(options: Any) -> None:
    text = inspect.getdoc(options)
    assert text is not None
    assert text.startswith("What ")
    for field, flag in flags_of(options):
        assert f"\n    {field.name}: {flag.help}" in text


def test_what_is_not_given_is_absent() -> None:
    parser = options_parser(TrainOptions, "x", "")
    assert parse(parser, []) == {}
    assert parse(parser, ["--freeze", "1", "2", "--seed", "0"]) == {"freeze": (1, 2), "seed": 0}


@pytest.mark.parametrize(
    ("main", "argv"),
    [
        (train.parse_options, "--epochs 0"),
        (train.parse_options, "--batch x"),
        (train.parse_options, "--cache tape"),
        (train.parse_options, "--optimizer sgd"),
        (train.parse_options, "--label-smoothing 1.5"),
        (train.parse_options, "--patience -1"),
        (train.parse_options, "--freeze"),
        (train.parse_options, "--workers 1.5"),
        (val.parse_options, "--weights a --task speed"),
        (val.parse_options, ""),
        (detect.parse_options, "--weights a"),
        (detect.parse_options, "--weights a --source b --max-det 0"),
    ],
)
def test_wrong_values_exit_with_2(main: Callable[..., object], argv: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv.split())
    assert caught.value.code == 2
    assert "usage: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainOptions(epochs=-1), "--epochs: -1 is not a whole number from 1 to 1,000,000"),
        (lambda: TrainOptions(epochs=True), "--epochs: True is not a whole number"),
        (lambda: TrainOptions(optimizer="sgd"), "--optimizer: 'sgd' is not one of SGD, Adam, AdamW"),
        (lambda: TrainOptions(freeze=(0, -2)), "--freeze: -2 is not a whole number from 0 to 10,000"),
        (lambda: TrainOptions(label_smoothing=float("nan")), "--label-smoothing: nan is not a number from 0 to 1"),
        (lambda: ResumeOptions("a", cache="tape"), "--cache: 'tape' is not one of ram, disk"),
        (lambda: ValOptions("a", conf_thres=2), "--conf-thres: 2 is not a number from 0 to 1"),
        (lambda: ValOptions("a", task="speed"), "--task: 'speed' is not one of val, test, train"),
        (lambda: TrainOptions(noval="no"), "--noval: 'no' is not True or False"),  # type: ignore[arg-type]
        (lambda: TrainOptions(cfg=3), "--cfg: 3 is not a text"),  # type: ignore[arg-type]
        (lambda: TrainOptions(data="a\0"), "--data: 'a\\x00' has a zero character"),
        (lambda: TrainOptions(device=0), "--device: 0 is not a text"),  # type: ignore[arg-type]
        (lambda: TrainOptions(name="a\nb"), "--name: 'a\\nb' has characters that cannot be shown"),
        (lambda: TrainOptions(seed=10**5000), "--seed: a number of thousands of digits is not a whole number"),
        (lambda: ResumeOptions("a", device=False), "--device: False is not a text"),  # type: ignore[arg-type]
        (lambda: DetectOptions("a", "b", classes=(1,)), "--classes: 1 is not a text"),  # type: ignore[arg-type]
        (lambda: DetectOptions("a", "b", imgsz=(1, 2, 3)), "--imgsz: takes one number, or height and width"),
        (lambda: DetectOptions("a", "b", imgsz=640), "--imgsz: 640 is not a tuple; write (640,)"),
        (lambda: DetectOptions("a", "b", imgsz=(0,)), "--imgsz: 0 is not a whole number from 1 to 65,536"),
        (lambda: DetectOptions("a", "b", save_conf=True), "--save-conf: only says something together with --save-txt"),
    ],
)
def test_python_is_refused_what_the_command_line_is(make: Callable[[], object], message: str) -> None:
    with pytest.raises(EngineError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_paths_become_texts(tmp_path: Path) -> None:
    """A checkpoint keeps plain values: a path in it would make it one that cannot be read."""
    options = TrainOptions(project=tmp_path, data=tmp_path / "a.yaml")  # type: ignore[arg-type]
    assert (options.project, options.data) == (str(tmp_path), str(tmp_path / "a.yaml"))


# Every number that a flag takes has an upper end; a value beyond it fills no memory and is no traceback.
LIMITS = (
    (train.parse_options, "--seed --imgsz --epochs --batch-size --workers --patience --save-period --freeze"),
    (train.parse_options, "--max-pixels --model-budget"),
    (val.parse_options, "--imgsz --batch-size --max-det --workers --max-pixels --model-budget"),
    (detect.parse_options, "--imgsz --max-det --line-thickness --vid-stride --max-pixels --model-budget"),
)


@pytest.mark.parametrize("value", [str(10**30), "9" * 5000, "-7"])
@pytest.mark.parametrize(("main", "name"), [(main, name) for main, names in LIMITS for name in names.split()])
def test_numbers_have_bounds(
    main: Callable[..., object], name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, value])
    assert caught.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.search(rf"argument {name}[^:]*: '-?\d+(\.\.\.)?'? is not a whole number from [01] to [\d,]+$", line), line
    assert len(line) < 200


@pytest.mark.parametrize("options", FLAGS)
def test_no_number_is_without_an_end(options: type) -> None:
    for field, flag in flags_of(options):
        assert flag.numbers is None or flag.numbers.most < 10**13, field.name


@pytest.mark.parametrize("name", ["../x", "..", ".", "a/../../b", "/tmp/x", "a\x1b[2Jb", "a\udcffb"])
@pytest.mark.parametrize("options", [options for options in FLAGS if options is not ExportOptions])
def test_a_run_lies_below_its_project(options: type, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(options_parser(options, "x", ""), ["--name", name])
    line = capsys.readouterr().err.splitlines()[-1]
    assert "argument --name: " in line
    assert line.isprintable()
    assert parse(options_parser(TrainOptions, "x", ""), ["--name", "bccd/first"]) == {"name": "bccd/first"}


def test_options_survive_a_checkpoint() -> None:
    options = TrainOptions(cfg="a.yaml", freeze=(1, 2), label_smoothing=0.1)
    assert TrainOptions.from_dict(options.as_dict()) == options
    assert options.as_dict()["freeze"] == [1, 2]
    assert ResumeOptions("last.pt", workers=0, cache="ram").applied_to(options) == TrainOptions(
        cfg="a.yaml", freeze=(1, 2), label_smoothing=0.1, workers=0, cache="ram"
    )


def test_resume_is_a_flag_of_training() -> None:
    with pytest.raises(SystemExit):
        train.parse_options(["--resume", "a", "b"])
    assert train.parse_options(["--resume", "a.pt"]) == ResumeOptions("a.pt")


@pytest.mark.parametrize("text", ["", "  "])
@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (TrainOptions, "--name"),
        (TrainOptions, "--project"),
        (TrainOptions, "--data"),
        (ValOptions, "--weights"),
        (ValOptions, "--name"),
        (DetectOptions, "--source"),
        (DetectOptions, "--project"),
    ],
)
def test_an_empty_text_is_no_value(options: type, flag: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(options_parser(options, "x", ""), [flag, text])
    assert f"{flag}: is empty; write a value" in capsys.readouterr().err


def test_an_empty_name_is_refused_in_python_too() -> None:
    with pytest.raises(EngineError, match="--name: is empty; write a value"):
        TrainOptions(name="")
    TrainOptions(weights="", cfg="", data="")  # as the idiom of YOLOv5 has it: not given
