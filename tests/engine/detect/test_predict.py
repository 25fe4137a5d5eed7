"""Detection with a network that finds coloured rectangles: what it reports must be where they are in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data.errors import DataError
from engine.backends import open_backend, register_backend
from engine.backends.base import _BY_SUFFIX
from engine.checkpoint import save_checkpoint
from engine.cli.detect import detect, parse_options
from engine.detect.predictor import Predictor, class_indices
from engine.errors import EngineError
from engine.options import DetectOptions
from models import build_model
from models.heads.base import Predictions
from tests.engine.detect.colour_backend import ColourBackend, draw, run, save, setup, tree


@pytest.mark.parametrize(
    ("hw", "red", "imgsz"),
    [
        ((240, 320), (40, 60, 120, 160), (320,)),
        ((600, 400), (10, 500, 390, 590), (320,)),
        ((400, 600), (500, 10, 590, 390), (320,)),
        ((75, 50), (5, 20, 30, 60), (320,)),
        ((333, 777), (100, 100, 500, 300), (640,)),
        ((400, 600), (500, 10, 590, 390), (320, 320)),
        ((600, 400), (0, 0, 400, 600), (256, 512)),
        ((20, 900), (300, 0, 600, 20), (320,)),
    ],
)
def test_boxes_land_where_the_rectangles_are(hw: tuple[int, int], red: tuple[int, ...], imgsz: tuple[int, ...]) -> None:
    backend = ColourBackend()
    found = Predictor(backend, imgsz=imgsz)(draw(hw, red))
    assert found.class_id.tolist() == [0]
    np.testing.assert_allclose(found.confidence, [0.9])
    # one pixel of the network's input, in pixels of the picture, for the rounding at the edges
    _, _, height, width = backend.shapes[0]
    tolerance = max(1.0, hw[0] / height, hw[1] / width) + 0.01
    np.testing.assert_allclose(found.xyxy[0], red, atol=tolerance)


@pytest.mark.parametrize(
    ("hw", "imgsz", "expected"),
    [
        ((240, 320), (320,), (256, 320)),
        ((600, 400), (320,), (320, 224)),
        ((400, 600), (640,), (448, 640)),
        ((100, 100), (), (320, 320)),
        ((400, 600), (300,), (224, 320)),
        ((400, 600), (200, 400), (224, 416)),
    ],
)
def test_the_input_is_a_rectangle_of_whole_strides(
    hw: tuple[int, int], imgsz: tuple[int, ...], expected: tuple[int, int]
) -> None:
    backend = ColourBackend()
    Predictor(backend, imgsz=imgsz)(draw(hw))
    assert backend.shapes == [(1, 3, *expected)]


def test_boxes_are_clipped_to_the_picture_and_those_in_the_border_are_gone() -> None:
    class Fixed(ColourBackend):
        def __call__(self, images: Tensor) -> Predictions:
            # a 320 x 240 picture lies 8 px below the top of its 320 x 256 input
            boxes = torch.tensor([[[-40.0, -22, 360, 278], [110, 0, 210, 6]]])
            return Predictions(boxes, torch.tensor([[[0.9, 0], [0, 0.8]]]))

    found = Predictor(Fixed())(draw((240, 320)))
    assert found.xyxy.tolist() == [[0, 0, 320, 240]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int) -> None:
    upright = draw((240, 320), red=(20, 30, 120, 90))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.ascontiguousarray(stored[..., ::-1])).save(path, exif=exif, quality=95)
    folder = run(tmp_path, path, save_json=True)
    (entry,) = json.loads((folder / "predictions.json").read_text())
    np.testing.assert_allclose(entry["bbox"], [20, 30, 100, 60], atol=1.5)
    assert cv2.imread(str(folder / "photo.jpg")).shape == (240, 320, 3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"conf_thres": 0.7}, ["7"]),
        ({"max_det": 1}, ["7"]),
        ({"classes": ("1",)}, ["3"]),
        ({"classes": ("blue",)}, ["3"]),
        ({"classes": ("red", "1")}, ["7", "3"]),
        ({"agnostic_nms": True}, ["7"]),
        ({"agnostic_nms": True, "iou_thres": 0.95}, ["7", "3"]),
        ({}, ["7", "3"]),
    ],
)
def test_flags_that_choose_detections(tmp_path: Path, changes: dict[str, Any], expected: list[str]) -> None:
    # red around blue: the boxes overlap by 0.81
    image = draw((320, 320), red=(100, 100, 200, 200), blue=(105, 105, 195, 195))
    folder = run(tmp_path, save(tmp_path / "a.png", image), save_json=True, nosave=True, **changes)
    entries = json.loads((folder / "predictions.json").read_text())
    assert [str(entry["category_id"]) for entry in entries] == expected


def test_classes_that_do_not_exist_are_refused() -> None:
    assert class_indices((), ("red", "blue")) is None
    with pytest.raises(EngineError, match="did you mean 'blue'"):
        class_indices(("blu",), ("red", "blue"))
    with pytest.raises(EngineError, match="from 0 to 1"):
        class_indices(("2",), ("red", "blue"))


def test_a_broken_file_among_many_is_reported_and_the_rest_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "in/a.png", draw((64, 64)))
    (tmp_path / "in/b.jpg").write_bytes(b"no picture")
    (tmp_path / "in/c.mp4").write_bytes(b"no video")
    save(tmp_path / "in/d.png", draw((64, 64), red=(10, 10, 40, 40)))
    assert detect(setup(tmp_path, tmp_path / "in"), ColourBackend()) == 1
    assert tree(tmp_path / "runs/exp") == ["a.png", "d.png"]
    output = capsys.readouterr()
    assert "image 1/4" in output.out
    assert "a.png: no detections, " in output.out
    assert "d.png: 1 red, " in output.out
    errors = output.err.splitlines()
    assert len(errors) == 3
    assert errors[0].startswith(f"error: {tmp_path}/in/b.jpg: ")
    assert errors[1].startswith(f"error: {tmp_path}/in/c.mp4: ")
    assert errors[2].startswith("2 of 4 files could not be read")


def test_a_single_broken_file_is_bad_input_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"b\.jpg: .*empty"):
        detect(setup(tmp_path, tmp_path / "b.jpg"), ColourBackend())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("hw", [(1, 1), (2, 3000), (3000, 2)])
def test_extreme_pictures(tmp_path: Path, hw: tuple[int, int]) -> None:
    folder = run(tmp_path, save(tmp_path / "a.png", draw(hw)), save_txt=True)
    assert cv2.imread(str(folder / "a.png")).shape == (*hw, 3)


def test_back_ends_are_found_by_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"known endings: .*\.pt, \.pth"):
        open_backend("model.engine", device=torch.device("cpu"))
    with pytest.raises(EngineError, match=r"no such weights file; check --weights"):
        open_backend(tmp_path / "missing.pt", device=torch.device("cpu"))
    monkeypatch.setattr("engine.backends.base._BY_SUFFIX", dict(_BY_SUFFIX))
    monkeypatch.setattr("engine.backends.base._BACKENDS", [])

    @register_backend(".colour")
    class Registered(ColourBackend):
        def __init__(self, weights: Path, *, device: torch.device, dtype: torch.dtype) -> None:
            super().__init__()
            self.weights = weights

    (tmp_path / "w.COLOUR").write_text("")
    backend = open_backend(tmp_path / "w.COLOUR", device=torch.device("cpu"))
    assert isinstance(backend, Registered)
    with pytest.raises(ValueError, match="already belong"):
        register_backend(".colour")(ColourBackend)


def test_a_checkpoint_of_another_ending_is_known_by_its_content(tmp_path: Path) -> None:
    model = build_model({"nc": 1, "backbone": [[-1, 1, "Conv", [8, 3, 2]]], "head": [[[0], 1, "Detect", ["nc"]]]})
    facts = {"names": ["a"], "category_ids": [1], "imgsz": 64, "epoch": 1}
    save_checkpoint(tmp_path / "weights.bin", {"model": model.state_dict(), "yaml": model.yaml, **facts})
    assert open_backend(tmp_path / "weights.bin", device=torch.device("cpu")).classes.names == ("a",)
    (tmp_path / "text.bin").write_text("text")
    with pytest.raises(EngineError, match=r"text\.bin: no back end for weights ending in '\.bin'; known endings: "):
        open_backend(tmp_path / "text.bin", device=torch.device("cpu"))


def test_flags_reach_the_options() -> None:
    argv = (
        "--weights w.pt --source s --imgsz 320 640 --conf-thres 0.1 --iou-thres 0.6 --max-det 9 --device cpu --view-img"
    )
    argv += " --save-txt --save-conf --save-crop --save-json --nosave --classes 0 person --agnostic-nms --project p"
    argv += " --name n --exist-ok --line-thickness 3 --hide-labels --hide-conf --half --bf16 --fp32 --vid-stride 2"
    options = parse_options(argv.split())
    files = {"save_txt": True, "save_conf": True, "save_crop": True, "save_json": True, "nosave": True}
    drawing = {"line_thickness": 3, "hide_labels": True, "hide_conf": True, "view_img": True}
    folder = {"project": "p", "name": "n", "exist_ok": True}
    chosen = {"conf_thres": 0.1, "iou_thres": 0.6, "max_det": 9, "classes": ("0", "person"), "agnostic_nms": True}
    network: dict[str, Any] = {"imgsz": (320, 640), "device": "cpu", "half": True, "bf16": True, "vid_stride": 2}
    network["fp32"] = True
    expected = DetectOptions("w.pt", "s", **files, **drawing, **folder, **chosen, **network)  # type: ignore[arg-type]
    assert options == expected
    assert parse_options(["--weights", "w.pt", "--source", "s"]) == DetectOptions("w.pt", "s")


@pytest.mark.parametrize("argv", ["--imgsz 1 2 3", "--save-conf", "--conf-thres 1.5", "--vid-stride 0", "--imgsz x"])
def test_wrong_flags_exit_with_2(argv: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(["--weights", "w.pt", "--source", "s", *argv.split()])
    assert caught.value.code == 2
    assert argv.split()[0] in capsys.readouterr().err


def test_what_is_skipped_and_what_is_noted_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "in/a.png", draw((64, 64)))
    (tmp_path / "in/b.dng").write_bytes(b"x")
    pages = [Image.new("RGB", (64, 64)) for _ in range(2)]
    pages[0].save(tmp_path / "in/c.tif", save_all=True, append_images=pages[1:])
    options = DetectOptions("none.pt", str(tmp_path / "in"), nosave=True)
    assert detect(options, ColourBackend()) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "1 file skipped: DNG"
    assert f"warning: {tmp_path}/in/c.tif: only the first of its 2 frames or pages is read" in said


def test_a_picture_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", draw((64, 64)))
    with pytest.raises(DataError, match="--max-pixels"):
        detect(DetectOptions("none.pt", str(tmp_path / "a.png"), nosave=True, max_pixels=4095), ColourBackend())


def test_an_animation_is_written_as_a_video(tmp_path: Path) -> None:
    frames = [Image.fromarray(draw((64, 64), red=(10 + 5 * i, 10, 40, 40))[..., ::-1]) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    options = DetectOptions("none.pt", str(tmp_path / "a.gif"), save_txt=True, project=str(tmp_path / "out"))
    assert detect(options, ColourBackend()) == 0
    assert sorted(path.name for path in (tmp_path / "out/exp").iterdir()) == ["a.mp4", "labels"]
    labels = sorted(path.name for path in (tmp_path / "out/exp/labels").iterdir())
    assert labels == ["a_1.txt", "a_2.txt", "a_3.txt"]
