"""One rule for `--imgsz` in training, validation and detection: sides are rounded up to what the strides divide.

And one for its upper end in training and validation: the network's input must fit into the memory.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from engine.errors import EngineError

_BYTES_PER_PIXEL = 3 * 4  # three channels of float32

log = logging.getLogger(__name__)


def fit_to_stride(imgsz: Sequence[int], stride: int) -> tuple[int, ...]:
    """Sides of the network input in pixels, rounded up to multiples of `stride`; says so where that changes them."""
    fitting = tuple(-(-side // stride) * stride for side in imgsz)
    if fitting != tuple(imgsz):
        asked, used = (" ".join(map(str, sides)) for sides in (imgsz, fitting))
        log.warning("warning: --imgsz %s is not a multiple of the stride %d; %s is used", asked, stride, used)
    return fitting


def check_input_memory(imgsz: int, batch_size: int, images: int) -> None:
    """Refuses an input that alone is larger than the memory: the system would kill the process without a word.

    Args:
        imgsz: side of the square input, px.
        batch_size, images: a batch holds no more than there are.

    Raises:
        EngineError: it does not fit.
    """
    needed, there = min(batch_size, images) * imgsz**2 * _BYTES_PER_PIXEL, memory_bytes()
    if there is not None and needed > there:
        raise EngineError(
            f"--imgsz {imgsz}: {min(batch_size, images)} images of that size fill {needed / 2**30:,.0f} GiB, and this "
            f"machine has {there / 2**30:,.0f} GiB; choose a smaller --imgsz or --batch-size"
        )


def memory_bytes() -> int | None:
    """The machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def check_fixed_size(imgsz: Sequence[int], fixed_hw: tuple[int, int], weights: Path) -> None:
    """Refuses another size than the one that a file was exported for.

    Args:
        imgsz: as given: () for nothing, one number for both sides, two for height and width; pixels.
        fixed_hw: height and width that the file takes.

    Raises:
        EngineError: it is another one.
    """
    if imgsz and (imgsz[0], imgsz[-1]) != fixed_hw:
        height, width = fixed_hw
        raise EngineError(
            f"--imgsz {' '.join(map(str, imgsz))}: {weights} takes {height}x{width} px (height x width) and nothing "
            "else; leave --imgsz out, or export it with --dynamic"
        )
