"""What runs a network for detection, chosen by the ending of the weights file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from engine.device import describe_device
from engine.errors import EngineError
from files.classes import Classes
from files.paths import exists, expanded, find, is_folder, shown, why_missing
from models.heads.base import Predictions


class Backend(ABC):
    """A network ready to detect. A new one is one file in `engine/backends` with a registered subclass.

    The constructor takes `(weights: Path, *, device: torch.device, dtype: torch.dtype)` and raises `EngineError` for
    what it cannot load, or cannot run on that device or in that precision. Optional packages are imported there, not
    at the head of the file; see `engine.packages`.

    Attributes:
        takes_cfg: whether the constructor also takes `cfg: str`, an architecture to run the weights in, and
            `autocast: bool`, whether lower precision is up to each operation, the weights staying float32.
        takes_precision: whether `dtype` decides; files that were written in a precision stay in it.
        weights: file or folder, for messages.
        classes: names and the data set's own ids, in class order.
        imgsz: side of the network input it was made for, pixels.
        stride: height and width of an input must be multiples of it.
        device, dtype: where and in which precision it computes.
        needs_suppression: whether several predictions may stand for one object; see `DetectionHead`. A file that
            suppresses itself gives its detections as predictions that need none; see `finished_predictions`.
        fixed_hw: height and width of the input, where no other size is taken.
        remarks: what a user should know of these weights, a sentence each.
        data: path of the data-set YAML that they were trained on, where they say so.
        is_named: whether `classes` are names that the weights carry, not numbers in their place.
    """

    takes_cfg: ClassVar[bool] = False
    takes_precision: ClassVar[bool] = True
    weights: Path
    classes: Classes
    imgsz: int
    stride: int
    device: torch.device
    dtype: torch.dtype
    needs_suppression: bool = True
    fixed_hw: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()
    data: str = ""
    is_named: bool = True

    @classmethod
    def opens_folder(cls, folder: Path) -> bool:
        """Whether a folder is of this back end, by what lies in it: its name may be another one."""
        return False

    @classmethod
    def opens_file(cls, start: bytes) -> bool:
        """Whether a file whose ending is nobody's is of this back end, by its first bytes."""
        return False

    @abstractmethod
    def __call__(self, images: Tensor) -> Predictions:
        """Detects.

        Args:
            images: (B, 3, H, W) RGB on any device: uint8, or floating point in [0, 1]. H and W multiples of `stride`,
                or as `fixed_hw` says. B is any number: a file for a fixed one is called several times.

        Returns:
            Boxes and scores, float32.
        """

    def prepare(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)` uint8 images to what the call would make of them first, for those who time it apart."""
        return images.float() / 255 if images.dtype == torch.uint8 else images.float()

    def where(self) -> str:
        """What computes, and in which precision, in words."""
        return f"{describe_device(self.device)}; {str(self.dtype).removeprefix('torch.')}"

    def synchronize(self) -> None:
        """Waits until all work is done, so that a clock read afterwards means something."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


BackendClass = TypeVar("BackendClass", bound=type[Backend])

_BY_SUFFIX: dict[str, type[Backend]] = {}
_BACKENDS: list[type[Backend]] = []


def register_backend(*suffixes: str) -> Callable[[BackendClass], BackendClass]:
    """Class decorator: this back end opens weights with these endings (lower case, with the dot).

    Whether it opens folders, it says itself; see `Backend.opens_folder`.

    Raises:
        ValueError: another back end has the ending already.
    """

    def decorate(backend: BackendClass) -> BackendClass:
        for suffix in suffixes:
            if _BY_SUFFIX.setdefault(suffix, backend) is not backend:
                raise ValueError(f"weights ending {suffix!r} already belong to {_BY_SUFFIX[suffix].__name__}")
        _BACKENDS.append(backend)
        return backend

    return decorate


def open_backend(
    weights: str | Path,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    cfg: str = "",
    autocast: bool = False,
) -> Backend:
    """Loads weights with the back end that their ending names; a folder with the one that knows what lies in it.

    Args:
        cfg: another architecture to run the weights in; '' is their own.
        autocast: see `Backend.takes_cfg`; means nothing where the file has its precision.

    Raises:
        EngineError: no such file, no back end for it, or it cannot be loaded, or not as `cfg`.
    """
    path = find(str(weights)) or expanded(weights)
    backend = _backend_of(path)
    if cfg and not backend.takes_cfg:
        kind = "folders" if is_folder(path) else f"weights ending in {path.suffix!r}"
        raise EngineError(f"--cfg {cfg}: {kind} run as they are; leave --cfg out")
    extra: dict[str, Any] = {"cfg": cfg, "autocast": autocast} if backend.takes_cfg else {}
    opened = backend(path, device=device, dtype=dtype, **extra)  # type: ignore[call-arg]
    opened.weights = path
    return opened


def require_precision(backend: Backend, *, half: bool, bf16: bool) -> None:
    """Refuses `--half` and `--bf16` where the weights have their precision.

    Raises:
        EngineError: one of them is given.
    """
    if (half or bf16) and not backend.takes_precision:
        flag = "--half" if half else "--bf16"
        raise EngineError(f"{flag}: {backend.weights} has the precision that it was exported in; leave {flag} out")


def _backend_of(path: Path) -> type[Backend]:
    known = ", ".join(sorted(_BY_SUFFIX))
    if is_folder(path):
        found = next((backend for backend in _BACKENDS if backend.opens_folder(path)), None)
        if found is None:
            raise EngineError(f"{path}: a folder without a network that a back end knows; known endings: {known}")
        return found
    found = _BY_SUFFIX.get(path.suffix.lower()) or _by_content(path)
    if found is None:
        raise EngineError(f"{path}: no back end for weights ending in {path.suffix!r}; known endings: {known}")
    if not exists(path):
        raise EngineError(f"{shown(path)}: {why_missing(path, 'weights file')}; check --weights")
    return found


def _by_content(path: Path) -> type[Backend] | None:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except (OSError, ValueError):
        return None
    return next((backend for backend in _BACKENDS if backend.opens_file(start)), None)
