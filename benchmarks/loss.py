"""Milliseconds and peak memory of the anchor-free loss, beside a dense assignment and a whole training step.

    python -m benchmarks.loss

Every image has many boxes, from a fiftieth to half of its side. The loss is assignment and loss together, forward and
backward down to the logits; the step is forward, loss and backward of the whole network.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from tabulate import tabulate
from torch import Tensor, nn

from benchmarks.dense_assignment import assign_dense
from benchmarks.measure import Function, peak_memory, time_in_turn
from benchmarks.report import Setting, parser_for, setting_from, write_json
from engine.cli.flags import positive_int
from engine.cli.run import run_cli
from models import Detector, build_model
from models.losses.targets import Targets

SMALLEST, LARGEST = 0.02, 0.5  # sides of boxes, as shares of the image's


@dataclass(frozen=True)
class Figures:
    """Milliseconds and MiB of one way, for one batch."""

    ms: float
    mib: float


def crowded_targets(images: int, per_image: int, classes: int, imgsz: int) -> Targets:
    """So many boxes in each of so many square images: sides log-uniform, places uniform."""
    generator = torch.Generator().manual_seed(2)
    count = images * per_image
    image = torch.arange(images).repeat_interleave(per_image)[:, None].float()  # (N, 1)
    label = torch.randint(classes, (count, 1), generator=generator).float()  # (N, 1)
    size = SMALLEST * (LARGEST / SMALLEST) ** torch.rand(count, 2, generator=generator)  # (N, 2)
    centre = size / 2 + (1 - size) * torch.rand(count, 2, generator=generator)  # (N, 2)
    return Targets.of_boxes(torch.cat((image, label, centre, size), 1), (imgsz, imgsz))


def loss_of(criterion: nn.Module, logits: Sequence[Tensor], targets: Targets) -> Function:
    """Assignment and loss with gradients for the logits."""
    leaves = [level.detach().clone().requires_grad_() for level in logits]

    def run() -> Sequence[Tensor]:
        return torch.autograd.grad(torch.stack(list(criterion(leaves, targets, 0.0).values())).sum(), leaves)

    return run


def step_of(model: Detector, criterion: nn.Module, images: Tensor, targets: Targets, setting: Setting) -> Function:
    """Forward, loss and backward of the network."""
    mixed = setting.precision != torch.float32

    def run() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(setting.device.type, dtype=setting.precision, enabled=mixed):
            logits = model(images)
        torch.stack(list(criterion(logits, targets, 0.0).values())).sum().backward()

    return run


def measure(cfg: str, imgsz: int, per_image: int, setting: Setting) -> dict[str, Figures]:
    """Figures of "loss", "dense" and "step"."""
    torch.manual_seed(0)
    model = build_model(cfg).train().to(setting.device).to(memory_format=setting.layout)
    images = torch.rand(setting.train_batch, 3, imgsz, imgsz, generator=torch.Generator().manual_seed(1))
    images = images.to(setting.device).to(memory_format=setting.layout)
    targets = crowded_targets(setting.train_batch, per_image, model.num_classes, imgsz).to(setting.device)
    criterion = model.head.criterion({**model.head.hyperparameters().model_dump(), "imgsz": imgsz})
    dense = copy.copy(criterion)
    dense.assign = assign_dense  # type: ignore[assignment]
    with torch.no_grad():
        logits = [level.float() for level in model(images)]
    ways = {
        "loss": loss_of(criterion, logits, targets),
        "dense": loss_of(dense, logits, targets),
        "step": step_of(model, criterion, images, targets, setting),
    }
    times = time_in_turn(ways, setting.device, setting.rounds)
    return {name: Figures(times[name], peak_memory(way, setting.device)) for name, way in ways.items()}


def table(measured: dict[str, Figures]) -> str:
    """One line for each way, with its share of the training step."""
    names = {"loss": "assignment and loss", "dense": "the same, dense assignment", "step": "training step"}
    step = measured["step"].ms
    lines = [
        [names[way], f"{own.ms:.1f}", f"{100 * own.ms / step:.1f} %", f"{own.mib:.0f}"] for way, own in measured.items()
    ]
    align = ("left", "right", "right", "right")
    return tabulate(lines, ["", "ms", "of a step", "MiB"], "github", colalign=align, disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints a table, writes the JSON file."""
    assert __doc__ is not None
    parser = parser_for(__doc__.splitlines()[0], "loss")
    parser.add_argument("--imgsz", type=positive_int, default=640, help="side of the images in pixels")
    parser.add_argument("--boxes", type=positive_int, default=300, help="boxes in each image")
    parser.add_argument("--cfg", default="yolov8n.yaml", help="the network; it must have no anchors")
    options = parser.parse_args(argv)
    setting = setting_from(options)
    print(f"{setting.describe()}; {options.cfg}, {options.imgsz} px, {options.boxes} boxes per image\n")
    measured = measure(options.cfg, options.imgsz, options.boxes, setting)
    print(table(measured))
    figures = {way: asdict(own) for way, own in measured.items()}
    write_json(options.json, setting, {"cfg": options.cfg, "imgsz": options.imgsz, "boxes": options.boxes, **figures})
    return 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
