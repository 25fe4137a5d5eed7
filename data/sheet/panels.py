"""The charts of the sheet: classes, sizes, aspect ratios, centres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator, NullLocator

from data.media.colours import class_colour
from data.sheet.facts import Network, SplitFacts

COLOURS = {"train": "#3b6fb6", "val": "#e07b39", "test": "#3f9c6b"}
MOST_CLASSES = 100
"""With more, the most frequent half of these is shown, and the rarest."""
_STRIDE_COLOUR, _ANCHOR_COLOUR = "0.35", "#c2185b"
_BINS = 48
_CELLS = 32  # of the map of centres, along each side


def shown_classes(facts: Sequence[SplitFacts]) -> list[int]:
    """Classes by frequency in the first split, and in the others where that is equal; some of them where many are."""
    counts = np.stack([each.counts for each in facts])  # (splits, nc)
    order = np.lexsort((np.arange(counts.shape[1]), *(-row for row in counts[::-1]))).tolist()
    half = MOST_CLASSES // 2
    return order if len(order) <= MOST_CLASSES else [*order[:half], *order[-half:]]


def draw_counts(axes: Axes, facts: Sequence[SplitFacts], classes: Sequence[int], names: Sequence[str]) -> None:
    """How many objects of each class every split has, with the numbers beside the bars."""
    counts = np.stack([each.counts[list(classes)] for each in facts])  # (splits, K)
    most = max(int(counts.max(initial=0)), 1)
    is_wide = most > 50 * max(int(counts[counts > 0].min(initial=most)), 1)
    if is_wide:
        axes.set_xscale("log")
        axes.set_xlim(0.8, 4.0 * most)
    else:
        axes.set_xlim(0, 1.25 * most)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _bars(axes, facts, counts)
    for row, column in enumerate(counts.T.tolist()):
        text = " / ".join(f"{number:,}" for number in column)
        colour = "black" if all(column) else "#c62828"
        axes.annotate(
            text, (max(*column, 0.8), row), (4, 0), textcoords="offset points", va="center", fontsize=7, color=colour
        )
    _name_rows(axes, classes, names)
    title = f"objects of each class, {' / '.join(each.name for each in facts)}"
    title += ", log scale" if is_wide else ""
    axes.set_title(title if counts.all() else f"{title}; red: none in a split", loc="left")


def draw_shares(axes: Axes, facts: Sequence[SplitFacts], classes: Sequence[int]) -> None:
    """Which part of its split's objects each class has."""
    _bars(axes, facts, 100 * np.stack([each.shares[list(classes)] for each in facts]))
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_title("share of the split's objects, %", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(facts), frameon=False, borderaxespad=0)


def draw_sides(axes: Axes, facts: SplitFacts, network: Network) -> None:
    """Widths and heights of a split's objects beside the network's anchors or strides."""
    ticks, limits = _powers(network.imgsz)
    if len(facts.labels):
        edges = np.geomspace(*limits, _BINS + 1)
        sides = facts.sides_wh.clip(limits[0], limits[1])
        cells, *_ = np.histogram2d(sides[:, 0], sides[:, 1], (edges, edges))  # (width, height)
        # from half a box on, so that a single one is seen
        axes.pcolormesh(edges, edges, np.ma.masked_equal(cells.T, 0), norm=LogNorm(0.5, cells.max()), cmap="Blues")
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits, xlabel="width, px", ylabel="height, px")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_minor_locator(NullLocator())
    for stride in network.strides:
        axes.axvline(stride, color=_STRIDE_COLOUR, linestyle=":", linewidth=1)
        axes.axhline(stride, color=_STRIDE_COLOUR, linestyle=":", linewidth=1)
    beside = f"dotted: strides {_listed(network.strides)}"
    if network.anchors_wh is not None:
        axes.plot(*network.anchors_wh.T, "+", color=_ANCHOR_COLOUR, markersize=9, markeredgewidth=1.8)
        beside = f"+ anchors, {beside}"
    axes.set_title(f"{facts.name}: boxes at a {network.imgsz} px input\n{beside}", loc="left")


def draw_sizes(axes: Axes, facts: Sequence[SplitFacts], network: Network) -> None:
    """The sizes of every split's objects, each split as a whole of 1."""
    ticks, limits = _powers(network.imgsz)
    _histograms(axes, facts, [each.sizes for each in facts], np.geomspace(*limits, _BINS + 1))
    axes.set(xscale="log", xlim=limits)
    axes.xaxis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    for stride in network.strides:
        axes.axvline(stride, color=_STRIDE_COLOUR, linestyle=":", linewidth=1)
    finest = min(network.strides)
    small = [f"{each.name} {100 * (each.sizes < finest).mean():.1f} %" for each in facts if len(each.labels)]
    axes.set_xlabel(f"smaller than {finest:g} px: {', '.join(small)}" if small else "px")
    axes.set_title("sizes by split, square root of the area\ndotted: strides", loc="left")


def draw_ratios(axes: Axes, facts: Sequence[SplitFacts], network: Network) -> None:
    """The aspect ratios of every split's objects beside those of the anchors."""
    limits = (1 / 8, 8.0)
    ratios = [each.sides_wh[:, 0] / np.maximum(each.sides_wh[:, 1], 1e-9) for each in facts]
    _histograms(axes, facts, ratios, np.geomspace(*limits, _BINS + 1))
    axes.set(xscale="log", xlim=limits, xlabel="width / height; wider and higher ones are at the borders")
    ticks = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
    axes.xaxis.set_ticks(ticks, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.xaxis.set_minor_locator(NullLocator())
    title = "aspect ratios by split"
    if network.anchors_wh is not None:
        marks = (network.anchors_wh[:, 0] / network.anchors_wh[:, 1]).clip(*limits)
        axes.plot(marks, np.zeros(len(marks)), "^", color=_ANCHOR_COLOUR, markersize=7, clip_on=False, zorder=3)
        title += "\ntriangles: anchors"
    axes.set_title(title, loc="left")


def draw_centres(axes: Axes, facts: SplitFacts) -> None:
    """Where in their images a split's objects lie."""
    if len(facts.labels):
        cells, *_ = np.histogram2d(facts.centres_xy[:, 1], facts.centres_xy[:, 0], _CELLS, ((0, 1), (0, 1)))
        axes.imshow(cells, cmap="magma", extent=(0, 1, 1, 0), aspect="auto", interpolation="nearest")
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), xlabel="left to right")
    axes.set_title(f"{facts.name}: centres in the image\nbright: many", loc="left")


def _bars(axes: Axes, facts: Sequence[SplitFacts], values: np.ndarray) -> None:
    """Horizontal bars in groups; values `(splits, K)`."""
    thickness = 0.8 / len(facts)
    for number, (each, row) in enumerate(zip(facts, values, strict=True)):
        places = np.arange(len(row)) + (number - (len(facts) - 1) / 2) * thickness
        axes.barh(places, row, thickness, color=COLOURS[each.name], label=each.name)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _name_rows(axes: Axes, classes: Sequence[int], names: Sequence[str]) -> None:
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_yticks(range(len(classes)), names, parse_math=False)
    axes.tick_params(axis="y", length=0, pad=14)
    for row, label in enumerate(classes):
        blue, green, red = class_colour(label)
        axes.plot(
            *(-0.012, row), "s", color=(red / 255, green / 255, blue / 255), markersize=6, clip_on=False,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip


def _histograms(axes: Axes, facts: Sequence[SplitFacts], values: Sequence[np.ndarray], edges: np.ndarray) -> None:
    """Outlines of histograms; what is beyond the edges is in the outermost bins."""
    for each, own in zip(facts, values, strict=True):
        if len(own):
            shares, _ = np.histogram(own.clip(edges[0], edges[-1]), edges)
            axes.stairs(100 * shares / len(own), edges, color=COLOURS[each.name], linewidth=1.6, label=each.name)
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # room for the legend
    axes.set_ylabel("% of the split's objects")
    axes.grid(alpha=0.3)
    if any(map(len, values)):
        axes.legend(loc="upper right", ncols=len(facts), frameon=False, borderaxespad=0.2, columnspacing=1)


def _powers(imgsz: int) -> tuple[list[float], tuple[float, float]]:
    """Powers of two from 1 to a network's input, and the limits of an axis with them."""
    ticks = [float(2**power) for power in range(int(np.log2(max(imgsz, 2))) + 1)]
    return ticks, (1.0, float(max(imgsz, 2)))


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in sorted(numbers))
