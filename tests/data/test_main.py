"""`python -m data`: what it answers, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
        (["convert", "x.yaml", "--to", "yolo", "--out", ""], 2, "argument --out: is empty; write a folder, or leave"),
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


def test_the_demo(
    few_demo_pictures: None,
    cache_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    train, val, sheet = capsys.readouterr().out.splitlines()
    assert train.startswith("train: 6 images, ")
    assert val.startswith("val: 4 images, ")
    assert sheet == "sheet: demo-labels.png"
    assert [path.name for path in tmp_path.iterdir()] == ["demo-labels.png"]


def test_what_the_scan_does_not_say(
    folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, images = folder.write()
    folder.document["annotations"] = folder.document["annotations"][:1]
    (folder.root / "val.json").write_text(json.dumps(folder.document))
    entry = f"{{images: {images}, annotations: %s}}"
    yaml = tmp_path / "my.yaml"
    yaml.write_text(f"train: {entry % folder.annotations}\nval: {entry % (folder.root / 'val.json')}\n")
    drawn: list[Any] = []
    monkeypatch.setattr("data.sheet.page.write_sheet", lambda *given: drawn.append(given))
    assert main([str(yaml), "--out", str(tmp_path / "x.PNG"), "--imgsz", "320"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "val: no object of cat",
        "val: all pictures are in the training as well, such as 005.png: figures flatter",
        f"sheet: {tmp_path / 'x.PNG'}",
    ]
    ((file, title, splits, network),) = drawn
    assert (file, title, list(splits), network.imgsz) == (tmp_path / "x.PNG", str(yaml), ["train", "val"], 320)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--out", "missing/x.png"], "error: missing/x.png: no such folder; make it, or choose another --out"),
        (["--out", "x.jpg"], "'x.jpg' is no PNG; give a name that ends in .png"),
        (["--imgsz", "0"], "'0' is no size of a network's input"),
        (["--imgsz", "9" * 40], "is no size of a network's input"),
    ],
)
def test_where_no_sheet_can_be(
    folder: Any, flags: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations, images = folder.write()
    entry = f"{{images: {images}, annotations: {annotations}}}"
    (folder.root / "my.yaml").write_text(f"train: {entry}\nval: {entry}\n")
    monkeypatch.chdir(folder.root)
    try:
        code = main(["my.yaml", *flags])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert expected in capsys.readouterr().err
