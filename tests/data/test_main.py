"""`python -m data`: what it answers, and with which exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.__main__ import main


@pytest.mark.parametrize(
    ("argv", "code", "expected"),
    [
        ([], 2, "usage: python -m data DATA"),
        (["--help"], 0, "python -m data convert DATA"),
        (["nothing.yaml"], 2, "error: nothing.yaml: no such data-set YAML"),
        (["convrt", "--help"], 0, "Look at a data set"),
        (["convrt", "x.yaml"], 2, "unrecognized arguments: x.yaml"),
        (["convert", "--help"], 0, "--to {coco,yolo}"),
        (["convert", "x.yaml"], 2, "the following arguments are required: --to"),
        (["convert", "x.yaml", "--to", "voc"], 2, "invalid choice: 'voc'"),
        (["convert", "x.yaml", "--t", "yolo"], 2, "unrecognized arguments: --t; did you mean --to?"),
    ],
)
def test_answers(argv: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        given = main(argv)
    except SystemExit as end:  # argparse's way out
        given = int(end.code or 0)
    assert given == code
    assert expected in "".join(capsys.readouterr())


def test_the_demo(few_demo_pictures: None, cache_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    train, val = capsys.readouterr().out.splitlines()
    assert train.startswith("train: 6 images, ")
    assert val.startswith("val: 4 images, ")
