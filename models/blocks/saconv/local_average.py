"""The average over 5x5 windows of a map continued by reflection, for maps of any size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.blocks.pooling import average_windows
from models.tracing import branches_on_size

WINDOW = 5


def local_average(x: Tensor, stride: tuple[int, int], pads: tuple[int, int, int, int]) -> Tensor:
    """5x5 averages of `x (N, C, H, W)` at every `stride`-th position.

    Args:
        x: the map.
        stride: rows and columns from one window to the next.
        pads: left, right, top, bottom: pixels continued by reflection, or cut off where negative. Two on each side give
            an average for each pixel.
    """
    return average_windows(reflect_pad(x, pads), WINDOW, stride)


def reflect_pad(x: Tensor, pads: tuple[int, int, int, int]) -> Tensor:
    """Continues `x (N, C, H, W)` by reflection about its border pixels: left, right, top, bottom.

    Equal to torch's reflection wherever that is defined. Where a pad reaches beyond the map (sizes 1 and 2 here), the
    reflection is reflected again, and a single row or column repeats itself. Negative pads cut off.
    """
    # In a compiled or exported graph the size may vary: there, one form for every size and no branch on it.
    if torch.compiler.is_compiling():
        return _reflected_by_index(x, *pads)
    return _reflected_by_size(x, *pads)


@branches_on_size  # a trace would keep the branch that its example took
def _reflected_by_size(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    height, width = x.shape[2], x.shape[3]
    if min(left, right, top, bottom) >= 0 and max(left, right) < width and max(top, bottom) < height:
        return functional.pad(x, [left, right, top, bottom], mode="reflect")
    return _reflected_by_index(x, left, right, top, bottom)


def _reflected_by_index(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    rows = _reflected(x.shape[2], top, bottom, x.device)
    columns = _reflected(x.shape[3], left, right, x.device)
    return x.index_select(2, rows).index_select(3, columns)


def _reflected(size: int, before: int, after: int, device: torch.device) -> Tensor:
    """The index of the pixel at each of the positions `-before ... size + after - 1` of the continued row."""
    # A tensor, because ONNX has no remainder by a number that is only known when the graph runs.
    period = torch.full((), 2 * (size - 1), dtype=torch.long, device=device).clamp(min=1)
    position = torch.arange(-before, size + after, device=device).remainder(period)
    return torch.minimum(position, period - position)
