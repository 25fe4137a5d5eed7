"""Which device, memory layout and precision a run uses, and one line that says so."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import EngineError
from files.words import cut, plural

_GPU = re.compile(r"cuda|(?:cuda:?)?(\d{1,4})", re.ASCII)


def select_device(spec: str = "") -> torch.device:
    """The device of a `--device` flag: '' (the first GPU, else the CPU), 'cpu', '0', 'cuda:1', 'mps'.

    Raises:
        EngineError: no such device here.
    """
    spec = spec.strip().lower()
    if spec == "cpu":
        return torch.device("cpu")
    if spec == "mps":
        if not torch.backends.mps.is_available():
            raise EngineError("--device mps: no Apple GPU is available here; use --device cpu")
        return torch.device("mps")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if spec == "":
        return torch.device("cuda", 0) if count else torch.device("cpu")
    known = _GPU.fullmatch(spec)
    if known is None:
        hint = "one process uses one GPU; give one number" if "," in spec else "use cpu, mps or the number of a GPU"
        raise EngineError(
            f"--device {cut(spec if spec.isprintable() else repr(spec), 40)}: not a device; {hint}, such as 0"
        )
    index = int(known[1] or 0)
    if index >= count:
        remedy = "use --device cpu" + (f", or a number from 0 to {count - 1}" if count else "")
        raise EngineError(f"--device {spec}: {describe_count(count)} here; {remedy}")
    return torch.device("cuda", index)


def describe_count(count: int) -> str:
    """How many GPUs there are, in words."""
    return f"{count or 'no'} CUDA {plural(count, 'device is', 'devices are')} available"


def precision_of(device: torch.device, *, half: bool = False, bf16: bool = False) -> torch.dtype:
    """The floating-point type of `--half` and `--bf16`; float32 without them.

    Raises:
        EngineError: both are given, or half precision on a CPU, whose kernels would be slower or missing.
    """
    if half and bf16:
        raise EngineError("--half and --bf16 exclude each other; give one of them")
    if half and device.type == "cpu":
        raise EngineError("--half: float16 needs a GPU; on the CPU use --bf16 or neither")
    if half:
        return torch.float16
    return torch.bfloat16 if bf16 else torch.float32


def detection_precision(
    device: torch.device, *, half: bool = False, bf16: bool = False, fp32: bool = False
) -> torch.dtype:
    """The floating-point type of a detection run: what the flags say, else the fastest that finds the same boxes.

    That is float16 on GPUs that compute with it, and float32 elsewhere. bfloat16, on CPUs that have it, is faster too,
    but with its 8 bits boxes move by pixels: it has to be asked for.

    Raises:
        EngineError: see `precision_of`; or `fp32` together with another one.
    """
    if fp32 and (half or bf16):
        raise EngineError("--fp32 excludes --half and --bf16; give one of them")
    if half or bf16:
        return precision_of(device, half=half, bf16=bf16)
    has_float16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return torch.float16 if has_float16 and not fp32 else torch.float32


def memory_format_of(device: torch.device, precision: torch.dtype) -> torch.memory_format:
    """The layout in which convolutions are fastest: channels last on CPUs and for half precision on tensor cores."""
    if device.type == "cpu" or (device.type == "cuda" and precision != torch.float32):
        return torch.channels_last
    return torch.contiguous_format


@dataclass(frozen=True)
class Compute:
    """Where networks run, and in which floating-point type.

    Attributes:
        precision: float32, or the type that torch.autocast runs the network in; its weights stay float32.
    """

    device: torch.device
    precision: torch.dtype = torch.float32

    @property
    def layout(self) -> torch.memory_format:
        """See `memory_format_of`."""
        return memory_format_of(self.device, self.precision)

    def autocast(self) -> torch.autocast:
        """The context in which the network runs."""
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32)

    def inputs(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)` uint8 on any device to float32 in [0, 1] on this one, in its layout."""
        return network_input(images, self.device, self.layout)

    def describe(self) -> str:
        """Device, layout and precision in words."""
        return f"{describe_device(self.device)}; {describe_precision(self.layout, self.precision)}"


def network_input(images: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
    """Images `(B, 3, H, W)` on any device, uint8 or floating point in [0, 1], to float32 in [0, 1] on this one."""
    pixels = images.to(device, non_blocking=True).to(memory_format=layout)
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()


def describe_precision(layout: torch.memory_format, precision: torch.dtype) -> str:
    """Layout and precision in words."""
    name = "channels last" if layout == torch.channels_last else "channels first"
    return f"{name}, {str(precision).removeprefix('torch.')}"


def describe_device(device: torch.device) -> str:
    """A short name of the device, with torch's version."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    else:
        name = f"{device.type}, {torch.get_num_threads()} threads"
    return f"{name}, torch {torch.__version__}"


def memory_usage(device: torch.device) -> str:
    """Memory held now: on the GPU for a GPU, else of this process; '' where the system does not tell."""
    if device.type == "cuda":
        return f"{torch.cuda.memory_reserved(device) / 2**30:.1f}G"
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return ""
    pages = int(statm.read_text().split()[1])
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f}G"
