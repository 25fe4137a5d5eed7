"""What a format says of itself, and the registry of formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

from data.config import DatasetConfig
from engine.backends.metadata import Metadata
from engine.errors import EngineError
from engine.exporting.network import ExportedNetwork
from engine.options import ExportOptions
from engine.packages import require_package

OPTIONS = {
    "dynamic": "--dynamic",
    "half": "--half",
    "int8": "--int8",
    "nms": "--nms",
    "opset": "--opset",
    "simplify": "--simplify",
}
"""The options that a format may lack, as fields of `ExportOptions`, and their flags."""


class Tolerance(NamedTuple):
    """How far a written file may be from PyTorch on a real picture.

    Attributes:
        boxes_px: sides of a box, pixels of the input.
        scores: in [0, 1].
    """

    boxes_px: float
    scores: float


FP32 = Tolerance(0.1, 1e-3)
"""For what is computed in float32."""


@dataclass(frozen=True)
class ExportJob:
    """What is asked for, with all defaults filled in.

    Attributes:
        options: as given.
        imgsz: height and width of the input, pixels; what is written into the file, and with `dynamic` its default.
        dataset: of `--data`; None where none is given.
        metadata: what the file has to carry; a format may complete it by `dataclasses.replace`.
    """

    options: ExportOptions
    imgsz: tuple[int, int]
    dataset: DatasetConfig | None
    metadata: Metadata

    @property
    def precision(self) -> str:
        """'fp32', 'fp16' or 'int8'."""
        return self.options.precision

    @property
    def batch_size(self) -> int:
        """Pictures per call; with `dynamic` no more than an example."""
        return self.options.batch_size


class ExportFormat(ABC):
    """A format. A new one is one file in `engine/exporting/formats` with a registered subclass, named as the format.

    Attributes:
        ending: of what is written, after the stem of the weights: `.onnx` is a file, `_openvino` (without a dot) a
            folder. Precisions other than fp32 are added: `best_fp16.onnx`, `best_openvino_int8/`.
        options: which of `OPTIONS` the format can follow.
        packages: what has to be there: module to import, and what pip installs for it.
        tolerances: of each precision that the format has; their keys are these precisions.
    """

    ending: ClassVar[str]
    options: ClassVar[frozenset[str]] = frozenset()
    packages: ClassVar[Mapping[str, str]] = {}
    tolerances: ClassVar[Mapping[str, Tolerance]] = {"fp32": FP32}

    name: ClassVar[str]

    @abstractmethod
    def write(self, network: ExportedNetwork, job: ExportJob, temporary: Path) -> None:
        """Writes the network.

        Args:
            network: in evaluation mode, fused, float32, on the CPU. It may be changed: every format gets its own.
            temporary: path of the file to write, or of an empty folder; a file has the format's ending. All of it is
                renamed when it has been checked. The back end must recognise it under this name: a folder by content.

        Raises:
            EngineError: the format lacks an operator or an option; one line.
        """

    def check(self, options: ExportOptions) -> None:
        """Refuses before anything is loaded what the format cannot do.

        Raises:
            EngineError: an option that it does not know, or a package that is missing.
        """
        for field, flag in OPTIONS.items():
            if getattr(options, field) and field not in self.options:
                raise EngineError(f"{flag}: {self.name} has no such option; leave it out, or export {self.name} alone")
        for module, requirement in self.packages.items():
            require_package(module, requirement, f"--include {self.name}")

    def path(self, weights: Path, precision: str) -> Path:
        """Where the result goes: beside the weights."""
        suffix = "" if precision == "fp32" else f"_{precision}"
        name = f"{suffix}{self.ending}" if self.is_file else f"{self.ending}{suffix}"
        return weights.with_name(weights.stem + name)

    @property
    def is_file(self) -> bool:
        """Whether a file is written, not a folder."""
        return self.ending.startswith(".")


FormatClass = TypeVar("FormatClass", bound=type[ExportFormat])

_FORMATS: dict[str, type[ExportFormat]] = {}


def register_format(cls: FormatClass) -> FormatClass:
    """Class decorator that makes a format known, under the name of its module."""
    cls.name = cls.__module__.rpartition(".")[2]
    _FORMATS[cls.name] = cls
    return cls


def format_named(name: str) -> ExportFormat:
    """The format of a name that `engine.format_names.format_names` knows."""
    return _FORMATS[name]()
