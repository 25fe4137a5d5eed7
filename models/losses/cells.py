"""The cells of a head's maps: where their points lie, and which of these lie inside a box.

The cells of an image are numbered through: level by level in the order of the logits, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from models.losses.targets import Targets, boxes_in_pixels

MOST_PAIRS = 1 << 20
"""How many pairs of box and cell are looked at together; in an assignment they take about 150 MB."""

Shape = tuple[int, int]
"""Height and width of a level's map."""


def flattened(logits: Sequence[Tensor]) -> Tensor:
    """Logits per level `(B, C, H, W)` as one table `(B, N, C)`."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in logits], 1)


class Cells(NamedTuple):
    """N cells.

    Attributes:
        points: `(N, 2)` x and y of their middles, in cells of their level.
        side: `(N, 1)` pixels.
    """

    points: Tensor
    side: Tensor

    @classmethod
    def of_maps(cls, shapes: Sequence[Shape], strides: Sequence[float] | Tensor, like: Tensor) -> Cells:
        """All cells of the levels' maps.

        Args:
            strides: pixels per cell of each level.
            like: has the type and the device that the result has.
        """
        points, sides = [], []
        for (height, width), stride in zip(shapes, strides, strict=True):
            x = torch.arange(width, device=like.device, dtype=like.dtype) + 0.5  # (W,)
            y = torch.arange(height, device=like.device, dtype=like.dtype) + 0.5  # (H,)
            grid = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), 2)  # (H, W, 2)
            points.append(grid.flatten(0, 1))
            sides.append(torch.ones_like(points[-1][:, :1]) * stride)
        return cls(torch.cat(points), torch.cat(sides))

    def some(self, cell: Tensor) -> Cells:
        """The cells of these numbers `(M,)`."""
        return Cells(self.points[cell], self.side[cell])

    def boxes_xyxy(self, distances: Tensor) -> Tensor:
        """Boxes `(..., N, 4)` in pixels, from the distances `(..., N, 4)` of left, top, right and bottom, in cells."""
        left_top, right_bottom = distances.chunk(2, -1)  # (..., N, 2) each
        return torch.cat((self.points - left_top, self.points + right_bottom), -1) * self.side

    def distances(self, boxes_xyxy: Tensor) -> Tensor:
        """Distances `(..., N, 4)` in cells, from boxes `(..., N, 4)` in pixels."""
        left_top, right_bottom = (boxes_xyxy / self.side).chunk(2, -1)  # (..., N, 2) each
        return torch.cat((self.points - left_top, right_bottom - self.points), -1)


@dataclass(frozen=True, eq=False)
class Grid:
    """The levels' maps, as a loss asks for them at every step.

    On a GPU a loss of small tensors is a queue of launches. What stays the same is therefore made once.

    Attributes:
        strides: pixels per cell of each level.
        cells: all cells; float32.
        count: their number, N.
        stride: `(levels, 1, 1)` float32.
        size: `(levels, 2)` float32 columns and rows.
        step: `(levels, 2)` int64, from the number of a cell to that of its neighbour on the right, and below.
        before: `(levels,)` int64 cells of the levels before.
    """

    strides: tuple[float, ...]
    cells: Cells
    count: int
    stride: Tensor
    size: Tensor
    step: Tensor
    before: Tensor

    @classmethod
    def of(cls, logits: Sequence[Tensor], strides: tuple[float, ...]) -> Grid:
        """That of logits per level, whose height and width are the third and the fourth size."""
        shapes = tuple((level.shape[2], level.shape[3]) for level in logits)
        return _grid(shapes, strides, logits[0].device)


@lru_cache(maxsize=32)  # rectangular batches have several shapes
def _grid(shapes: tuple[Shape, ...], strides: tuple[float, ...], device: torch.device) -> Grid:
    counts = [height * width for height, width in shapes]
    return Grid(
        strides=strides,
        cells=Cells.of_maps(shapes, strides, torch.empty(0, device=device)),
        count=sum(counts),
        stride=torch.tensor(strides, device=device)[:, None, None],
        size=torch.tensor([(float(width), float(height)) for height, width in shapes], device=device),
        step=torch.tensor([(1, width) for _, width in shapes], device=device),
        before=torch.tensor([sum(counts[:level]) for level in range(len(counts))], device=device),
    )


@dataclass(frozen=True, eq=False)
class CellRanges:
    """For every box and level the cells whose points lie strictly inside the box: a rectangle of whole numbers.

    A table of boxes by cells would be a thousand times as large, and nearly all of it would say no. Cells are numbered
    through all images.

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
    def inside(cls, boxes_xyxy: Tensor, image: Tensor, grid: Grid) -> CellRanges:
        """Those of boxes `(n, 4)` in pixels, each in one of the images, `(n,)` int64."""
        # Where the sides lie, counted in points: the first point is 0. Exact where a stride is a power of two.
        low, high = (boxes_xyxy.view(-1, 1, 2, 2) / grid.stride - 0.5).unbind(2)  # (n, levels, 2) each: x, y
        first = (low.floor() + 1).clamp(min=0)  # the first point after the low side
        end = torch.minimum(high.ceil(), grid.size)  # the first point that is not before the high side
        columns, rows = (end - first).clamp(min=0).long().unbind(2)  # (n, levels) each
        corner = (first.long() * grid.step).sum(2) + grid.before + (image * grid.count)[:, None]  # (n, levels)
        return cls(corner, columns, rows, grid.step[:, 1], (columns * rows).sum(1).tolist())

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

    def pairs(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """The pairs of a box from `start` to before `end` and a cell inside it: by box, and then by cell.

        Returns:
            `(P,)` int64 each: number of the box, and number of the cell.
        """
        corner, columns, rows = (part[start:end].flatten() for part in (self.corner, self.columns, self.rows))
        count = columns * rows  # (R,) of each rectangle: by box, then by level
        begin = count.cumsum(0) - count  # (R,) pairs before it
        jump = self.pitch.repeat(end - start) - columns  # (R,) from behind the end of a row to the next one
        place = torch.arange(sum(self.counts[start:end]), device=count.device)  # (P,)
        rectangles = torch.arange(len(count), device=count.device)
        rectangle = torch.repeat_interleave(rectangles, count, output_size=len(place))  # (P,)
        row = (place - begin.index_select(0, rectangle)) // columns.index_select(0, rectangle)
        cell = place + (corner - begin).index_select(0, rectangle) + row * jump.index_select(0, rectangle)
        return rectangle // len(self.pitch) + start, cell


def cells_to_ignore(targets: Targets, images: int, grid: Grid) -> Tensor:
    """`(B, N)` whether the point of a cell lies inside a region to ignore."""
    ignored = torch.zeros(images * grid.count, dtype=torch.bool, device=targets.ignore.device)  # (B * N,)
    regions_xyxy = boxes_in_pixels(targets.ignore[:, 1:], targets.input_hw)
    ranges = CellRanges.inside(regions_xyxy, targets.ignore[:, 0].long(), grid)
    for start, end in ranges.chunks(MOST_PAIRS):
        ignored[ranges.pairs(start, end)[1]] = True
    return ignored.view(images, -1)
