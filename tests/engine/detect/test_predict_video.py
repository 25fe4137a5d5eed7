"""Detection in videos and streams: what is written, the window of --view-img, and what an interruption leaves."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from data.media.live import LiveFrame
from engine.cli.detect import detect
from engine.detect import window
from engine.detect.video import VideoFile, holdable_fps
from engine.errors import EngineError
from files.faults import OutputError
from models.heads.base import Predictions
from tests.engine.detect.colour_backend import ColourBackend, draw, run, save, setup, tree
from tests.places import SHARED, SMALL_DISK

SLOW_MOTION = SHARED / "cases/42/slowmo_105.611.mp4"


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


def test_a_file_of_many_frames_a_second_keeps_its_speed(tmp_path: Path) -> None:
    folder = run(tmp_path, _clip(tmp_path / "in/clip.mp4", fps=960))
    assert cv2.VideoCapture(str(folder / "clip.mp4")).get(cv2.CAP_PROP_FPS) == 960


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


def test_a_picture_for_which_memory_is_short_ends_its_source_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _clip(tmp_path / "in/a.mp4")
    _clip(tmp_path / "in/b.mp4")

    class Short(ColourBackend):
        def __call__(self, images: Tensor) -> Predictions:
            found = super().__call__(images)
            if len(self.shapes) == 3:
                raise MemoryError
            return found

    assert detect(setup(tmp_path, tmp_path / "in", save_json=True), Short()) == 1
    folder = tmp_path / "runs/exp"
    assert [cv2.VideoCapture(str(folder / name)).get(cv2.CAP_PROP_FRAME_COUNT) for name in ("a.mp4", "b.mp4")] == [2, 6]
    entries = json.loads((folder / "predictions.json").read_text())
    assert [(entry["file_name"], entry["frame"]) for entry in entries] == [
        *(("a.mp4", number) for number in (1, 2)),
        *(("b.mp4", number) for number in range(1, 7)),
    ]
    said = capsys.readouterr().err
    assert f"error: {tmp_path / 'in/a.mp4'}: the picture of 320x256 px cannot be looked at: no memory is left" in said
    assert "1 of 2 files could not be read or written" in said


def test_a_defect_keeps_its_traceback_and_what_was_found(tmp_path: Path) -> None:
    options = setup(tmp_path, _clip(tmp_path / "in/clip.mp4"), save_json=True)
    with pytest.raises(ZeroDivisionError):
        detect(options, _InterruptAfter(3, ZeroDivisionError))
    assert cv2.VideoCapture(str(tmp_path / "runs/exp/clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert len(json.loads((tmp_path / "runs/exp/predictions.json").read_text())) == 3


@pytest.mark.skipif(not SLOW_MOTION.is_file(), reason="../shared is not here")
def test_a_rate_that_mpeg4_cannot_hold(tmp_path: Path) -> None:
    folder = run(tmp_path, SLOW_MOTION, save_json=True)
    assert tree(folder) == ["predictions.json", SLOW_MOTION.name]
    written, given = cv2.VideoCapture(str(folder / SLOW_MOTION.name)), cv2.VideoCapture(str(SLOW_MOTION))
    assert written.get(cv2.CAP_PROP_FPS) == pytest.approx(given.get(cv2.CAP_PROP_FPS), rel=1e-4)


@pytest.mark.parametrize(
    ("stated", "held"),
    [
        (25, 25),
        (30000 / 1001, 29.97),
        (24000 / 1001, 23.976),
        (105.611, 105.61),
        (99.9999, 100),
        (655.36, 655.4),
        (6553.64, 6554),
        (90000, 65535),
        (1e-9, 0.01),
        (0, 30),
        (-1, 30),
        (float("nan"), 30),
        (float("inf"), 30),
    ],
)
def test_the_nearest_rate_is_written(tmp_path: Path, stated: float, held: float) -> None:
    assert holdable_fps(stated) == pytest.approx(held)
    video = VideoFile(tmp_path / "a.mp4", stated, (48, 64))
    video.write(draw((48, 64)))
    video.finish()
    assert cv2.VideoCapture(str(tmp_path / "a.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(held)


@given(st.floats(0.02, 65_000))
def test_a_rate_is_held_to_four_digits_or_half_a_hundredth(stated: float) -> None:
    held = holdable_fps(stated)
    assert abs(held - stated) <= max(stated / 13_000, 0.0005)
    assert any(abs(held * 10**k - round(held * 10**k)) < 1e-6 and held * 10**k <= 65_535.5 for k in range(4))


@pytest.mark.parametrize(
    ("hw", "size"),
    [
        ((47, 65), (64, 46)),
        ((1, 1), (2, 2)),
        ((100, 1), (2, 100)),
        ((20, 70_000), (8190, 2)),
        ((9000, 900), (819, 8190)),
    ],
)
def test_sizes_that_mpeg4_cannot_hold(tmp_path: Path, hw: tuple[int, int], size: tuple[int, int]) -> None:
    video = VideoFile(tmp_path / "a.mp4", 25, hw)
    for _ in range(2):
        video.write(np.zeros((*hw, 3), np.uint8))
    video.finish()
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    found = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    assert found == (size[0] // 2 * 2, size[1] // 2 * 2)
    assert bool(video.note) == (max(hw) > 8190 or min(hw) < 2)
    assert not video.note or f"MPEG-4 holds no frames of {hw[1]}x{hw[0]} px" in video.note


def test_a_writer_that_fails_takes_nothing_else_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _clip(tmp_path / "in/a.mp4")
    save(tmp_path / "in/b.png", draw((256, 320), red=(32, 64, 96, 128)))
    monkeypatch.setattr(cv2.VideoWriter, "isOpened", lambda self: False)
    assert detect(setup(tmp_path, tmp_path / "in", save_json=True, save_txt=True), ColourBackend()) == 1
    assert tree(tmp_path / "runs/exp") == sorted(
        ["b.png", "predictions.json", "labels/b.txt", *(f"labels/a_{number}.txt" for number in range(1, 7))]
    )
    said = capsys.readouterr().err
    assert said.count("a.mp4: OpenCV cannot write this MP4 (320x256 px); use --nosave") == 1
    assert "1 of 2 files could not be read or written" in said


@pytest.mark.parametrize("some", [True, False], ids=["two frames are lost", "nothing is written"])
def test_a_writer_that_loses_frames_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], some: bool
) -> None:
    clip = _clip(tmp_path / "in/a.mp4")
    write = VideoFile.write
    lost = {1, 2} if some else {*range(100)}

    def write_less(self: VideoFile, image: np.ndarray) -> None:
        if self._frames in lost:
            self._frames += 1
        else:
            write(self, image)

    monkeypatch.setattr(VideoFile, "write", write_less)
    assert detect(setup(tmp_path, clip, save_json=True), ColourBackend()) == 1
    assert tree(tmp_path / "runs/exp") == ["predictions.json"]
    assert "a.mp4: OpenCV wrote an MP4 that cannot be read; use --nosave" in capsys.readouterr().err


@pytest.mark.parametrize(("frames", "looked_at"), [(20, 20), (100, 32)], ids=["seen at the end", "seen on the way"])
def test_a_full_disk_during_a_video(tmp_path: Path, small_disk: Path, frames: int, looked_at: int) -> None:
    noise = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 256))
    for _ in range(frames):
        writer.write(noise.integers(0, 256, (256, 320, 3), np.uint8))
    writer.release()
    (small_disk / "ballast").write_bytes(bytes(SMALL_DISK - (48 << 10)))
    options = replace(setup(tmp_path, tmp_path / "clip.mp4", save_json=True), project=str(small_disk))
    backend = ColourBackend()
    line = f"{small_disk / 'exp/clip.mp4'}: cannot be written: the disk is full; make room, or choose another folder"
    with pytest.raises(OutputError, match=re.escape(line)):
        detect(options, backend)
    assert len(backend.shapes) == looked_at
    assert [name for name in tree(small_disk / "exp") if "lock" not in name] == ["predictions.json"]


def test_a_folder_that_is_removed_during_a_video(tmp_path: Path) -> None:
    folder = tmp_path / "runs/exp"

    class Removing(ColourBackend):
        def __call__(self, images: Tensor) -> Predictions:
            if len(self.shapes) == 2:
                shutil.rmtree(folder)
            return super().__call__(images)

    with pytest.raises(OutputError, match=r"exp/clip\.mp4: cannot be written: its folder is not there any more"):
        detect(setup(tmp_path, _clip(tmp_path / "in/clip.mp4")), Removing())


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
