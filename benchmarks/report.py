"""What the benchmarks share: their flags, the machine's description, and the JSON file."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from engine.cli.flags import positive_int
from engine.device import describe_device, memory_format_of, precision_of, select_device
from files import atomic


@dataclass(frozen=True)
class Setting:
    """Where and how everything is measured.

    Attributes:
        device: CPU or GPU.
        precision: of the inference form's weights and maps, and of the training step's autocast.
        layout: of the project's own blocks; what is published stays in NCHW.
        batch: images of one inference.
        train_batch: images of one training step.
        rounds: samples per figure.
    """

    device: torch.device
    precision: torch.dtype
    layout: torch.memory_format
    batch: int
    train_batch: int
    rounds: int

    def describe(self) -> str:
        """One line for the head of a table."""
        precision = str(self.precision).removeprefix("torch.")
        return (
            f"{describe_device(self.device)}; {precision}; inference at batch {self.batch}, training step (forward and "
            f"backward) at batch {self.train_batch}; medians of {self.rounds} rounds, all variants in turn"
        )


def parser_for(description: str, name: str) -> argparse.ArgumentParser:
    """A parser with the flags of `setting_from` and `--json`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--device", default="", help="cpu, or the number of a GPU; default: the GPU where there is one")
    parser.add_argument("--half", action="store_true", help="float16, on a GPU")
    parser.add_argument("--bf16", action="store_true", help="bfloat16")
    parser.add_argument("--batch-size", type=positive_int, help="images per inference; default: 1, on a GPU 16")
    parser.add_argument("--train-batch-size", type=positive_int, help="per training step; default: 4, on a GPU 16")
    parser.add_argument("--rounds", type=positive_int, default=15, help="samples per figure")
    parser.add_argument("--json", type=Path, default=Path(f"runs/benchmarks/{name}.json"), help="where figures go")
    return parser


def setting_from(options: argparse.Namespace) -> Setting:
    """Device, precision, layout and batch sizes of parsed flags.

    Raises:
        EngineError: no such device, or a precision that it does not have.
    """
    device = select_device(options.device)
    precision = precision_of(device, half=options.half, bf16=options.bf16)
    on_gpu = device.type == "cuda"
    return Setting(
        device,
        precision,
        memory_format_of(device, precision),
        options.batch_size or (16 if on_gpu else 1),
        options.train_batch_size or (16 if on_gpu else 4),
        options.rounds,
    )


def write_json(path: Path, setting: Setting, content: Mapping[str, Any]) -> None:
    """Writes the figures with the machine and the time at which they were taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    taken = datetime.now(timezone.utc).isoformat(timespec="seconds")
    atomic.write_json(path, {"setting": setting.describe(), "taken": taken, **content}, indent=1)
    print(f"\n{path}")


def geometric_mean(values: Iterable[float]) -> float:
    """The mean of ratios."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))
