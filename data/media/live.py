"""Webcams and network streams: a thread keeps the newest frame, and reconnects a few times when the line breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data.media.addresses import URL, usable
from data.media.download import refusal
from data.media.image import prepare_decoders
from data.media.opencv import opencv_name
from files.paths import shown

FALLBACK_FPS = 30.0
"""For streams that do not state their rate."""
STEADY_S = 10.0
"""A connection that lasted this many seconds was a good one: attempts to reconnect are counted from 0 again."""


@dataclass(frozen=True)
class LiveFrame:
    """A frame `(H, W, 3)` uint8 BGR, its number since the start, and the rate that the stream states."""

    image: np.ndarray
    index: int
    fps: float


def usable_fps(stated: float, most: float = 240) -> float:
    """The stated rate, or `FALLBACK_FPS` where that is missing or absurd (some cameras say 0, some 90000)."""
    return float(stated) if 0 < stated <= most else FALLBACK_FPS


def open_capture(address: str) -> cv2.VideoCapture:
    """OpenCV's reader of a video file, URL or webcam number; may turn out not to be open."""
    # Whether it opened is reported by us, in one line; FFmpeg and OpenCV would add theirs to stderr.
    prepare_decoders()
    if address.isdecimal():
        return cv2.VideoCapture(int(address))
    if URL.match(address):
        return cv2.VideoCapture(usable(address))
    try:
        with opencv_name(Path(address)) as name:
            return cv2.VideoCapture(name)
    except OSError:  # it is not text, and no link can be made
        return cv2.VideoCapture()


class LiveReader:
    """Reads a live source in a daemon thread; `take` hands out each newest frame at most once.

    Args:
        address: webcam number or URL.
        label: the address as messages may show it.
        vid_stride: keep every n-th frame.
        retries: attempts to reconnect in a row before a stream that has worked counts as ended. One that never gave a
            frame, or that states its number of frames and so was a file, is not tried again.
        pause_s: seconds between attempts.
        connect: opens the address.
    """

    def __init__(
        self,
        address: str,
        label: str,
        vid_stride: int = 1,
        *,
        retries: int = 3,
        pause_s: float = 1.0,
        connect: Callable[[str], cv2.VideoCapture] = open_capture,
    ) -> None:
        self.label = label
        self.error: str | None = None
        self._address = address
        self._vid_stride = vid_stride
        self._retries = retries
        self._pause_s = pause_s
        self._connect = connect
        self._count = 0
        self._newest: LiveFrame | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._done = False
        self._thread = threading.Thread(target=self._run, name=f"live {label}", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Nothing more will come, and nothing is left to take."""
        with self._changed:
            return self._done and self._newest is None

    def take(self, timeout_s: float) -> LiveFrame | None:
        """The newest frame not yet taken, waiting for one at most `timeout_s` seconds; None if there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._done, timeout_s)
            newest, self._newest = self._newest, None
            return newest

    def close(self) -> None:
        """Ends the thread. One that hangs in a network read is left behind; it is a daemon."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        attempts = 0
        try:
            while not self._stop.is_set():
                started = time.monotonic()
                finite = self._read_until_break()
                if self._count == 0:
                    refused = refusal(self._address)
                    remedy = f" ({refused})" if refused else "; check that it is there and running"
                    self.error = f"{self.label}: {self._describe()} cannot be opened{remedy}"
                attempts = 1 if time.monotonic() - started > STEADY_S else attempts + 1
                if finite or self._count == 0 or attempts > self._retries:
                    return
                self._stop.wait(self._pause_s)
        except Exception as error:  # whatever it is: the thread has nobody to raise it to
            reason = " ".join(str(error).split()) or type(error).__name__
            self.error = f"{self.label}: reading stopped ({shown(reason)}); check {self._describe()}"
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _describe(self) -> str:
        return "the webcam" if self._address.isdecimal() else "the stream"

    def _read_until_break(self) -> bool:
        """Connects and reads until the line breaks. Returns whether the source simply ended, as a file does."""
        capture = self._connect(self._address)
        try:
            if not capture.isOpened():
                return False
            fps = usable_fps(capture.get(cv2.CAP_PROP_FPS))
            finite = capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
            while not self._stop.is_set() and capture.grab():
                if self._count % self._vid_stride == 0:
                    decoded, image = capture.retrieve()
                    if not decoded:
                        break
                    with self._changed:
                        self._newest = LiveFrame(image, self._count, fps)
                        self._changed.notify_all()
                self._count += 1
            return finite
        finally:
            capture.release()
