"""The project's heads, for tests that run over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Head:
    """A head as a model YAML writes it, and what its training leaves behind.

    Attributes:
        name: for the test's id.
        block: what its row is called once the file is read.
        args: arguments of its row.
        losses: names of its loss's parts, in their order.
        suppresses: whether its boxes need suppression.
        boxes: of a cell.
        keys: what the file says at its top.
        written: what its row calls it.
    """

    name: str
    block: str
    args: tuple[str, ...]
    losses: tuple[str, ...]
    suppresses: bool = True
    boxes: int = 1
    keys: dict[str, Any] = field(default_factory=dict)
    written: str = "Detect"

    def configuration(self, backbone: Sequence[Any], sources: Sequence[int]) -> dict[str, Any]:
        """A model of this backbone and this head, which looks at two of its rows."""
        row = [list(sources), 1, self.written, list(self.args)]
        return {"nc": 2, **self.keys, "backbone": list(backbone), "head": [row]}


_ANCHORS = {"anchors": [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]]}
_BOX_CLASS_DISTANCE = ("box", "cls", "dfl")

HEADS = (
    Head("anchor-based", "Detect", ("nc", "anchors"), ("box", "obj", "cls"), boxes=3, keys=_ANCHORS),
    Head("anchor-free", "AnchorFreeDetect", ("nc",), _BOX_CLASS_DISTANCE),
    Head(
        "two-headed",
        "AnchorFreeDetect",
        ("nc",),
        _BOX_CLASS_DISTANCE,
        suppresses=False,
        keys={"reg_max": 1, "end2end": True, "legacy_class_branch": False},
    ),
    Head("v10", "v10Detect", ("nc",), _BOX_CLASS_DISTANCE, suppresses=False, written="v10Detect"),
)
