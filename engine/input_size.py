"""One rule for `--imgsz` in training, validation and detection: sides are rounded up to what the strides divide."""

from __future__ import annotations

import logging
from collections.abc import Sequence

log = logging.getLogger(__name__)


def fit_to_stride(imgsz: Sequence[int], stride: int) -> tuple[int, ...]:
    """Sides of the network input in pixels, rounded up to multiples of `stride`; says so where that changes them."""
    fitting = tuple(-(-side // stride) * stride for side in imgsz)
    if fitting != tuple(imgsz):
        asked, used = (" ".join(map(str, sides)) for sides in (imgsz, fitting))
        log.warning("warning: --imgsz %s is not a multiple of the stride %d; %s is used", asked, stride, used)
    return fitting
