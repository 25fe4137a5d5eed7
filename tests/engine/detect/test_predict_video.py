"""Detection in videos and streams: what is written, the window of --view-img, and what an interruption leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from torch import Tensor

from data.media.live import LiveFrame
from engine.cli.detect import detect
from engine.detect import window
from engine.errors import EngineError
from models.heads.base import Predictions
from tests.engine.detect.colour_backend import ColourBackend, draw, run, save, setup, tree


def _clip(path: Path, frames: int = 6, size: tuple[int, int] = (320, 256), fps: float = 12) -> Path:
    """A red square that moves 20 px to the right per frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for index in range(frames):
        writer.write(draw(size[::-1], red=(20 * index + 20, 100, 20 * index + 100, 180)))
    writer.release()
    return path


def test_a_video_comes_back_annotated_frame_by_frame(tmp_path: Path) -> None:
    folder = run(tmp_path, _clip(tmp_path / "in/clip.mp4"), save_txt=True, save_json=True, save_crop=True)
    numbers = range(1, 7)
    assert tree(folder) == sorted(
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
    folder = run(tmp_path, _clip(tmp_path / "in/clip.mp4"), vid_stride=3, save_txt=True)
    assert [name for name in tree(folder) if "labels" in name] == ["labels/clip_1.txt", "labels/clip_4.txt"]
    capture = cv2.VideoCapture(str(folder / "clip.mp4"))
    assert (capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)) == (4, 2)


def test_videos_of_odd_size_and_pictures_with_the_names_of_their_frames(tmp_path: Path) -> None:
    _clip(tmp_path / "in/clip.mp4", frames=2, size=(161, 121))
    _clip(tmp_path / "in/clip.avi.mp4", frames=2)
    save(tmp_path / "in/clip_1.png", draw((256, 320), red=(32, 64, 96, 128)))
    folder = run(tmp_path, tmp_path / "in", save_txt=True)
    labels = [name for name in tree(folder) if name.startswith("labels")]
    assert len(labels) == 5
    assert "labels/clip_1-2.txt" in labels
    assert cv2.VideoCapture(str(folder / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 2


class _InterruptAfter(ColourBackend):
    """Ctrl-C, or another error, during the n-th picture."""

    def __init__(self, pictures: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self.pictures = pictures
        self.error = error

    def __call__(self, images: Tensor) -> Predictions:
        if len(self.shapes) == self.pictures:
            raise self.error
        return super().__call__(images)


def test_ctrl_c_finishes_the_video_and_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = setup(tmp_path, _clip(tmp_path / "in/clip.mp4"), save_json=True)
    assert detect(options, _InterruptAfter(3)) == 130
    assert tree(tmp_path / "runs/exp") == ["clip.mp4", "predictions.json"]
    assert cv2.VideoCapture(str(tmp_path / "runs/exp/clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert len(json.loads((tmp_path / "runs/exp/predictions.json").read_text())) == 3
    assert "interrupted" in capsys.readouterr().err


def test_an_error_leaves_what_an_earlier_run_wrote(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "in/clip.mp4")
    folder = run(tmp_path, clip, save_json=True)
    before = {name: (folder / name).read_bytes() for name in tree(folder)}
    with pytest.raises(MemoryError):
        detect(setup(tmp_path, clip, save_json=True, exist_ok=True), _InterruptAfter(3, MemoryError))
    assert {name: (folder / name).read_bytes() for name in tree(folder)} == before


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
        detect(setup(tmp_path, tmp_path / "missing.jpg", view_img=True), ColourBackend())


def test_view_img_shows_the_annotated_pictures_until_q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / f"in/{name}.png", draw((240, 320), red=(100, 100, 200, 200)))
    shown: list[tuple[str, np.ndarray]] = []
    keys = iter([ord(" "), ord("q")])
    monkeypatch.setattr(window, "require_window", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append((Path(title).name, image)))
    monkeypatch.setattr(cv2, "waitKey", lambda delay: next(keys))
    monkeypatch.setattr(cv2, "destroyWindow", lambda title: None)
    assert detect(setup(tmp_path, tmp_path / "in", view_img=True, nosave=True), ColourBackend()) == 0
    assert [name for name, _ in shown] == ["a.png", "b.png"]
    assert (shown[0][1] != draw((240, 320), red=(100, 100, 200, 200))).any()


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

    monkeypatch.setattr("data.media.sources.LiveReader", Reader)
    folder = run(tmp_path, "rtsp://me:secret@camera:554/live", save_txt=True, save_json=True)
    assert [name for name in tree(folder) if "labels" not in name] == ["predictions.json", "rtsp_camera_554_live.mp4"]
    assert len(list((folder / "labels").iterdir())) == 6
    assert "secret" not in (folder / "predictions.json").read_text()
