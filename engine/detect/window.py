"""The window of `--view-img`."""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np

from data.media.sources import Frame
from engine.errors import EngineError
from files.printable import printable


def require_window() -> None:
    """Raises `EngineError` where OpenCV cannot open a window."""
    without = "leave --view-img out and look at the saved pictures"
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise EngineError(f"--view-img: there is no display here; {without}")
    try:
        cv2.namedWindow("detect", cv2.WINDOW_NORMAL)
        cv2.destroyWindow("detect")
    except cv2.error:
        message = (
            f"--view-img: this OpenCV has no windows; {without}, or replace opencv-python-headless by opencv-python"
        )
        raise EngineError(message) from None


def show(frame: Frame, annotated: np.ndarray) -> bool:
    """Shows a picture until a key is pressed, or a frame for a moment; False after Escape or q."""
    title = printable(frame.path)  # OpenCV ends the process on one that is no text
    cv2.imshow(title, annotated)
    key = cv2.waitKey(0 if frame.kind == "image" else 1) & 0xFF
    if frame.kind == "image":
        cv2.destroyWindow(title)
    return key not in (27, ord("q"))
