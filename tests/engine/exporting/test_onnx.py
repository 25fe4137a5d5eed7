"""ONNX files: every head and family of blocks, run by detect.py and val.py as the checkpoint is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import DetectOptions, EvalResult, ExportOptions, ValOptions, export, predict, validate
from engine.backends import Backend, open_backend
from engine.errors import EngineError
from tests.heads import HEADS

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
pytestmark = pytest.mark.skipif(TORCH < (2, 5), reason="torch 2.4's ONNX exporter takes no dynamic shapes")
CPU = torch.device("cpu")

Checkpoint = Callable[[str], Path]


def both(weights: Path, data: Path, **options: Any) -> tuple[Backend, Backend, Any]:
    """The checkpoint's back end, the file's, and what the export said."""
    (result,) = export(ExportOptions(str(weights), data=str(data), **options))
    return open_backend(weights, device=CPU), open_backend(result.path, device=CPU), result


def images(batch: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 255, (batch, 3, height, width), generator=generator, dtype=torch.uint8)


def assert_same(file: Backend, checkpoint: Backend, x: torch.Tensor) -> None:
    for one, other, tolerance in zip(file(x), checkpoint(x), (1e-2, 1e-4), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("head", [head.name for head in HEADS])
def test_every_head_at_any_size(head: str, checkpoint: Checkpoint, dataset: Path) -> None:
    weights = checkpoint(head)
    reference, file, result = both(weights, dataset, dynamic=True)
    assert result.path == weights.with_name("best.onnx")
    assert result.differences.pictures == 5  # three one by one, and two of them together
    assert file.fixed_hw is None
    assert file.needs_suppression == reference.needs_suppression
    assert file.classes == reference.classes
    assert (file.imgsz, file.stride) == (reference.imgsz, reference.stride)
    for size in ((1, 64, 160), (3, 96, 96), (2, 32, 64)):
        assert_same(file, reference, images(*size))
    model = onnx.load(result.path)
    onnx.checker.check_model(model)
    assert [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        3,
        "height",
        "width",
    ]
    assert [output.name for output in model.graph.output] == ["boxes", "scores"]


@pytest.mark.slow
def test_a_fixed_file_takes_any_number_of_pictures_of_its_size(checkpoint: Checkpoint, dataset: Path) -> None:
    weights = checkpoint("anchor-free")
    reference, file, _ = both(weights, dataset, imgsz=(64, 96), batch_size=2)
    assert file.fixed_hw == (64, 96)
    for batch in (1, 2, 5):
        assert_same(file, reference, images(batch, 64, 96))
    exported = weights.with_name("best.onnx")
    assert measure(exported, dataset).metrics.images == 3
    line = r"--imgsz 640: .*best.onnx takes 64x96 px \(height x width\) and nothing else; leave --imgsz out"
    with pytest.raises(EngineError, match=line):
        measure(exported, dataset, imgsz=640)
    source = str(dataset.parent)
    with pytest.raises(EngineError, match=line):
        predict(DetectOptions(str(exported), source, imgsz=(640,), device="cpu"))
    found = next(predict(DetectOptions(str(exported), source, conf_thres=0.01, device="cpu")))
    expected = next(predict(DetectOptions(str(weights), source, imgsz=(64, 96), conf_thres=0.01, device="cpu")))
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=0.1)


def measure(weights: Path, data: Path, **more: Any) -> EvalResult:
    options = ValOptions(str(weights), data=str(data), workers=0, device="cpu", project=str(weights.parent / "runs"))
    return validate(replace(options, **more))


@pytest.mark.slow
@pytest.mark.parametrize(("head", "agnostic"), [("anchor-based", False), ("anchor-free", True)])
def test_suppression_in_the_file_is_that_of_detection(
    head: str, agnostic: bool, checkpoint: Checkpoint, dataset: Path
) -> None:
    weights = checkpoint(head)
    thresholds = {"conf_thres": 0.05, "iou_thres": 0.4, "agnostic_nms": agnostic}
    _, file, result = both(weights, dataset, dynamic=True, nms=True, topk_all=40, **thresholds)
    assert not file.needs_suppression
    assert [output.name for output in onnx.load(result.path).graph.output] == ["boxes", "scores", "classes"]
    options = DetectOptions(str(weights), str(dataset.parent), device="cpu", max_det=40, **thresholds)
    counts = []
    for expected, found in zip(predict(options), predict(options, file), strict=True):
        counts.append(len(expected))
        assert found.class_id.tolist() == expected.class_id.tolist()
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=0.1)
        np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    assert max(counts) > 2
    assert measure(result.path, dataset).detections
    assert "the file suppresses itself (confidence 0.05, IoU 0.4, 40 detections)" in file.remarks[0]


@pytest.mark.slow
def test_the_figures_are_those_of_the_checkpoint(checkpoint: Checkpoint, dataset: Path) -> None:
    weights = checkpoint("anchor-free")
    (result,) = export(ExportOptions(str(weights), data=str(dataset), dynamic=True, half=True))
    assert result.path == weights.with_name("best_fp16.onnx")
    assert result.precision == "fp16"
    expected, found = measure(weights, dataset), measure(result.path, dataset)
    assert len(found.detections) == pytest.approx(len(expected.detections), rel=0.05)
    assert found.detections[0]["category_id"] in (1, 2)
    best = max(found.detections, key=lambda each: each["score"])["score"]
    assert best == pytest.approx(max(each["score"] for each in expected.detections), abs=0.01)
    with pytest.raises(EngineError, match=r"--bf16: .* has the precision that it was exported in; leave --bf16 out"):
        measure(result.path, dataset, bf16=True)


@pytest.mark.parametrize(
    ("head", "options", "line"),
    [
        ("v10", {"nms": True}, r"--nms: .*best.pt has a one-to-one head, which needs no suppression; leave it out"),
        ("anchor-based", {"opset": 18}, r"--opset 18: ONNX has no operator DeformConv in this version; use a newer"),
        ("anchor-free", {"opset": 17}, r"--opset 17: versions below 18 cannot be written; use a newer one"),
        ("anchor-free", {"opset": 999}, r"--opset 999: torch .* cannot write it; use an older one"),
        ("anchor-free", {"int8": True}, r"--int8: onnx has no such option; leave it out, or export onnx alone"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    head: str, options: dict[str, Any], line: str, checkpoint: Checkpoint, dataset: Path
) -> None:
    weights = checkpoint(head)
    with pytest.raises(EngineError, match=line) as raised:
        export(ExportOptions(str(weights), data=str(dataset), **options))
    assert "\n" not in str(raised.value)
    assert [path.name for path in weights.parent.iterdir()] == ["best.pt"]


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_not_left(
    checkpoint: Checkpoint, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = checkpoint("anchor-free")
    monkeypatch.setattr("engine.backends.onnx.OnnxBackend.prepare", lambda self, images: images.flip(1).float() / 255)
    with pytest.raises(EngineError, match=r"best.onnx: not written, since its boxes differ from PyTorch's by"):
        export(ExportOptions(str(weights), data=str(dataset)))
    assert [path.name for path in weights.parent.iterdir()] == ["best.pt"]


def test_simplified(checkpoint: Checkpoint, dataset: Path) -> None:
    weights = checkpoint("anchor-free")
    if importlib.util.find_spec("onnxslim") is None:
        with pytest.raises(EngineError, match=r'--simplify: needs a package .*; run: pip install "onnxslim'):
            export(ExportOptions(str(weights), data=str(dataset), simplify=True))
        return
    reference, file, _ = both(weights, dataset, simplify=True)
    assert_same(file, reference, images(1, 96, 96))


def test_an_old_torch_is_one_line(checkpoint: Checkpoint, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.4.1")
    with pytest.raises(EngineError, match=r"--include onnx: needs torch 2.5 or newer, not 2.4.1; run: pip install"):
        export(ExportOptions("missing.pt"))
