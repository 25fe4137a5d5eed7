"""Models for `torch.hub`: `torch.hub.load(folder of this file, "custom", "best.pt", source="local")`.

Beside `custom` there is an entry for every name that `--cfg` knows, with `_` for `-`: `yolov5n_saconv`, `yolov8s`, ...
docs/export.md says what they return.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from engine.hub.model import HubModel
    from models.detector import Detector

dependencies = ["cv2", "numpy", "PIL", "pydantic", "torch", "torchvision", "yaml"]
_FOLDER = Path(__file__).resolve().parent


class _Entry(Protocol):
    def __call__(self, weights: str | Path = "", **options: Any) -> HubModel | Detector: ...


def _require_own_packages() -> None:
    """Packages of these names that something else has imported would be taken for this project's."""
    for name in ("files", "models", "data", "engine"):
        other = getattr(sys.modules.get(name), "__file__", None)
        if other is not None and Path(other).resolve().parent.parent != _FOLDER:
            raise ImportError(
                f"{other} has been imported as {name!r}, which is also a package of {_FOLDER}; load the hub model in a "
                "process of its own, or rename yours"
            )


def custom(path: str | Path, **options: Any) -> HubModel | Detector:
    """A trained detector: a checkpoint, or what export.py wrote. Options: see engine.hub.entries.open_weights."""
    from engine.hub.entries import open_weights

    return open_weights(path, **options)


def _entry(name: str) -> _Entry:
    def entry(weights: str | Path = "", **options: Any) -> HubModel | Detector:
        from engine.hub.entries import open_architecture

        return open_architecture(name, weights, **options)

    entry.__name__ = entry.__qualname__ = name.replace("-", "_")
    entry.__doc__ = f"The architecture {name}. Options: see engine.hub.entries.open_architecture."
    return entry


_require_own_packages()

from engine.hub.names import architectures  # noqa: E402

globals().update({name.replace("-", "_"): _entry(name) for name in architectures()})
