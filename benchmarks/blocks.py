"""Parameters, FLOPs, milliseconds and peak memory of the convolution blocks, at shapes of YOLOv5s at 640 px.

    python -m benchmarks.blocks

Inference is of the fused form, in the project's layout. "published" is `PublishedSAConv2d`, in NCHW and not fused: what
a person has who copies the paper's formulas. "two convolutions" is what no form of SAConv2d can do without: its two
branches, added, and nothing else.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Function, peak_memory, time_in_turn
from benchmarks.published import PublishedSAConv2d, TwoConvolutions
from benchmarks.report import Setting, geometric_mean, parser_for, setting_from, write_json
from engine.cli.run import run_cli
from models import Conv, SAConv2d, SPConv
from models.summary import count_parameters

PLAIN, OURS, DEFORMABLE, SLIM = "Conv", "SAConv2d", "SAConv2d deformable", "SPConv"
FLOOR, PUBLISHED = "two convolutions", "SAConv2d published"

VARIANTS: dict[str, Callable[..., nn.Module]] = {
    PLAIN: Conv,
    OURS: SAConv2d,
    DEFORMABLE: partial(SAConv2d, use_deform=True),
    SLIM: SPConv,
    FLOOR: TwoConvolutions,
    PUBLISHED: PublishedSAConv2d,
}


@dataclass(frozen=True)
class Shape:
    """One 3x3 convolution of a network: channels, input side in cells, stride."""

    c1: int
    c2: int
    side: int
    stride: int = 1

    def __str__(self) -> str:
        return f"{self.c1}->{self.c2} @{self.side}" + (f"/{self.stride}" if self.stride > 1 else "")


SHAPES = (
    Shape(64, 64, 80),
    Shape(64, 128, 160, 2),
    Shape(128, 128, 80),
    Shape(128, 256, 80, 2),
    Shape(256, 256, 40),
    Shape(256, 512, 40, 2),
)


@dataclass(frozen=True)
class Figures:
    """What was measured of one block at one shape; memory in MiB."""

    parameters: int
    mflops: float
    inference_ms: float
    training_ms: float
    inference_mib: float
    training_mib: float


def measure_shape(shape: Shape, variants: Sequence[str], setting: Setting) -> dict[str, Figures]:
    """All variants at one shape, timed in turn."""
    blocks = {name: _build(name, shape) for name in variants}
    inference = {name: _inference(name, copy.deepcopy(block), shape, setting) for name, block in blocks.items()}
    training = {name: _training_step(name, block, shape, setting) for name, block in blocks.items()}
    inference_ms = time_in_turn(inference, setting.device, setting.rounds)
    training_ms = time_in_turn(training, setting.device, setting.rounds)
    return {
        name: Figures(
            count_parameters(block),
            _mflops(block, shape),
            inference_ms[name],
            training_ms[name],
            peak_memory(inference[name], setting.device),
            peak_memory(training[name], setting.device),
        )
        for name, block in blocks.items()
    }


def _build(name: str, shape: Shape) -> nn.Module:
    """A block in which nothing is neutral; the published one has the weights of ours."""
    torch.manual_seed(0)
    block = VARIANTS[OURS if name == PUBLISHED else name](shape.c1, shape.c2, 3, shape.stride)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    if name != PUBLISHED:
        return block
    published = VARIANTS[name](shape.c1, shape.c2, 3, shape.stride)
    published.load_state_dict(block.state_dict())
    return published


def _layout(name: str, setting: Setting) -> torch.memory_format:
    return torch.contiguous_format if name == PUBLISHED else setting.layout


def _inference(name: str, block: nn.Module, shape: Shape, setting: Setting) -> Function:
    """One inference of `block`, which is fused for it."""
    block.eval().requires_grad_(False)
    if name != PUBLISHED:
        block.fuse()  # type: ignore[operator]
    layout = _layout(name, setting)
    block.to(setting.device, setting.precision).to(memory_format=layout)
    x = _input(shape, setting.batch, setting).to(setting.precision).to(memory_format=layout)

    def infer() -> Tensor:
        with torch.inference_mode():
            return block(x)

    return infer


def _training_step(name: str, block: nn.Module, shape: Shape, setting: Setting) -> Function:
    layout = _layout(name, setting)
    block.to(setting.device).to(memory_format=layout)
    x = _input(shape, setting.train_batch, setting).to(memory_format=layout).requires_grad_()
    gradient = torch.randn_like(block.train()(x))
    mixed = setting.precision != torch.float32

    def step() -> None:
        block.zero_grad(set_to_none=True)
        x.grad = None
        with torch.autocast(setting.device.type, dtype=setting.precision, enabled=mixed):
            y = block(x)
        y.backward(gradient.to(y.dtype))

    return step


def _input(shape: Shape, batch: int, setting: Setting) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, shape.c1, shape.side, shape.side, generator=generator).to(setting.device)


def _mflops(block: nn.Module, shape: Shape) -> float:
    """Two per multiply-add, for one image; deformable convolutions as plain ones of their size."""
    # Not `empty`: what lies in memory may be NaN, and with offsets that are torchvision reads outside of the map.
    x = torch.zeros(1, shape.c1, shape.side, shape.side, device=next(block.parameters()).device)
    counted = {torch.ops.torchvision.deform_conv2d: _deform_flops}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter, torch.no_grad():
        block.eval()(x)
    block.train()
    return counter.get_total_flops() / 1e6


def _deform_flops(_x: torch.Size, kernel: torch.Size, *_: object, out_shape: torch.Size, **__: object) -> int:
    return 2 * kernel.numel() * out_shape[0] * out_shape[2] * out_shape[3]


def _table(measured: dict[Shape, dict[str, Figures]]) -> str:
    headers = [
        "shape",
        "block",
        "parameters",
        "MFLOPs",
        "inference ms",
        "/ Conv",
        "MiB",
        "training ms",
        "/ Conv",
        "MiB",
    ]
    lines = []
    for shape, figures in measured.items():
        plain = figures[PLAIN]
        for name, own in figures.items():
            line = [str(shape), name, f"{own.parameters:,}", f"{own.mflops:,.0f}"]
            line += [f"{own.inference_ms:.2f}", f"{own.inference_ms / plain.inference_ms:.2f}"]
            line += [f"{own.inference_mib:.1f}", f"{own.training_ms:.1f}"]
            line += [f"{own.training_ms / plain.training_ms:.2f}", f"{own.training_mib:.1f}"]
            lines.append(line)
    align = ("left", "left") + ("right",) * 8
    return tabulate(lines, headers, "github", colalign=align, disable_numparse=True)


def ratios(measured: dict[Shape, dict[str, Figures]]) -> dict[str, dict[str, float]]:
    """For each comparison its value at each shape, and over all shapes their geometric mean ("mean")."""
    compared = {
        "inference, SAConv2d published / ours": (PUBLISHED, OURS, "inference_ms"),
        "inference, SAConv2d ours / Conv": (OURS, PLAIN, "inference_ms"),
        "inference, two convolutions / Conv": (FLOOR, PLAIN, "inference_ms"),
        "inference, SAConv2d published / two convolutions": (PUBLISHED, FLOOR, "inference_ms"),
        "inference, SAConv2d deformable / Conv": (DEFORMABLE, PLAIN, "inference_ms"),
        "inference, SPConv / Conv": (SLIM, PLAIN, "inference_ms"),
        "training step, SAConv2d published / ours": (PUBLISHED, OURS, "training_ms"),
        "training step, SAConv2d published / two convolutions": (PUBLISHED, FLOOR, "training_ms"),
        "training memory, SAConv2d ours / published": (OURS, PUBLISHED, "training_mib"),
        "training step, SAConv2d ours / Conv": (OURS, PLAIN, "training_ms"),
    }
    result = {}
    for title, (over, under, field) in compared.items():
        values = {
            str(shape): getattr(figures[over], field) / getattr(figures[under], field)
            for shape, figures in measured.items()
            if over in figures and under in figures
        }
        if values:
            result[title] = {**values, "mean": geometric_mean(values.values())}
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints two tables, writes the JSON file."""
    assert __doc__ is not None
    parser = parser_for(__doc__.splitlines()[0], "blocks")
    parser.add_argument("--shapes", nargs="+", type=_shape_number, default=range(1, len(SHAPES) + 1), metavar="N")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args(argv)
    setting = setting_from(options)
    variants = [name for name in VARIANTS if name == PLAIN or name in options.variants]
    print(setting.describe() + "\n")
    measured = {SHAPES[number - 1]: measure_shape(SHAPES[number - 1], variants, setting) for number in options.shapes}
    print(_table(measured) + "\n")
    compared = ratios(measured)
    columns = [*map(str, measured), "mean"]
    lines = [[title, *(f"{values[column]:.2f}" for column in columns)] for title, values in compared.items()]
    print(tabulate(lines, ["ratio", *columns], "github", disable_numparse=True))
    blocks = {str(shape): {name: asdict(own) for name, own in figures.items()} for shape, figures in measured.items()}
    write_json(options.json, setting, {"blocks": blocks, "ratios": compared})
    return 0


def _shape_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= len(SHAPES):
        raise argparse.ArgumentTypeError(f"{text}: shapes have the numbers 1 to {len(SHAPES)}")
    return int(text)


if __name__ == "__main__":
    sys.exit(run_cli(main))
