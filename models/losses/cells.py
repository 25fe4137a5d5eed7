"""The cells of a head's maps: where their points lie, and which of these lie inside a box.

The cells of all levels are numbered through: level by level in the order of the logits, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models.losses.targets import Targets, boxes_in_pixels

MOST_PAIRS = 1 << 20
"""How many pairs of box and cell are looked at together; in an assignment they take about 150 MB."""

Shapes = Sequence[Sequence[int]]
"""Height and width of each level's map."""


class Cells(NamedTuple):
    """N cells.

    Attributes:
        points: `(2, N)` x and y of their middles, in cells of their level.
        side: `(N,)` pixels.
    """

    points: Tensor
    side: Tensor

    @classmethod
    def of_maps(cls, shapes: Shapes, strides: Sequence[float] | Tensor, like: Tensor) -> Cells:
        """All cells of the levels' maps.

        Args:
            strides: pixels per cell of each level.
            like: has the type and the device that the result has.
        """
        points, sides = [], []
        for (height, width), stride in zip(shapes, strides, strict=True):
            x = torch.arange(width, device=like.device, dtype=like.dtype) + 0.5  # (W,)
            y = torch.arange(height, device=like.device, dtype=like.dtype) + 0.5  # (H,)
            grid = torch.stack((x.expand(height, width), y[:, None].expand(height, width))).flatten(1)  # (2, H * W)
            points.append(grid)
            sides.append(torch.ones_like(grid[0]) * stride)
        return cls(torch.cat(points, 1), torch.cat(sides))

    def some(self, cell: Tensor) -> Cells:
        """The cells of these numbers `(M,)`."""
        return Cells(self.points[:, cell], self.side[cell])

    def boxes_xyxy(self, distances: Tensor) -> Tensor:
        """`(B, 4, N)` boxes in pixels, from the distances `(B, 4, N)` of left, top, right and bottom, in cells."""
        left_top, right_bottom = distances.chunk(2, 1)  # (B, 2, N) each
        return torch.cat((self.points - left_top, self.points + right_bottom), 1) * self.side

    def distances(self, boxes_xyxy: Tensor) -> Tensor:
        """`(B, 4, N)` distances in cells, from boxes `(B, 4, N)` in pixels."""
        left_top, right_bottom = (boxes_xyxy / self.side).chunk(2, 1)  # (B, 2, N) each
        return torch.cat((self.points - left_top, right_bottom - self.points), 1)


@dataclass(frozen=True, eq=False)
class CellRanges:
    """For every box and level the cells whose points lie strictly inside the box: a rectangle of whole numbers.

    A table of boxes by cells would be a thousand times as large, and nearly all of it would say no.

    Attributes:
        corner: `(n, levels)` int64 number of the rectangle's first cell.
        columns, rows: `(n, levels)` int64, how many of each; 0 where no point is inside.
        pitch: `(levels,)` int64, from a cell to the one below.
        counts: cells of each box, all levels together; on the host.
    """

    corner: Tensor
    columns: Tensor
    rows: Tensor
    pitch: Tensor
    counts: list[int]

    @classmethod
    def inside(cls, boxes_xyxy: Tensor, shapes: Shapes, strides: Sequence[float]) -> CellRanges:
        """Those of boxes `(n, 4)` in pixels."""
        left, top, right, bottom = boxes_xyxy.T.contiguous()  # (n,) each
        levels, before = [], 0
        for (height, width), stride in zip(shapes, strides, strict=True):
            x, columns = _range_inside(left, right, width, stride)  # (n,) each
            y, rows = _range_inside(top, bottom, height, stride)
            levels.append(torch.stack((before + y * width + x, columns, rows)))  # (3, n)
            before += height * width
        corner, columns, rows = torch.stack(levels, 2)  # (n, levels) each
        pitch = torch.tensor([width for _, width in shapes], device=corner.device)
        return cls(corner, columns, rows, pitch, (columns * rows).sum(1).tolist())

    def chunks(self, most: int) -> Iterator[tuple[int, int]]:
        """Boxes from `start` to before `end` that have at most so many cells together; or a single one with more."""
        start = cells = 0
        for box, count in enumerate(self.counts):
            if box > start and cells + count > most:
                yield start, box
                start, cells = box, 0
            cells += count
        if start < len(self.counts):
            yield start, len(self.counts)

    def pairs(self, start: int, end: int) -> tuple[Tensor, Tensor, Tensor]:
        """The pairs of a box from `start` to before `end` and a cell inside it: by box, and then by cell.

        Returns:
            `(P,)` int64 each: number of the box, number of the cell, and the cell's place among the box's own.
        """
        levels = len(self.pitch)
        corner, columns, rows = (part[start:end].flatten() for part in (self.corner, self.columns, self.rows))
        count = columns * rows  # (n * levels,)
        total = sum(self.counts[start:end])
        rectangles = torch.arange(len(count), device=count.device)
        rectangle = torch.repeat_interleave(rectangles, count, output_size=total)  # (P,)
        place = torch.arange(total, device=count.device)  # (P,) among all pairs
        begin = count.cumsum(0) - count  # (n * levels,) pairs before each rectangle
        within = place - begin[rectangle]  # (P,)
        row = within // columns[rectangle]
        column = within - row * columns[rectangle]
        box = rectangle // levels  # (P,) from 0
        cell = corner[rectangle] + row * self.pitch[rectangle - box * levels] + column
        return box + start, cell, place - begin[::levels][box]


def _range_inside(low: Tensor, high: Tensor, cells: int, stride: float) -> tuple[Tensor, Tensor]:
    """`(n,)` first of the points on an axis that lie strictly between `(n,)` low and high, and `(n,)` their number."""
    points = (torch.arange(cells, device=low.device, dtype=low.dtype) + 0.5) * stride  # (cells,)
    first = torch.searchsorted(points, low, right=True)  # the first one after the low side
    end = torch.searchsorted(points, high)  # the first one that is not before the high side
    return first, (end - first).clamp(min=0)


def cells_to_ignore(targets: Targets, images: int, shapes: Shapes, strides: Sequence[float]) -> Tensor:
    """`(B, N)` whether the point of a cell lies inside a region to ignore."""
    ignored = torch.zeros(images, sum(h * w for h, w in shapes), dtype=torch.bool, device=targets.ignore.device)
    ranges = CellRanges.inside(boxes_in_pixels(targets.ignore[:, 1:], targets.input_hw), shapes, strides)
    for start, end in ranges.chunks(MOST_PAIRS):
        region, cell, _ = ranges.pairs(start, end)  # (P,) each
        ignored[targets.ignore[region, 0].long(), cell] = True
    return ignored
