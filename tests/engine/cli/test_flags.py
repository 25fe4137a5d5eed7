"""The parsers that are made from the options: every flag there is, its other names, and what it refuses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import pytest

from engine.cli import detect, train, val
from engine.cli.flags import options_parser, parse
from engine.errors import EngineError
from engine.flag import flags_of
from engine.options import DetectOptions, ResumeOptions, TrainOptions, ValOptions

# As they were before the parsers were made from the options, and --strict and --max-pixels, which came later; names of
# one flag are joined by a slash.
FLAGS: dict[type, str] = {
    TrainOptions: (
        "--cfg --weights --data --hyp --epochs --batch-size/--batch --imgsz/--img/--img-size --rect --noval "
        "--noautoanchor --noplots --cache --device --optimizer --workers --project --name --exist-ok --cos-lr "
        "--label-smoothing --patience --freeze --save-period --seed --strict --max-pixels --model-budget"
    ),
    ValOptions: (
        "--weights --cfg --data --imgsz/--img/--img-size --batch-size/--batch --conf-thres --iou-thres --max-det "
        "--task --device --workers --half --bf16 --save-json --verbose --project --name --exist-ok --strict "
        "--max-pixels --model-budget"
    ),
    DetectOptions: (
        "--weights --cfg --source --imgsz/--img/--img-size --conf-thres --iou-thres --max-det --device --view-img "
        "--save-txt --save-conf --save-crop --save-json --nosave --classes --agnostic-nms --project --name --exist-ok "
        "--line-thickness --hide-labels --hide-conf --half --bf16 --fp32 --vid-stride --max-pixels --model-budget"
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
        if not isinstance(default, bool) and default not in (None, "", ()):
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
        (lambda: TrainOptions(epochs=-1), "--epochs: -1 is not a whole number of at least 1"),
        (lambda: TrainOptions(epochs=True), "--epochs: True is not a whole number"),
        (lambda: TrainOptions(optimizer="sgd"), "--optimizer: 'sgd' is not one of SGD, Adam, AdamW"),
        (lambda: TrainOptions(freeze=(0, -2)), "--freeze: -2 is not a whole number of at least 0"),
        (lambda: TrainOptions(label_smoothing=float("nan")), "--label-smoothing: nan is not a number between 0 and 1"),
        (lambda: ResumeOptions("a", cache="tape"), "--cache: 'tape' is not one of ram, disk"),
        (lambda: ValOptions("a", conf_thres=2), "--conf-thres: 2 is not a number between 0 and 1"),
        (lambda: ValOptions("a", task="speed"), "--task: 'speed' is not one of val, test, train"),
        (lambda: DetectOptions("a", "b", imgsz=(1, 2, 3)), "--imgsz: takes one number, or height and width"),
        (lambda: DetectOptions("a", "b", imgsz=640), "--imgsz: 640 is not a tuple; write (640,)"),
        (lambda: DetectOptions("a", "b", imgsz=(0,)), "--imgsz: 0 is not a whole number of at least 1"),
        (lambda: DetectOptions("a", "b", save_conf=True), "--save-conf: only says something together with --save-txt"),
    ],
)
def test_python_is_refused_what_the_command_line_is(make: Callable[[], object], message: str) -> None:
    with pytest.raises(EngineError) as caught:
        make()
    assert str(caught.value).startswith(message)


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
    with pytest.raises(EngineError, match="--name: '' is not a text that is not empty"):
        TrainOptions(name="")
    TrainOptions(weights="", cfg="", data="")  # as the idiom of YOLOv5 has it: not given
