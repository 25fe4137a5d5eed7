"""What a hub model takes as pictures: paths, addresses, PIL, numpy, tensors, and lists of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from data.errors import DataError
from data.media.sources import Frame, open_source
from engine.errors import EngineError
from files.paths import shown

_DEEP_MODES = ("I", "F")  # how the names of Pillow's modes with more than 8 bits begin


def frames_of(images: Any) -> Iterator[Frame]:
    """Pictures, one by one.

    Args:
        images: a path or address, also of a folder or a pattern; a PIL picture; a numpy array `(H, W, 3)`, `(H, W, 4)`
            or `(H, W)` uint8, RGB; a tensor `(3, H, W)` or `(B, 3, H, W)` RGB, uint8 or floating point in [0, 1]; or a
            list or tuple of any of these.

    Raises:
        DataError: there is no such file, or it is broken, or it is a video or stream.
        EngineError: a value of another kind.
    """
    for number, frame in enumerate(_frames(images)):
        yield replace(frame, path=frame.path or f"image{number}.jpg", entry=number)


def _frames(images: Any) -> Iterator[Frame]:
    if isinstance(images, list | tuple):
        for image in images:
            yield from _frames(image)
    elif isinstance(images, str | Path):
        yield from _from_source(str(images))
    elif isinstance(images, Image.Image):
        yield _frame(_from_pillow(images), str(getattr(images, "filename", "")))
    elif isinstance(images, Tensor):
        yield from (_frame(image) for image in _from_tensor(images))
    elif isinstance(images, np.ndarray):
        yield _frame(_from_array(images))
    else:
        raise EngineError(
            f"a picture of type {type(images).__name__}: give a path or address, a PIL picture, a numpy array, a "
            "tensor, or a list of these"
        )


def _frame(rgb: np.ndarray, path: str = "") -> Frame:
    """A picture `(H, W, 3)` uint8 RGB; without a path it gets a number."""
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    return Frame(bgr, path, 0, "image", 0, frame_count=1)


def _from_source(address: str) -> Iterator[Frame]:
    source = open_source(address)
    for entry in source.entries:
        if entry.kind != "image" and entry.error is None:
            raise DataError(
                f"{shown(entry.label)}: a video or stream, whose frames would all be kept; use engine.predict, which "
                "gives them one by one"
            )
    for frame in source:
        if frame.error is not None:
            raise DataError(frame.error)
        yield frame


def _from_pillow(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(_DEEP_MODES):
        raise EngineError(f"a PIL picture of mode {image.mode}: has more than 8 bits a channel; give its path, or RGB")
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))  # (H, W, 3)


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = np.stack((array,) * 3, axis=2)  # (H, W, 3)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise EngineError(f"an array of shape {array.shape}: must be (H, W, 3), RGB; give several as a list")
    if array.dtype != np.uint8:
        raise EngineError(f"an array of {array.dtype}: must be uint8, 0 to 255; convert it")
    return array[..., :3] if array.shape[2] > 1 else np.repeat(array, 3, axis=2)


def _from_tensor(images: Tensor) -> Iterator[np.ndarray]:
    batch = images[None] if images.ndim == 3 else images  # (B, 3, H, W)
    if batch.ndim != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise EngineError(f"a tensor of shape {tuple(images.shape)}: must be (3, H, W) or (B, 3, H, W), RGB")
    batch = batch.detach().cpu()
    if batch.is_floating_point():
        if not (batch.amin() >= 0 and batch.amax() <= 1):  # NaN, too
            raise EngineError("a tensor of floating point: must lie in [0, 1]; divide by 255, or give uint8")
        batch = (batch.float() * 255).round().to(torch.uint8)
    elif batch.dtype != torch.uint8:
        raise EngineError(f"a tensor of {str(batch.dtype).removeprefix('torch.')}: must be uint8, or floating point")
    yield from batch.permute(0, 2, 3, 1).numpy()  # (H, W, 3) each
