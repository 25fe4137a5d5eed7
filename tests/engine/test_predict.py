"""Detection with a network that finds coloured rectangles: what it reports must be where they are in the file."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data.errors import DataError
from data.live import LiveFrame
from engine import detect_output
from engine import predict as predict_module
from engine.backends import Backend, open_backend, register_backend
from engine.backends.base import _BY_SUFFIX
from engine.detect_cli import parse_options
from engine.detect_options import DetectOptions
from engine.detect_output import Detections
from engine.errors import EngineError
from engine.predict import Predictor, class_indices, predict

RED, BLUE = (0, 0, 255), (255, 0, 0)  # BGR
SCORES = {0: 0.9, 1: 0.6}


class ColourBackend(Backend):
    """Class 0 is the extent of all red pixels of the input, class 1 that of the blue ones."""

    def __init__(self, names: Sequence[str] = ("red", "blue"), stride: int = 32, imgsz: int = 320) -> None:
        self.names = names
        self.category_ids = [7, 3]
        self.stride = stride
        self.imgsz = imgsz
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8
        self.shapes.append(tuple(images.shape))
        rows = []
        for channel, label in ((0, 0), (2, 1)):
            own = images[0, channel] > 128
            others = torch.stack([images[0, other] < 100 for other in range(3) if other != channel]).all(0)
            y, x = torch.nonzero(own & others, as_tuple=True)
            if len(x):
                x1, y1, x2, y2 = x.min(), y.min(), x.max() + 1, y.max() + 1
                classes = [1.0 if label == index else 0.0 for index in range(len(self.names))]
                rows.append([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, SCORES[label], *classes])
        return torch.tensor(rows or [[0.0] * (5 + len(self.names))], dtype=torch.float32)[None]


def _scene(hw: tuple[int, int], red: Sequence[int] = (), blue: Sequence[int] = ()) -> np.ndarray:
    """Grey picture with filled rectangles x1, y1, x2, y2."""
    image = np.full((*hw, 3), 128, np.uint8)
    for box, colour in ((red, RED), (blue, BLUE)):
        if box:
            image[box[1] : box[3], box[0] : box[2]] = colour
    return image


def _save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def _options(tmp_path: Path, source: object, **changes: Any) -> DetectOptions:
    return replace(DetectOptions("unused.pt", str(source), project=str(tmp_path / "runs")), **changes)


def _run(tmp_path: Path, source: object, **changes: Any) -> Path:
    """A run that must succeed; its folder."""
    assert predict(_options(tmp_path, source, **changes), ColourBackend()) == 0
    return tmp_path / "runs" / changes.get("name", "exp")


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


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
    found = Predictor(backend, imgsz=imgsz)(_scene(hw, red))
    assert found.classes.tolist() == [0]
    np.testing.assert_allclose(found.scores, [0.9])
    # one pixel of the network's input, in pixels of the picture, for the rounding at the edges
    _, _, height, width = backend.shapes[0]
    tolerance = max(1.0, hw[0] / height, hw[1] / width) + 0.01
    np.testing.assert_allclose(found.boxes_xyxy[0], red, atol=tolerance)


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
    Predictor(backend, imgsz=imgsz)(_scene(hw))
    assert backend.shapes == [(1, 3, *expected)]


def test_boxes_are_clipped_to_the_picture_and_those_in_the_border_are_gone() -> None:
    class Fixed(ColourBackend):
        def __call__(self, images: Tensor) -> Tensor:
            # a 320 x 240 picture lies 8 px below the top of its 320 x 256 input
            rows = [[160, 128, 400, 300, 0.9, 1, 0], [160, 3, 100, 6, 0.8, 0, 1]]
            return torch.tensor([rows], dtype=torch.float32)

    found = Predictor(Fixed())(_scene((240, 320)))
    assert found.boxes_xyxy.tolist() == [[0, 0, 320, 240]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int) -> None:
    upright = _scene((240, 320), red=(20, 30, 120, 90))
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
    folder = _run(tmp_path, path, save_json=True)
    (entry,) = json.loads((folder / "predictions.json").read_text())
    np.testing.assert_allclose(entry["bbox"], [20, 30, 100, 60], atol=1.5)
    assert cv2.imread(str(folder / "photo.jpg")).shape == (240, 320, 3)


def test_the_annotated_picture_shows_the_box(tmp_path: Path) -> None:
    path = _save(tmp_path / "in/photo.png", _scene((240, 320), red=(100, 100, 200, 200)))
    original = path.read_bytes()
    folder = _run(tmp_path, path)
    assert _tree(folder) == ["photo.png"]
    assert path.read_bytes() == original
    drawn, before = cv2.imread(str(folder / "photo.png")), cv2.imread(str(path))
    changed = (drawn != before).any(axis=2)
    assert changed[100, 100:200].all(), "the upper edge"
    assert not changed[110:190, 110:190].any(), "the inside"
    assert changed[80:100, 100:140].any(), "the label"
    hidden = cv2.imread(str(_run(tmp_path, path, name="plain", hide_labels=True) / "photo.png"))
    assert not (hidden != before).any(axis=2)[:99].any()
    without_score = cv2.imread(str(_run(tmp_path, path, name="noconf", hide_conf=True) / "photo.png"))
    assert 0 < (without_score != before).any(axis=2)[:99].sum() < changed[:99].sum()
    thick = cv2.imread(str(_run(tmp_path, path, name="thick", line_thickness=9, hide_labels=True) / "photo.png"))
    assert (thick != before).any(axis=2).sum() > 3 * (hidden != before).any(axis=2).sum()


def test_save_txt_is_normalised_and_has_scores_on_demand(tmp_path: Path) -> None:
    path = _save(tmp_path / "in/photo.png", _scene((256, 320), red=(32, 64, 96, 128), blue=(160, 128, 320, 256)))
    _save(tmp_path / "in/nothing.png", _scene((256, 320)))
    folder = _run(tmp_path, path.parent, save_txt=True, nosave=True)
    assert _tree(folder) == ["labels/photo.txt"]
    assert (folder / "labels/photo.txt").read_text() == "0 0.2 0.375 0.2 0.25\n1 0.75 0.75 0.5 0.5\n"
    folder = _run(tmp_path, path.parent, save_txt=True, save_conf=True, nosave=True, name="conf")
    assert (folder / "labels/photo.txt").read_text() == "0 0.2 0.375 0.2 0.25 0.9\n1 0.75 0.75 0.5 0.5 0.6\n"


def test_save_crop_cuts_the_clean_picture(tmp_path: Path) -> None:
    _save(tmp_path / "in/a.png", _scene((256, 320), red=(32, 64, 96, 128)))
    _save(tmp_path / "in/b.png", _scene((256, 320), red=(0, 0, 64, 64), blue=(160, 128, 320, 256)))
    folder = _run(tmp_path, tmp_path / "in", save_crop=True, nosave=True)
    assert _tree(folder) == ["crops/blue/b.jpg", "crops/red/a.jpg", "crops/red/b.jpg"]
    crop = cv2.imread(str(folder / "crops/blue/b.jpg"))
    assert crop.shape == (128, 160, 3)
    assert np.abs(crop.astype(int) - BLUE).max() < 8, "no line of a box in it"


def test_save_json_is_a_coco_results_list_with_original_ids(tmp_path: Path) -> None:
    _save(tmp_path / "in/a.png", _scene((256, 320), red=(32, 64, 96, 128)))
    _save(tmp_path / "in/b.png", _scene((256, 320)))
    _save(tmp_path / "in/c.png", _scene((256, 320), blue=(160, 128, 320, 256)))
    folder = _run(tmp_path, tmp_path / "in", save_json=True, nosave=True)
    assert json.loads((folder / "predictions.json").read_text()) == [
        {"image_id": 1, "category_id": 7, "bbox": [32, 64, 64, 64], "score": 0.9, "file_name": "a.png"},
        {"image_id": 3, "category_id": 3, "bbox": [160, 128, 160, 128], "score": 0.6, "file_name": "c.png"},
    ]


def test_pictures_named_by_numbers_have_these_as_ids_unless_they_repeat(tmp_path: Path) -> None:
    scene = _scene((256, 320), red=(32, 64, 96, 128))
    for name in ("000000000139.png", "42.png"):
        _save(tmp_path / "in" / name, scene)
    folder = _run(tmp_path, tmp_path / "in", save_json=True, nosave=True)
    assert [entry["image_id"] for entry in json.loads((folder / "predictions.json").read_text())] == [139, 42]
    _save(tmp_path / "in/042.png", scene)
    folder = _run(tmp_path, tmp_path / "in", save_json=True, nosave=True, name="again")
    assert [entry["image_id"] for entry in json.loads((folder / "predictions.json").read_text())] == [1, 2, 3]


def test_no_detections_make_an_empty_list(tmp_path: Path) -> None:
    folder = _run(tmp_path, _save(tmp_path / "a.png", _scene((64, 64))), save_json=True, save_txt=True, save_crop=True)
    assert _tree(folder) == ["a.png", "predictions.json"]
    assert json.loads((folder / "predictions.json").read_text()) == []


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
    image = _scene((320, 320), red=(100, 100, 200, 200), blue=(105, 105, 195, 195))
    folder = _run(tmp_path, _save(tmp_path / "a.png", image), save_json=True, nosave=True, **changes)
    entries = json.loads((folder / "predictions.json").read_text())
    assert [str(entry["category_id"]) for entry in entries] == expected


def test_classes_that_do_not_exist_are_refused() -> None:
    assert class_indices((), ("red", "blue")) is None
    with pytest.raises(EngineError, match="did you mean 'blue'"):
        class_indices(("blu",), ("red", "blue"))
    with pytest.raises(EngineError, match="from 0 to 1"):
        class_indices(("2",), ("red", "blue"))


def test_equal_names_do_not_overwrite_each_other(tmp_path: Path) -> None:
    red = _scene((256, 320), red=(32, 64, 96, 128))
    for name in ("x/a.png", "y/a.png", "y/a.jpg", "y/A-2.png"):
        _save(tmp_path / "in" / name, red)
    folder = _run(tmp_path, tmp_path / "in/**/*", save_txt=True, save_crop=True, save_json=True)
    stems = ["a", "A-2", "a-3", "a-4"]
    assert _tree(folder) == sorted(
        ["a.png", "A-2.png", "a-3.jpg", "a-4.png", "predictions.json"]
        + [f"labels/{stem}.txt" for stem in stems]
        + [f"crops/red/{stem}.jpg" for stem in stems]
    )
    names = [entry["file_name"] for entry in json.loads((folder / "predictions.json").read_text())]
    assert names == ["x/a.png", "y/A-2.png", "y/a.jpg", "y/a.png"]


def _clip(path: Path, frames: int = 6, size: tuple[int, int] = (320, 256), fps: float = 12) -> Path:
    """A red square that moves 20 px to the right per frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for index in range(frames):
        writer.write(_scene(size[::-1], red=(20 * index + 20, 100, 20 * index + 100, 180)))
    writer.release()
    return path


def test_a_video_comes_back_annotated_frame_by_frame(tmp_path: Path) -> None:
    folder = _run(tmp_path, _clip(tmp_path / "in/clip.mp4"), save_txt=True, save_json=True, save_crop=True)
    numbers = range(1, 7)
    assert _tree(folder) == sorted(
        ["clip.mp4", "predictions.json"]
        + [f"labels/clip_{number}.txt" for number in numbers]
        + [f"crops/red/clip_{number}.jpg" for number in numbers]
    )
    entries = json.loads((folder / "predictions.json").read_text())
    assert [(entry["frame"], entry["image_id"], entry["file_name"]) for entry in entries] == [
        (number, number, "clip.mp4") for number in numbers
    ]
    for entry, number in zip(entries, numbers, strict=True):
        np.testing.assert_allclose(entry["bbox"], [20 * number, 100, 80, 80], atol=4)
    capture = cv2.VideoCapture(str(folder / "clip.mp4"))
    assert (capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)) == (12, 6)
    assert capture.read()[1].shape == (256, 320, 3)


def test_vid_stride_makes_a_video_of_the_same_length_in_seconds(tmp_path: Path) -> None:
    folder = _run(tmp_path, _clip(tmp_path / "in/clip.mp4"), vid_stride=3, save_txt=True)
    assert [name for name in _tree(folder) if "labels" in name] == ["labels/clip_1.txt", "labels/clip_4.txt"]
    capture = cv2.VideoCapture(str(folder / "clip.mp4"))
    assert (capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)) == (4, 2)


def test_videos_of_odd_size_and_pictures_with_the_names_of_their_frames(tmp_path: Path) -> None:
    _clip(tmp_path / "in/clip.mp4", frames=2, size=(161, 121))
    _clip(tmp_path / "in/clip.avi.mp4", frames=2)
    _save(tmp_path / "in/clip_1.png", _scene((256, 320), red=(32, 64, 96, 128)))
    folder = _run(tmp_path, tmp_path / "in", save_txt=True)
    labels = [name for name in _tree(folder) if name.startswith("labels")]
    assert len(labels) == 5
    assert "labels/clip_1-2.txt" in labels
    assert cv2.VideoCapture(str(folder / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_a_broken_file_among_many_is_reported_and_the_rest_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path / "in/a.png", _scene((64, 64)))
    (tmp_path / "in/b.jpg").write_bytes(b"no picture")
    (tmp_path / "in/c.mp4").write_bytes(b"no video")
    _save(tmp_path / "in/d.png", _scene((64, 64), red=(10, 10, 40, 40)))
    assert predict(_options(tmp_path, tmp_path / "in"), ColourBackend()) == 1
    assert _tree(tmp_path / "runs/exp") == ["a.png", "d.png"]
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
        predict(_options(tmp_path, tmp_path / "b.jpg"), ColourBackend())
    assert not (tmp_path / "runs").exists()


def test_runs_are_numbered_and_exist_ok_replaces(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", _scene((256, 320), red=(32, 64, 96, 128)))
    _run(tmp_path, path, save_txt=True)
    predict(_options(tmp_path, path), ColourBackend())
    assert sorted(folder.name for folder in (tmp_path / "runs").iterdir()) == ["exp", "exp2"]
    _save(path, _scene((256, 320)))
    folder = _run(tmp_path, path, save_txt=True, exist_ok=True)
    assert _tree(folder) == ["a.png"], "the label file of the earlier run is out of date"
    assert (cv2.imread(str(folder / "a.png")) == 128).all()


def test_nosave_alone_writes_nothing(tmp_path: Path) -> None:
    predict(_options(tmp_path, _save(tmp_path / "a.png", _scene((64, 64))), nosave=True), ColourBackend())
    assert not (tmp_path / "runs").exists()


class _InterruptAfter(ColourBackend):
    """Ctrl-C, or another error, during the n-th picture."""

    def __init__(self, pictures: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self.pictures = pictures
        self.error = error

    def __call__(self, images: Tensor) -> Tensor:
        if len(self.shapes) == self.pictures:
            raise self.error
        return super().__call__(images)


def test_ctrl_c_finishes_the_video_and_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = _options(tmp_path, _clip(tmp_path / "in/clip.mp4"), save_json=True)
    assert predict(options, _InterruptAfter(3)) == 130
    assert _tree(tmp_path / "runs/exp") == ["clip.mp4", "predictions.json"]
    assert cv2.VideoCapture(str(tmp_path / "runs/exp/clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert len(json.loads((tmp_path / "runs/exp/predictions.json").read_text())) == 3
    assert "interrupted" in capsys.readouterr().err


def test_an_error_leaves_what_an_earlier_run_wrote(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "in/clip.mp4")
    folder = _run(tmp_path, clip, save_json=True)
    before = {name: (folder / name).read_bytes() for name in _tree(folder)}
    with pytest.raises(MemoryError):
        predict(_options(tmp_path, clip, save_json=True, exist_ok=True), _InterruptAfter(3, MemoryError))
    assert {name: (folder / name).read_bytes() for name in _tree(folder)} == before


@pytest.mark.parametrize(
    "display", [{}, {"DISPLAY": ":99"}], ids=["no display", "headless OpenCV or a display that is not there"]
)
def test_view_img_without_a_window_is_refused_before_work_starts(
    tmp_path: Path, display: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if display and "GUI:                           NONE" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV has windows, and Qt would abort the process")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in display.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match="--view-img"):
        predict(_options(tmp_path, tmp_path / "missing.jpg", view_img=True), ColourBackend())


def test_view_img_shows_the_annotated_pictures_until_q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        _save(tmp_path / f"in/{name}.png", _scene((240, 320), red=(100, 100, 200, 200)))
    shown: list[tuple[str, np.ndarray]] = []
    keys = iter([ord(" "), ord("q")])
    monkeypatch.setattr(predict_module, "require_window", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append((Path(title).name, image)))
    monkeypatch.setattr(cv2, "waitKey", lambda delay: next(keys))
    monkeypatch.setattr(cv2, "destroyWindow", lambda title: None)
    assert predict(_options(tmp_path, tmp_path / "in", view_img=True, nosave=True), ColourBackend()) == 0
    assert [name for name, _ in shown] == ["a.png", "b.png"]
    assert (shown[0][1] != _scene((240, 320), red=(100, 100, 200, 200))).any()


def test_a_stream_is_saved_as_a_video_under_a_name_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = str(_clip(tmp_path / "in/clip.mp4"))

    class Reader:
        """All frames of the clip, where the real one keeps only the newest."""

        def __init__(self, address: str, label: str, vid_stride: int) -> None:
            self.label, self.error = label, None
            self._capture = cv2.VideoCapture(clip)
            self.ended = False
            self._index = -1

        def take(self, timeout_s: float) -> Any:
            good, image = self._capture.read()
            self._index += 1
            self.ended = not good
            return LiveFrame(image, self._index, 25.0) if good else None

        def close(self) -> None:
            pass

    monkeypatch.setattr("data.sources.LiveReader", Reader)
    folder = _run(tmp_path, "rtsp://me:secret@camera:554/live", save_txt=True, save_json=True)
    assert [name for name in _tree(folder) if "labels" not in name] == ["predictions.json", "rtsp_camera_554_live.mp4"]
    assert len(list((folder / "labels").iterdir())) == 6
    assert "secret" not in (folder / "predictions.json").read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir(mode=0o555)
    with pytest.raises(EngineError, match="--project"):
        predict(_options(tmp_path, _save(tmp_path / "a.png", _scene((64, 64)))), ColourBackend())


def test_a_project_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(EngineError, match="--project"):
        predict(_options(tmp_path, _save(tmp_path / "a.png", _scene((64, 64)))), ColourBackend())


@pytest.mark.parametrize("name", ["photo.webp", "photo.bmp", "photo.tif", "scan.pgm", "anim.gif"])
def test_formats_keep_their_ending_where_opencv_writes_it(tmp_path: Path, name: str) -> None:
    encoded = io.BytesIO()
    kind = {"webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "pgm": "PPM", "gif": "GIF"}[name.split(".")[1]]
    Image.new("L" if kind in ("PPM", "GIF") else "RGB", (64, 48), 99).save(encoded, kind)
    (tmp_path / name).write_bytes(encoded.getvalue())
    (written,) = _run(tmp_path, tmp_path / name).iterdir()
    assert written.name == (name if kind in ("WEBP", "BMP", "TIFF") else f"{Path(name).stem}.jpg")
    assert cv2.imread(str(written)).shape == (48, 64, 3)


@pytest.mark.parametrize("hw", [(1, 1), (2, 3000), (3000, 2)])
def test_extreme_pictures(tmp_path: Path, hw: tuple[int, int]) -> None:
    folder = _run(tmp_path, _save(tmp_path / "a.png", _scene(hw)), save_txt=True)
    assert cv2.imread(str(folder / "a.png")).shape == (*hw, 3)


def test_class_names_that_are_no_folder_names(tmp_path: Path) -> None:
    backend = ColourBackend(names=("../red/or:not", ".."))
    image = _scene((256, 320), red=(32, 64, 96, 128), blue=(160, 128, 320, 256))
    options = _options(tmp_path, _save(tmp_path / "a.png", image), save_crop=True, nosave=True)
    assert predict(options, backend) == 0
    assert _tree(tmp_path / "runs/exp") == ["crops/_/a.jpg", "crops/_red_or_not/a.jpg"]


def test_detections_are_checked_when_made() -> None:
    with pytest.raises(ValueError, match="must be"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int64))


def test_unique_names_ignore_case() -> None:
    unique = detect_output.UniqueNames()
    assert [unique(name) for name in ("a", "A", "a", "a-2", "b")] == ["a", "A-2", "a-3", "a-2-2", "b"]


def test_back_ends_are_found_by_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"known endings: \.pt, \.pth"):
        open_backend("model.engine", device=torch.device("cpu"))
    with pytest.raises(EngineError, match=r"no such weights file; check --weights"):
        open_backend(tmp_path / "missing.pt", device=torch.device("cpu"))
    monkeypatch.setattr("engine.backends.base._BY_SUFFIX", dict(_BY_SUFFIX))

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
