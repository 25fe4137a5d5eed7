"""The running of things: training, evaluation and detection. Knows `models` and `data`; neither knows it.

    from engine import TrainOptions, train

The names below are imported when they are first used: importing a part of `engine` alone must not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from files.lazy import lazy_names

if TYPE_CHECKING:
    from engine.detect.predict import predict
    from engine.detections import Detections
    from engine.exporting.benchmark import Benchmark, benchmark
    from engine.exporting.export import Exported, export
    from engine.metrics.evaluate import EvalResult
    from engine.options import DetectOptions, ExportOptions, ResumeOptions, TrainOptions, ValOptions
    from engine.training.loop import train
    from engine.training.training import TrainResult
    from engine.validation import validate

__all__ = [
    "Benchmark",
    "DetectOptions",
    "Detections",
    "EvalResult",
    "ExportOptions",
    "Exported",
    "ResumeOptions",
    "TrainOptions",
    "TrainResult",
    "ValOptions",
    "benchmark",
    "export",
    "predict",
    "train",
    "validate",
]

if not TYPE_CHECKING:  # a type checker must not take any name for granted
    __getattr__ = lazy_names(
        __name__,
        {
            "Benchmark": "engine.exporting.benchmark",
            "DetectOptions": "engine.options",
            "Detections": "engine.detections",
            "EvalResult": "engine.metrics.evaluate",
            "ExportOptions": "engine.options",
            "Exported": "engine.exporting.export",
            "ResumeOptions": "engine.options",
            "TrainOptions": "engine.options",
            "TrainResult": "engine.training.training",
            "ValOptions": "engine.options",
            "benchmark": "engine.exporting.benchmark",
            "export": "engine.exporting.export",
            "predict": "engine.detect.predict",
            "train": "engine.training.loop",
            "validate": "engine.validation",
        },
    )
