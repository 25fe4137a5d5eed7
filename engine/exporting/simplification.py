"""`--simplify-blocks`: blocks that are simpler ones on the training pictures, and what writing them so changes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.device import network_input
from engine.exporting.accuracy import Accuracy
from engine.exporting.check import Differences, cell_distance, differences
from engine.exporting.format import ExportJob
from engine.exporting.network import ExportedNetwork
from engine.exporting.pictures import inputs_of, picture_paths
from engine.options import ValOptions
from files.progress import bar
from models.detector import Detector
from models.simplify import Simplified, simplify

MOST = 1000
"""Training pictures that the blocks are run on; of more, so many are drawn with a fixed seed."""
BATCH = 8  # pictures, where AP is measured


@dataclass(frozen=True)
class Simplification:
    """What became of the blocks that could be simpler.

    Attributes:
        tolerance: as asked for; see `models.simplify`.
        pictures: training pictures that were looked at.
        blocks: each block that could be simpler, replaced or not.
        differences: between the trained network (`torch`) and the simpler one (`file`), both in PyTorch, on the
            pictures that files are compared on; None where nothing was replaced.
        ap: of both, in this order, on the validation pictures; None where nothing was replaced, NaN without objects.
    """

    tolerance: float
    pictures: int
    blocks: tuple[Simplified, ...]
    differences: Differences | None = None
    ap: tuple[float, float] | None = None

    @property
    def replaced(self) -> int:
        """How many blocks were replaced."""
        return sum(block.replaced for block in self.blocks)


def simplified(detector: Detector, job: ExportJob, inputs: Sequence[Tensor]) -> Simplification | None:
    """Replaces blocks of a detector in place, as `--simplify-blocks` asks; None where it does not ask.

    Args:
        detector: not fused yet.
        inputs: `(1, 3, H, W)` uint8 each, to compare both forms on.

    Raises:
        EngineError: the data set has no training pictures, or its classes are others.
        DataError: annotations or pictures cannot be used.
    """
    tolerance, dataset = job.options.simplify_blocks, job.dataset
    if tolerance is None or dataset is None:
        return None
    paths = picture_paths(dataset, "train", MOST)
    options = ValOptions(job.options.weights, batch_size=BATCH, workers=0)
    accuracy = Accuracy(dataset, detector, job.imgsz, options)  # bad annotations are known before the work
    full = ExportedNetwork(copy.deepcopy(detector))
    pictures = (_input(images) for images in inputs_of(bar(paths, "blocks", leave=False), job.imgsz))
    found = Simplification(tolerance, len(paths), tuple(simplify(detector.eval(), pictures, tolerance)))
    if not found.replaced:
        return found
    simpler = ExportedNetwork(copy.deepcopy(detector))
    return Simplification(
        tolerance,
        found.pictures,
        found.blocks,
        differences(full.run, simpler.run, inputs, cell_distance),
        (accuracy.ap(full.detector), accuracy.ap(simpler.detector)),
    )


def _input(images: Tensor) -> Tensor:
    return network_input(images, torch.device("cpu"), torch.contiguous_format)
