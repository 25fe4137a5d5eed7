"""Parameters, FLOPs, milliseconds, images per second and peak memory of whole detectors.

    python -m benchmarks.models

Inference is of the fused network, up to the decoded boxes; "NCHW" is the same fused network in the contiguous layout
and float32, which the project's choice of layout and precision is measured against.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from tabulate import tabulate
from torch import Tensor

from benchmarks.measure import Function, peak_memory, time_in_turn
from benchmarks.report import Setting, parser_for, setting_from, write_json
from engine.cli.flags import positive_int
from engine.cli.run import run_cli
from engine.training.hyperparameters import load_hyperparameters
from models import Detector, build_model
from models.losses.targets import Targets
from models.summary import count_flops, count_parameters

CONFIGURATIONS = ("yolov5s.yaml", "yolov5s-saconv.yaml", "yolov5s-spconv.yaml")


@dataclass(frozen=True)
class Form:
    """Layout and precision in which a network is run."""

    layout: torch.memory_format
    precision: torch.dtype

    def __str__(self) -> str:
        name = "channels last" if self.layout == torch.channels_last else "NCHW"
        return f"{name}, {str(self.precision).removeprefix('torch.')}"


@dataclass(frozen=True)
class Figures:
    """What was measured of one network: for one batch, by form; memory in MiB."""

    parameters: int
    gflops: float
    inference_ms: dict[str, float]
    inference_mib: dict[str, float]
    training_ms: dict[str, float]
    training_mib: dict[str, float]


def forms_of(setting: Setting) -> list[Form]:
    """NCHW in float32, then the project's layout in float32, bfloat16 and, on a GPU, float16."""
    precisions = [torch.float32, torch.bfloat16] + ([torch.float16] if setting.device.type == "cuda" else [])
    forms = [Form(torch.contiguous_format, torch.float32)]
    return forms + [Form(torch.channels_last, precision) for precision in precisions]


def training_forms_of(setting: Setting) -> list[Form]:
    """NCHW, then channels last, in the precision of the setting's autocast."""
    return [Form(layout, setting.precision) for layout in (torch.contiguous_format, torch.channels_last)]


def infer_in(model: Detector, form: Form, imgsz: int, setting: Setting) -> Function:
    """One inference of a fused copy of `model`."""
    deployed = copy.deepcopy(model).eval().fuse().requires_grad_(False)
    deployed.to(setting.device, form.precision).to(memory_format=form.layout)
    images = _images(setting.batch, imgsz).to(setting.device, form.precision).to(memory_format=form.layout)

    def infer() -> Tensor:
        with torch.inference_mode():
            return deployed.predict(images).boxes_xyxy

    return infer


def training_step_in(model: Detector, form: Form, imgsz: int, setting: Setting) -> Function:
    """Forward, loss and backward of a training batch with 8 boxes per image, as train.py does it."""
    device = setting.device
    trained = copy.deepcopy(model).train().to(device).to(memory_format=form.layout)
    hyp = load_hyperparameters("scratch").for_head(trained.head)
    criterion = trained.head.criterion(hyp.gains(imgsz)).to(device)
    images = _images(setting.train_batch, imgsz).to(device).to(memory_format=form.layout)
    targets = Targets.of_boxes(_targets(setting.train_batch, trained.num_classes), (imgsz, imgsz)).to(device)
    mixed = form.precision != torch.float32

    def step() -> None:
        trained.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=form.precision, enabled=mixed):
            logits = trained(images)
        losses = criterion(logits, targets, 0.0)
        torch.stack(list(losses.values())).sum().backward()

    return step


def _images(batch: int, imgsz: int) -> Tensor:
    return torch.rand(batch, 3, imgsz, imgsz, generator=torch.Generator().manual_seed(1))


def _targets(batch: int, classes: int, per_image: int = 8) -> Tensor:
    """`(N, 6)`: image, class, cxcywh in 0..1, boxes of a tenth to a third of the image."""
    generator = torch.Generator().manual_seed(2)
    image = torch.arange(batch).repeat_interleave(per_image)[:, None].float()
    label = torch.randint(classes, image.shape, generator=generator).float()
    centre = 0.2 + 0.6 * torch.rand(len(image), 2, generator=generator)
    size = 0.1 + 0.23 * torch.rand(len(image), 2, generator=generator)
    return torch.cat((image, label, centre, size), 1)


def _build(cfg: str) -> Detector:
    torch.manual_seed(0)
    return build_model(cfg)


def measure(configurations: Sequence[str], imgsz: int, setting: Setting) -> dict[str, Figures]:
    """Figures by configuration."""
    models = {cfg: _build(cfg) for cfg in configurations}
    forms = forms_of(setting)
    inference = {(cfg, form): infer_in(models[cfg], form, imgsz, setting) for cfg in configurations for form in forms}
    inference_ms = time_in_turn(inference, setting.device, setting.rounds)
    steps = {
        (cfg, form): training_step_in(models[cfg], form, imgsz, setting)
        for cfg in configurations
        for form in training_forms_of(setting)
    }
    training_ms = time_in_turn(steps, setting.device, setting.rounds)
    return {
        cfg: Figures(
            count_parameters(models[cfg]),
            count_flops(models[cfg], imgsz) / 1e9,
            {str(form): inference_ms[cfg, form] for form in forms},
            {str(form): peak_memory(inference[cfg, form], setting.device) for form in forms},
            {str(form): training_ms[cfg, form] for form in training_forms_of(setting)},
            {str(form): peak_memory(steps[cfg, form], setting.device) for form in training_forms_of(setting)},
        )
        for cfg in configurations
    }


def _table(measured: dict[str, Figures], work: str, batch: int) -> str:
    """The lines of `work`, "inference" or "training", for batches of `batch` images."""
    first = next(iter(measured))
    by_form = {cfg: (getattr(own, f"{work}_ms"), getattr(own, f"{work}_mib")) for cfg, own in measured.items()}
    nchw = next(iter(by_form[first][0]))
    lines = []
    for cfg, (times, memory) in by_form.items():
        own = measured[cfg]
        for form, ms in times.items():
            line = [
                cfg,
                f"{own.parameters / 1e6:.2f}",
                f"{own.gflops:.1f}",
                form,
                f"{ms:.1f}",
                f"{1000 * batch / ms:.1f}",
            ]
            line += [f"{ms / times[nchw]:.2f}", f"{ms / by_form[first][0][form]:.2f}", f"{memory[form]:.0f}"]
            lines.append(line)
    headers = ["model", "M parameters", "GFLOPs", work, "ms", "images/s", f"/ {nchw}", f"/ {first}", "MiB"]
    align = ("left", "right", "right", "left", *("right",) * 5)
    return tabulate(lines, headers, "github", colalign=align, disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints two tables, writes the JSON file."""
    assert __doc__ is not None
    parser = parser_for(__doc__.splitlines()[0], "models")
    parser.add_argument("--imgsz", type=positive_int, default=640, help="side of the images in pixels")
    parser.add_argument("--cfg", nargs="+", default=CONFIGURATIONS, help="networks; the first is what others are to")
    options = parser.parse_args(argv)
    setting = setting_from(options)
    print(f"{setting.describe()}; {options.imgsz} px\n")
    measured = measure(options.cfg, options.imgsz, setting)
    print(_table(measured, "inference", setting.batch) + "\n")
    print(_table(measured, "training", setting.train_batch))
    figures = {cfg: asdict(own) for cfg, own in measured.items()}
    write_json(options.json, setting, {"imgsz": options.imgsz, "models": figures})
    return 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
