"""What runs a network for detection, chosen by the ending of the weights file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from engine.errors import EngineError
from files.classes import Classes
from models.heads.base import Predictions


class Backend(ABC):
    """A network ready to detect. A new one is one file in `engine/backends` with a registered subclass.

    The constructor takes `(weights: Path, *, device: torch.device, dtype: torch.dtype)` and raises `EngineError` for
    what it cannot load, or cannot run on that device or in that precision. Optional packages are imported there, not
    at the head of the file.

    Attributes:
        takes_cfg: whether the constructor also takes `cfg: str`, an architecture to run the weights in.
        classes: names and the data set's own ids, in class order.
        imgsz: side of the network input it was made for, pixels.
        stride: height and width of an input must be multiples of it.
        device, dtype: where and in which precision it computes.
        needs_suppression: whether several predictions may stand for one object; see `DetectionHead`.
    """

    takes_cfg: ClassVar[bool] = False
    classes: Classes
    imgsz: int
    stride: int
    device: torch.device
    dtype: torch.dtype
    needs_suppression: bool = True

    @abstractmethod
    def __call__(self, images: Tensor) -> Predictions:
        """Detects.

        Args:
            images: (B, 3, H, W) RGB on any device: uint8, or floating point in [0, 1]. H and W multiples of `stride`.

        Returns:
            Boxes and scores, float32.
        """

    def synchronize(self) -> None:
        """Waits until all work is done, so that a clock read afterwards means something."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


BackendClass = TypeVar("BackendClass", bound=type[Backend])

_BY_SUFFIX: dict[str, type[Backend]] = {}


def register_backend(*suffixes: str) -> Callable[[BackendClass], BackendClass]:
    """Class decorator: this back end opens weights with these endings (lower case, with the dot).

    Raises:
        ValueError: another back end has the ending already.
    """

    def decorate(backend: BackendClass) -> BackendClass:
        for suffix in suffixes:
            if _BY_SUFFIX.setdefault(suffix, backend) is not backend:
                raise ValueError(f"weights ending {suffix!r} already belong to {_BY_SUFFIX[suffix].__name__}")
        return backend

    return decorate


def open_backend(
    weights: str | Path, *, device: torch.device, dtype: torch.dtype = torch.float32, cfg: str = ""
) -> Backend:
    """Loads weights with the back end that their ending names.

    Args:
        cfg: another architecture to run the weights in; '' is their own.

    Raises:
        EngineError: no such file, no back end for its ending, or it cannot be loaded, or not as `cfg`.
    """
    path = Path(weights).expanduser()
    backend = _BY_SUFFIX.get(path.suffix.lower())
    if backend is None:
        known = ", ".join(sorted(_BY_SUFFIX))
        raise EngineError(f"{path}: no back end for weights ending in {path.suffix!r}; known endings: {known}")
    if not path.exists():
        raise EngineError(f"{path}: no such weights file; check --weights")
    if cfg and not backend.takes_cfg:
        raise EngineError(f"--cfg {cfg}: weights ending in {path.suffix!r} run as they are; leave --cfg out")
    extra: dict[str, Any] = {"cfg": cfg} if cfg else {}
    return backend(path, device=device, dtype=dtype, **extra)  # type: ignore[call-arg]
