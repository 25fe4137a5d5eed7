"""The module that runs a model's graph."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from files.classes import Classes
from models.config.reader import load_config
from models.config.schema import ModelConfig
from models.errors import ConfigError
from models.heads.base import DetectionHead, Predictions
from models.parser import IMAGE, build_rows, warn_of_unread_rows
from models.probe import PROBE_SIZE, find_size_divisor, find_strides, trace_rows

log = logging.getLogger(__name__)

# What YOLOv5's checkpoints were trained with; part of the function that a checkpoint computes.
BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.03
DEFAULT_IMAGE_SIZE = 640


def build_model(
    cfg: str | os.PathLike[str] | Mapping[str, Any] | ModelConfig, num_classes: int | None = None
) -> Detector:
    """Build a detector in training mode, with fresh weights.

    Args:
        cfg: path of a model YAML, name of one in `configs/models/` (`yolov5s-saconv.yaml` or `yolov5s-saconv`), its
            content as a mapping, such as `Detector.yaml`, or what `load_config` made of either.
        num_classes: replaces the file's `nc`.

    Raises:
        ConfigError: the configuration is wrong; the message is one line that names file, line and row.
    """
    config = cfg if isinstance(cfg, ModelConfig) else load_config(cfg)
    if num_classes is not None:
        config = config.with_classes(num_classes)
    model = Detector(config)
    if not isinstance(cfg, Mapping):  # a checkpoint's configuration is nobody's to mend
        for remark in config.remarks:
            log.warning("%s", remark)
        warn_of_unread_rows(model.rows)
    if model.num_classes != config.nc:
        head = model.rows[-1].location
        raise ConfigError(f"{head}: is for {model.num_classes} classes where {config.nc} are asked for; write nc there")
    return model


class Detector(nn.Module):
    """A detector built from a configuration.

    Attributes:
        model: the rows' modules in order; state-dict keys are `model.{row}.…`, as YOLOv5's.
        rows: what each row is.
        classes: names and the data set's own ids; numbered until the trainer sets them.
        imgsz: side of the network input that it was trained for, pixels.
        data: path of the data-set YAML that it was trained on; may be empty.
        yaml: plain dict that rebuilds the architecture with `build_model`.
        size_divisor: height and width of images must be multiples of it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rows, modules = build_rows(config)
        self.rows = tuple(rows)
        self.model = nn.Sequential(*modules)
        self.yaml = config.plain()
        self.classes = Classes.numbered(self.head.num_classes)
        self.imgsz = DEFAULT_IMAGE_SIZE
        self.data = ""
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eps, module.momentum = BATCH_NORM_EPS, BATCH_NORM_MOMENTUM
        # outputs that a later row than the next one takes
        self._kept = frozenset(source for row in rows for source in row.sources if source != row.index - 1)

        traces = trace_rows(rows, modules, (1, config.ch, PROBE_SIZE, PROBE_SIZE), limited=True)
        strides = find_strides(rows, traces, PROBE_SIZE)
        self.size_divisor = find_size_divisor(rows, modules, config.ch, strides)
        self.head.set_stride(torch.tensor(strides, dtype=torch.float32))

    @property
    def head(self) -> DetectionHead:
        """The last row."""
        return cast(DetectionHead, self.model[-1])

    @property
    def stride(self) -> Tensor:
        """`(levels,)` input pixels per cell of each of the head's levels."""
        return self.head.stride

    @property
    def names(self) -> list[str]:
        """Class names, in class order."""
        return list(self.classes.names)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.head.num_classes

    @property
    def in_channels(self) -> int:
        """Channels of the image."""
        return int(self.yaml.get("ch", 3))

    def forward(self, images: Tensor) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Detect objects.

        Args:
            images: `(B, C, H, W)` RGB in [0, 1]; H and W multiples of `size_divisor`.

        Returns:
            In training mode the head's raw logits, one tensor per level. In evaluation mode `(readable, logits)`, where
            readable is `(B, N, columns)`: cx, cy, w, h in input pixels, and what else the head has to show: the
            anchor-based one objectness and class probabilities, `5 + nc` columns.

        Raises:
            ValueError: a size that the strides do not divide.
        """
        logits = self.logits(images)
        return logits if self.training else (self.head.readable(logits), logits)

    def logits(self, images: Tensor) -> list[Tensor]:
        """The head's raw logits, one tensor per level; images `(B, C, H, W)` as in `forward`.

        Raises:
            ValueError: a size that the strides do not divide.
        """
        if not (torch.compiler.is_compiling() or torch.jit.is_tracing()):
            self._check_size(images)
        return self._run_graph(images)

    def predict(self, images: Tensor) -> Predictions:
        """Boxes `(B, N, 4)` and scores `(B, N, nc)`, not yet suppressed; images `(B, C, H, W)` as in `forward`.

        Raises:
            ValueError: a size that the strides do not divide.
        """
        return self.head.decode(self.logits(images))

    def fuse(self) -> Detector:
        """Bring every block that can into its form for inference (BatchNorm folded, ...), in place. Returns itself."""
        for module in list(self.model.modules()):
            fuse = getattr(module, "fuse", None)
            if callable(fuse):
                fuse()
        return self

    def _run_graph(self, images: Tensor) -> list[Tensor]:
        kept = {IMAGE: images}
        output: Any = images
        for row, module in zip(self.rows, self.model, strict=True):
            inputs = [output if source == row.index - 1 else kept[source] for source in row.sources]
            output = module(inputs if row.takes_list else inputs[0])
            if row.index in self._kept:
                kept[row.index] = output
        return output

    def _check_size(self, images: Tensor) -> None:
        height, width = images.shape[-2:]
        if height % self.size_divisor or width % self.size_divisor:
            raise ValueError(
                f"image size {height}x{width} is not a multiple of {self.size_divisor}; letterbox or pad the images"
            )
