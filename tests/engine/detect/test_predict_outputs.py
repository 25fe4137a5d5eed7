"""What detection writes: annotated pictures, labels, crops and predictions.json, and the names of these files."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from engine.cli.detect import detect
from engine.cli.run import run_cli
from engine.detect import output as detect_output
from engine.errors import EngineError
from files.faults import OutputError
from models.heads.base import Predictions
from tests.engine.detect.colour_backend import BLUE, ColourBackend, draw, run, save, setup, tree


def test_the_annotated_picture_shows_the_box(tmp_path: Path) -> None:
    path = save(tmp_path / "in/photo.png", draw((240, 320), red=(100, 100, 200, 200)))
    original = path.read_bytes()
    folder = run(tmp_path, path)
    assert tree(folder) == ["photo.png"]
    assert path.read_bytes() == original
    drawn, before = cv2.imread(str(folder / "photo.png")), cv2.imread(str(path))
    changed = (drawn != before).any(axis=2)
    assert changed[100, 100:200].all(), "the upper edge"
    assert not changed[110:190, 110:190].any(), "the inside"
    assert changed[80:100, 100:140].any(), "the label"
    hidden = cv2.imread(str(run(tmp_path, path, name="plain", hide_labels=True) / "photo.png"))
    assert not (hidden != before).any(axis=2)[:99].any()
    without_score = cv2.imread(str(run(tmp_path, path, name="noconf", hide_conf=True) / "photo.png"))
    assert 0 < (without_score != before).any(axis=2)[:99].sum() < changed[:99].sum()
    thick = cv2.imread(str(run(tmp_path, path, name="thick", line_thickness=9, hide_labels=True) / "photo.png"))
    assert (thick != before).any(axis=2).sum() > 3 * (hidden != before).any(axis=2).sum()


def test_save_txt_is_normalised_and_has_scores_on_demand(tmp_path: Path) -> None:
    path = save(tmp_path / "in/photo.png", draw((256, 320), red=(32, 64, 96, 128), blue=(160, 128, 320, 256)))
    save(tmp_path / "in/nothing.png", draw((256, 320)))
    folder = run(tmp_path, path.parent, save_txt=True, nosave=True)
    assert tree(folder) == ["labels/photo.txt"]
    assert (folder / "labels/photo.txt").read_text() == "0 0.2 0.375 0.2 0.25\n1 0.75 0.75 0.5 0.5\n"
    folder = run(tmp_path, path.parent, save_txt=True, save_conf=True, nosave=True, name="conf")
    assert (folder / "labels/photo.txt").read_text() == "0 0.2 0.375 0.2 0.25 0.9\n1 0.75 0.75 0.5 0.5 0.6\n"


def test_save_crop_cuts_the_clean_picture(tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", draw((256, 320), red=(32, 64, 96, 128)))
    save(tmp_path / "in/b.png", draw((256, 320), red=(0, 0, 64, 64), blue=(160, 128, 320, 256)))
    folder = run(tmp_path, tmp_path / "in", save_crop=True, nosave=True)
    assert tree(folder) == ["crops/blue/b.jpg", "crops/red/a.jpg", "crops/red/b.jpg"]
    crop = cv2.imread(str(folder / "crops/blue/b.jpg"))
    assert crop.shape == (128, 160, 3)
    assert np.abs(crop.astype(int) - BLUE).max() < 8, "no line of a box in it"


def test_save_json_is_a_coco_results_list_with_original_ids(tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", draw((256, 320), red=(32, 64, 96, 128)))
    save(tmp_path / "in/b.png", draw((256, 320)))
    save(tmp_path / "in/c.png", draw((256, 320), blue=(160, 128, 320, 256)))
    folder = run(tmp_path, tmp_path / "in", save_json=True, nosave=True)
    assert json.loads((folder / "predictions.json").read_text()) == [
        {"image_id": 1, "category_id": 7, "bbox": [32, 64, 64, 64], "score": 0.9, "file_name": "a.png"},
        {"image_id": 3, "category_id": 3, "bbox": [160, 128, 160, 128], "score": 0.6, "file_name": "c.png"},
    ]


def test_pictures_named_by_numbers_have_these_as_ids_unless_they_repeat(tmp_path: Path) -> None:
    scene = draw((256, 320), red=(32, 64, 96, 128))
    for name in ("000000000139.png", "42.png"):
        save(tmp_path / "in" / name, scene)
    folder = run(tmp_path, tmp_path / "in", save_json=True, nosave=True)
    assert [entry["image_id"] for entry in json.loads((folder / "predictions.json").read_text())] == [139, 42]
    save(tmp_path / "in/042.png", scene)
    folder = run(tmp_path, tmp_path / "in", save_json=True, nosave=True, name="again")
    assert [entry["image_id"] for entry in json.loads((folder / "predictions.json").read_text())] == [1, 2, 3]


def test_no_detections_make_an_empty_list(tmp_path: Path) -> None:
    folder = run(tmp_path, save(tmp_path / "a.png", draw((64, 64))), save_json=True, save_txt=True, save_crop=True)
    assert tree(folder) == ["a.png", "predictions.json"]
    assert json.loads((folder / "predictions.json").read_text()) == []


def test_equal_names_do_not_overwrite_each_other(tmp_path: Path) -> None:
    red = draw((256, 320), red=(32, 64, 96, 128))
    for name in ("x/a.png", "y/a.png", "y/a.jpg", "y/A-2.png"):
        save(tmp_path / "in" / name, red)
    folder = run(tmp_path, tmp_path / "in/**/*", save_txt=True, save_crop=True, save_json=True)
    stems = ["a", "A-2", "a-3", "a-4"]
    assert tree(folder) == sorted(
        ["a.png", "A-2.png", "a-3.jpg", "a-4.png", "predictions.json"]
        + [f"labels/{stem}.txt" for stem in stems]
        + [f"crops/red/{stem}.jpg" for stem in stems]
    )
    names = [entry["file_name"] for entry in json.loads((folder / "predictions.json").read_text())]
    assert names == ["x/a.png", "y/A-2.png", "y/a.jpg", "y/a.png"]


def test_runs_are_numbered_and_exist_ok_replaces(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", draw((256, 320), red=(32, 64, 96, 128)))
    run(tmp_path, path, save_txt=True)
    detect(setup(tmp_path, path), ColourBackend())
    assert sorted(folder.name for folder in (tmp_path / "runs").iterdir()) == ["exp", "exp2"]
    save(path, draw((256, 320)))
    folder = run(tmp_path, path, save_txt=True, exist_ok=True)
    assert tree(folder) == ["a.png"], "the label file of the earlier run is out of date"
    assert (cv2.imread(str(folder / "a.png")) == 128).all()


def test_nosave_alone_writes_nothing(tmp_path: Path) -> None:
    detect(setup(tmp_path, save(tmp_path / "a.png", draw((64, 64))), nosave=True), ColourBackend())
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir(mode=0o555)
    with pytest.raises(EngineError, match="--project"):
        detect(setup(tmp_path, save(tmp_path / "a.png", draw((64, 64)))), ColourBackend())


def test_a_project_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(EngineError, match="--project"):
        detect(setup(tmp_path, save(tmp_path / "a.png", draw((64, 64)))), ColourBackend())


@pytest.mark.parametrize("name", ["photo.webp", "photo.bmp", "photo.tif", "scan.pgm", "anim.gif"])
def test_formats_keep_their_ending_where_opencv_writes_it(tmp_path: Path, name: str) -> None:
    encoded = io.BytesIO()
    kind = {"webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "pgm": "PPM", "gif": "GIF"}[name.split(".")[1]]
    Image.new("L" if kind in ("PPM", "GIF") else "RGB", (64, 48), 99).save(encoded, kind)
    (tmp_path / name).write_bytes(encoded.getvalue())
    (written,) = run(tmp_path, tmp_path / name).iterdir()
    assert written.name == (name if kind in ("WEBP", "BMP", "TIFF") else f"{Path(name).stem}.jpg")
    assert cv2.imread(str(written)).shape == (48, 64, 3)


def test_class_names_that_are_no_folder_names(tmp_path: Path) -> None:
    backend = ColourBackend(names=("../red/or:not", ".."))
    image = draw((256, 320), red=(32, 64, 96, 128), blue=(160, 128, 320, 256))
    options = setup(tmp_path, save(tmp_path / "a.png", image), save_crop=True, nosave=True)
    assert detect(options, backend) == 0
    assert tree(tmp_path / "runs/exp") == ["crops/_/a.jpg", "crops/_red_or_not/a.jpg"]


def test_unique_names_ignore_case() -> None:
    unique = detect_output.UniqueNames()
    assert [unique(name) for name in ("a", "A", "a", "a-2", "b")] == ["a", "A-2", "a-3", "a-2-2", "b"]


@pytest.mark.parametrize("stem", ["x" * 246, "汉" * 82, "b\udcff" * 120], ids=["ascii", "three bytes each", "no UTF-8"])
def test_the_longest_names_with_every_output(tmp_path: Path, stem: str) -> None:
    save(tmp_path / "in/a.png", draw((256, 320), red=(32, 64, 96, 128))).rename(tmp_path / f"in/{stem}.png")
    encoded = io.BytesIO()
    frames = [Image.fromarray(draw((64, 64), red=(8, 8, 8 * n, 8 * n))[..., ::-1]) for n in (3, 4)]
    frames[0].save(encoded, "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / f"in/{stem}v.gif").write_bytes(encoded.getvalue())
    options = setup(tmp_path, tmp_path / "in", save_txt=True, save_crop=True, save_json=True)
    assert detect(options, ColourBackend(names=("red" * 100, "half \ud83d"))) == 0
    folder = tmp_path / "runs/exp"
    found = tree(folder)
    assert len([name for name in found if name.startswith("labels/")]) == 3
    assert len([name for name in found if name.startswith("crops/redred")]) == 3
    assert len([name for name in found if name.endswith(".mp4")]) == 1
    assert f"{stem}.png" in found
    files = {entry["file_name"] for entry in json.loads((folder / "predictions.json").read_text())}
    assert files == {f"{stem}.png", f"{stem}v.gif"}


def test_a_picture_that_is_too_wide_for_a_jpeg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = save(tmp_path / "in/wide.jp2", draw((40, 70_000), red=(0, 4, 69_000, 36)))
    folder = run(tmp_path, wide, save_crop=True, save_txt=True, imgsz=(320,))
    assert tree(folder) == ["crops/red/wide.png", "labels/wide.txt", "wide.png"]
    assert cv2.imread(str(folder / "wide.png")).shape == (40, 70_000, 3)
    said = capsys.readouterr().err.splitlines()
    assert said[0].endswith("px are more than a JPG file holds; written as wide.png")
    assert said[1] == (
        f"warning: {folder / 'wide.jpg'}: 70000x40 px are more than a JPG file holds; written as wide.png"
    )
    assert len(said) == 2


def test_a_picture_that_cannot_be_encoded_takes_nothing_else_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, draw((256, 320), red=(32, 64, 96, 128)))
    encode, calls = cv2.imencode, iter(range(100))
    monkeypatch.setattr(cv2, "imencode", lambda *given: (False, None) if next(calls) < 2 else encode(*given))
    assert detect(setup(tmp_path, tmp_path / "in", save_json=True), ColourBackend()) == 1
    assert tree(tmp_path / "runs/exp") == ["b.png", "predictions.json"]
    said = capsys.readouterr().err
    assert f"error: {tmp_path / 'runs/exp/a.png'}: no format holds a picture of 320x256 px" in said
    assert "1 of 2 files could not be read or written" in said


def test_a_full_disk_during_pictures(tmp_path: Path, small_disk: Path) -> None:
    noise = np.random.default_rng(0)
    for number in range(20):
        save(tmp_path / f"in/{number}.png", noise.integers(0, 256, (160, 160, 3), np.uint8))
    options = replace(setup(tmp_path, tmp_path / "in", save_json=True), project=str(small_disk))
    with pytest.raises(OutputError, match=r"exp/\d+\.png: cannot be written: the disk is full"):
        detect(options, ColourBackend())
    found = tree(small_disk / "exp")
    assert 8 < len(found) < 20, "those that fitted"
    assert not [name for name in found if ".tmp" in name]


def test_a_removed_folder_is_not_made_again(tmp_path: Path) -> None:
    class Removing(ColourBackend):
        def __call__(self, images: Tensor) -> Predictions:
            if len(self.shapes) == 1:
                shutil.rmtree(tmp_path / "runs")
            return super().__call__(images)

    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, draw((256, 320), red=(32, 64, 96, 128)))
    with pytest.raises(OutputError, match=r"crops: cannot be written: its folder is not there any more"):
        detect(setup(tmp_path, tmp_path / "in", save_crop=True), Removing())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("changes", "pictures"), [({}, 3), ({"nosave": True}, 1)], ids=["files", "lines alone"])
def test_a_reader_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, bool], pictures: int
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "in" / name, draw((256, 320), red=(32, 64, 96, 128)))

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    backend = ColourBackend()
    assert run_cli(lambda argv: detect(setup(tmp_path, tmp_path / "in", **changes), backend)) == 0
    assert len(backend.shapes) == pictures


def test_names_in_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "in/a.png", draw((64, 64), red=(0, 0, 32, 32))).rename(tmp_path / "in/a\x1b[2J\n\udcff.png")
    backend = ColourBackend(names=("red\x1b[31m\n", "blue"))
    assert run_cli(lambda argv: detect(setup(tmp_path, tmp_path / "in", save_json=True), backend)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"image 1/1 {tmp_path}/in/a\\x1b[2J\\n\\xff.png: 1 red\\x1b[31m\\n, ")
    (entry,) = json.loads((tmp_path / "runs/exp/predictions.json").read_text())
    assert entry["file_name"] == "a\x1b[2J\n\udcff.png", "data keep the name"


def test_a_name_that_is_taken_by_a_folder_takes_nothing_else_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, draw((256, 320), red=(32, 64, 96, 128)))
    (tmp_path / "runs/exp/a.png/x").mkdir(parents=True)
    (tmp_path / "runs/exp/labels/b.txt").mkdir(parents=True)
    options = setup(tmp_path, tmp_path / "in", save_txt=True, save_json=True, exist_ok=True)
    assert detect(options, ColourBackend()) == 1
    assert tree(tmp_path / "runs/exp") == ["b.png", "labels/a.txt", "predictions.json"]
    said = capsys.readouterr().err
    assert f"error: {tmp_path / 'runs/exp/a.png'}: cannot be written: is a folder; remove it" in said
    assert f"error: {tmp_path / 'runs/exp/labels/b.txt'}: cannot be written: is a folder; remove it" in said
    assert "2 of 2 files could not be read or written" in said
