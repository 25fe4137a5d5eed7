"""What `--source` may be: every kind of it, what is broken, and what is not there."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.errors import DataError
from data.media.entries import Entry
from data.media.live import FALLBACK_FPS, LiveReader, usable_fps
from data.media.sources import Frame, open_source


def _picture(path: Path, grey: int = 100, size_hw: tuple[int, int] = (24, 32)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size_hw, 3), grey, np.uint8))
    return path


def _video(path: Path, frames: int = 10, fps: float = 10) -> Path:
    """Frame number i is grey 20 * i."""
    codec = "MJPG" if path.suffix.lower() == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
    assert writer.isOpened()
    for index in range(frames):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


def _names(frames: Iterator[Frame] | list[Frame]) -> list[str]:
    return [Path(frame.path).name for frame in frames]


def test_one_picture(tmp_path: Path) -> None:
    source = open_source(str(_picture(tmp_path / "Photo.JPG")))
    (frame,) = source
    assert (frame.kind, frame.index, frame.entry, frame.frame_count, frame.error) == ("image", 0, 0, 1, None)
    assert frame.image.shape == (24, 32, 3)
    assert len(source) == 1
    assert all(entry.kind != "stream" for entry in source.entries)


def test_a_folder_gives_its_media_sorted_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPEG", "sub/c.png", "._a.jpg"):
        _picture(tmp_path / name)
    _video(tmp_path / "c.mp4", frames=2)
    (tmp_path / "notes.txt").write_text("not a list here")
    (tmp_path / "d.png").mkdir()
    assert _names(open_source(str(tmp_path))) == ["a.JPEG", "b.png", "c.mp4", "c.mp4"]


def test_globs_with_and_without_depth(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "sub/deep/c.png"):
        _picture(tmp_path / name)
    assert _names(open_source(f"{tmp_path}/*.png")) == ["a.png"]
    assert _names(open_source(f"{tmp_path}/**/*.png")) == ["a.png", "b.png", "c.png"]
    assert _names(open_source(f"{tmp_path}/**")) == ["a.png", "b.png", "c.png"]
    assert _names(open_source(f"{tmp_path}/[ab].png")) == ["a.png"]


def test_a_name_that_looks_like_a_glob_is_a_file_first(tmp_path: Path) -> None:
    assert _names(open_source(str(_picture(tmp_path / "photo[1].png")))) == ["photo[1].png"]


def test_a_list_resolves_from_its_own_folder_then_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _picture(tmp_path / "lists/a.png")
    _picture(tmp_path / "here/b.png")
    _picture(tmp_path / "folder/c.png")
    listing = tmp_path / "lists/all.txt"
    listing.write_text(
        f"# pictures\na.png\n\nb.png\n{tmp_path}/folder\n{tmp_path}/folder/*.png\n", encoding="utf-8-sig"
    )
    monkeypatch.chdir(tmp_path / "here")
    assert _names(open_source(str(listing))) == ["a.png", "b.png", "c.png", "c.png"]
    assert _names(open_source(str(listing.rename(listing.with_suffix(".streams"))))) == [
        "a.png",
        "b.png",
        "c.png",
        "c.png",
    ]


def test_a_bad_line_of_a_list_is_a_broken_entry_among_good_ones(tmp_path: Path) -> None:
    _picture(tmp_path / "a.png")
    (tmp_path / "all.txt").write_text("missing.png\na.png\nnotes.docx\n")
    (tmp_path / "notes.docx").write_text("x")
    frames = list(open_source(str(tmp_path / "all.txt")))
    assert [frame.error is None for frame in frames] == [False, True, False]
    assert "all.txt, line 1: missing.png: no such file" in str(frames[0].error)
    assert "line 3" in str(frames[2].error)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{0}/missing.jpg", "no such file or folder"),
        ("{0}/missing.txt", "no such file or folder"),
        ("{0}/missing/*.jpg", "no picture or video matches"),
        ("{0}/empty", "no picture or video in this folder"),
        ("{0}/empty.txt", "the list is empty"),
        ("{0}/latin.txt", "not a text file in UTF-8"),
        ("{0}/report.pdf", "not a known picture or video format"),
        ("", "the source is empty"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9.jpg\n")
    (tmp_path / "report.pdf").write_bytes(b"%PDF")
    with pytest.raises(DataError, match=message) as caught:
        open_source(source.format(tmp_path))
    assert "\n" not in str(caught.value)


def test_broken_files_are_reported_and_the_rest_go_on(tmp_path: Path) -> None:
    whole = _picture(tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "d.mp4").write_bytes(b"")
    (tmp_path / "e.mp4").write_bytes(b"this is no video")
    _picture(tmp_path / "f.jpg")
    frames = list(open_source(str(tmp_path)))
    assert _names(frames) == ["a.jpg", "b.jpg", "c.jpg", "d.mp4", "e.mp4", "f.jpg"]
    assert [frame.error is None for frame in frames] == [True, False, False, False, False, True]
    for frame in frames[1:5]:
        assert frame.path in str(frame.error)
        assert frame.image.shape == (0, 0, 3)
    assert "truncated" in str(frames[1].error)
    assert "0 bytes" in str(frames[3].error)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".AVI"])
def test_a_video_gives_its_frames_in_order(tmp_path: Path, suffix: str) -> None:
    frames = list(open_source(str(_video(tmp_path / f"clip{suffix}"))))
    assert [frame.index for frame in frames] == list(range(10))
    for frame in frames:
        assert (frame.kind, frame.frame_count, frame.fps, frame.error) == ("video", 10, 10.0, None)
        assert abs(float(frame.image.mean()) - 20 * frame.index) < 6


def test_vid_stride_skips_frames_and_keeps_their_numbers(tmp_path: Path) -> None:
    frames = list(open_source(str(_video(tmp_path / "clip.mp4")), vid_stride=4))
    assert [frame.index for frame in frames] == [0, 4, 8]
    assert [round(float(frame.image.mean()) / 20) for frame in frames] == [0, 4, 8]
    assert frames[0].fps == 2.5
    with pytest.raises(DataError, match="at least 1"):
        open_source(str(tmp_path), vid_stride=0)


def test_a_video_that_breaks_off_is_reported_after_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 240))
    rng = np.random.default_rng(0)
    for _ in range(30):
        writer.write(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8))
    writer.release()
    # The index (moov) stays whole behind the data, half of which is lost to zeros: a disk error or a broken download.
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat"), data.index(b"moov")
    middle = (start + end) // 2
    data[middle : end - 4] = bytes(end - 4 - middle)
    path.write_bytes(data)
    frames = list(open_source(str(path)))
    good = [frame for frame in frames if frame.error is None]
    assert 0 < len(good) < 30
    assert frames[-1].error is not None
    assert f"ends after {len(good)} of 30 frames" in frames[-1].error


def test_a_source_can_be_read_twice(tmp_path: Path) -> None:
    source = open_source(str(_video(tmp_path / "clip.mp4", frames=3)))
    assert len(list(source)) == len(list(source)) == 3


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0", "stream"),
        ("rtsp://camera/live", "stream"),
        ("RTSP://camera/live", "stream"),
        ("http://camera/feed", "stream"),
        ("http://camera/feed?list.txt", "stream"),
        ("https://example.org/a/photo.JPG?size=2", "image"),
        ("https://example.org/clip.mp4", "video"),
    ],
)
def test_addresses(text: str, kind: str) -> None:
    source = open_source(text)
    assert [(entry.kind, entry.address) for entry in source.entries] == [(kind, text)]
    assert any(entry.kind == "stream" for entry in source.entries) == (kind == "stream")


def test_messages_show_no_password() -> None:
    assert Entry("stream", "rtsp://me:secret@camera:554/live").label == "rtsp://camera:554/live"
    assert Entry("stream", "http://camera/@home").label == "http://camera/@home"


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class _CameraHandler(_QuietHandler):
    """An MJPEG camera that sends twelve frames and hangs up."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for grey in range(0, 240, 20):
            jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), grey, np.uint8))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")


@pytest.fixture
def serve() -> Iterator[Callable[[object], str]]:
    """Starts a local HTTP server for a handler and returns its address."""
    servers = []

    def start(handler: object) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_pictures_and_videos_over_http(tmp_path: Path, serve: Callable[[object], str]) -> None:
    _picture(tmp_path / "a.png", grey=77)
    _video(tmp_path / "clip.mp4", frames=4)
    address = serve(functools.partial(_QuietHandler, directory=str(tmp_path)))
    (frame,) = open_source(f"{address}/a.png")
    assert frame.image[0, 0].tolist() == [77, 77, 77]
    assert [frame.index for frame in open_source(f"{address}/clip.mp4")] == [0, 1, 2, 3]
    (frame,) = open_source(f"{address}/missing.png")
    assert "cannot be downloaded" in str(frame.error)


def test_a_camera_over_http_gives_frames_and_ends(
    serve: Callable[[object], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve(_CameraHandler)
    monkeypatch.setattr("data.media.sources.LiveReader", functools.partial(LiveReader, retries=0))
    frames = list(open_source(f"{address}/feed"))
    assert frames
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert frames[-1].index >= 9, "the newest frame is kept until it is taken"
    assert {(frame.kind, frame.error) for frame in frames} == {("stream", None)}


def test_a_camera_that_is_not_there_is_an_error_frame() -> None:
    (frame,) = open_source("http://127.0.0.1:9/feed")
    assert "cannot be opened" in str(frame.error)


class _FakeCapture:
    """Stands for a cv2.VideoCapture that has `frames` frames left and then breaks."""

    def __init__(self, frames: int, *, opened: bool = True, gate: threading.Event | None = None) -> None:
        self._left = frames
        self._opened = opened
        self._gate = gate
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return self._opened

    def get(self, _: int) -> float:
        return 0.0

    def grab(self) -> bool:
        if self._gate is not None:
            self._gate.wait(5)
        self._left -= 1
        return self._left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((4, 4, 3), self._left % 256, np.uint8)

    def release(self) -> None:
        self.released = True


def _drain(reader: LiveReader) -> list[int]:
    seen = []
    while not reader.ended:
        frame = reader.take(5)
        if frame is not None:
            seen.append(frame.index)
    return seen


def test_only_the_newest_frame_is_kept() -> None:
    capture = _FakeCapture(50)
    reader = LiveReader("0", "0", retries=0, connect=lambda _: capture)  # type: ignore[arg-type, return-value]
    reader._thread.join(5)
    assert _drain(reader) == [49]
    assert capture.released
    assert reader.error is None


def test_it_reconnects_a_limited_number_of_times() -> None:
    captures = [_FakeCapture(3) for _ in range(10)]
    waiting = iter(captures)
    reader = LiveReader("0", "0", retries=2, pause_s=0.001, connect=lambda _: next(waiting))  # type: ignore[arg-type, return-value]
    reader._thread.join(5)
    assert _drain(reader) == [8], "frames are numbered on over connections"
    assert sum(capture.released for capture in captures) == 3
    assert reader.error is None


def test_what_never_opened_is_not_tried_again() -> None:
    attempts = []

    def connect(address: str) -> _FakeCapture:
        attempts.append(address)
        return _FakeCapture(0, opened=False)

    reader = LiveReader("7", "7", retries=5, pause_s=0.001, connect=connect)  # type: ignore[arg-type]
    assert _drain(reader) == []
    assert attempts == ["7"]
    assert reader.error is not None
    assert "webcam cannot be opened" in reader.error


def test_a_defect_of_the_driver_ends_the_stream_with_a_message() -> None:
    def connect(_: str) -> _FakeCapture:
        raise cv2.error("driver on fire")

    reader = LiveReader("0", "0", connect=connect)  # type: ignore[arg-type]
    assert _drain(reader) == []
    assert reader.error is not None
    assert "driver on fire" in reader.error


def test_closing_ends_the_thread() -> None:
    reader = LiveReader("0", "0", connect=lambda _: _FakeCapture(10**9))  # type: ignore[arg-type, return-value]
    assert reader.take(5) is not None
    reader.close()
    assert not reader._thread.is_alive()


@pytest.mark.parametrize(("stated", "expected"), [(25.0, 25.0), (0.0, FALLBACK_FPS), (90000.0, FALLBACK_FPS)])
def test_absurd_rates(stated: float, expected: float) -> None:
    assert usable_fps(stated) == expected
    assert usable_fps(float("nan")) == FALLBACK_FPS


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_listed(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o000)
    with pytest.raises(DataError, match="cannot be listed"):
        open_source(str(folder))
