"""TorchScript files of every head and of the blocks that are special: what they find is what the checkpoint finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine import DetectOptions, ExportOptions, export, predict
from engine.backends import open_backend
from engine.backends.metadata import Metadata
from engine.backends.torchscript_archive import read_archive
from engine.checkpoint import save_checkpoint
from engine.errors import EngineError
from engine.exporting.format import ExportJob
from engine.exporting.formats.torchscript import TorchScript
from engine.exporting.network import ExportedNetwork
from models import build_model
from tests.modes.subjects import DETECTORS, Subject

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, which are the validation split of a data set."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    images = [{"id": number, "file_name": f"{number}.png", "height": 48, "width": 64} for number in range(2)]
    for image in images:
        cv2.imwrite(str(folder / str(image["file_name"])), generator.integers(0, 256, (48, 64, 3), np.uint8))
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 30, 20]}
    content = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "a"}, {"id": 7, "name": "b"}]}
    (folder / "all.json").write_text(json.dumps(content))
    split = "{images: ., annotations: all.json}"
    (folder / "data.yaml").write_text(f"train: {split}\nval: {split}\n")
    return folder / "data.yaml"


Write = Callable[[Subject], Path]


@pytest.fixture
def write(tmp_path: Path, randomise: Callable[..., nn.Module]) -> Write:
    """Writes a checkpoint of a subject, with weights at which all counts."""

    def checkpoint(subject: Subject) -> Path:
        torch.manual_seed(0)
        model = build_model(*subject.args)
        if subject.spread:
            randomise(model, spread=subject.spread)
        content = {"model": model.state_dict(), "yaml": model.yaml, "names": ["a", "b"], "category_ids": [1, 7]}
        save_checkpoint(tmp_path / "net.pt", {**content, "imgsz": 64, "data": ""})
        return tmp_path / "net.pt"

    return checkpoint


@pytest.mark.parametrize("subject", DETECTORS, ids=lambda subject: subject.name)
def test_it_finds_what_the_checkpoint_finds(subject: Subject, write: Write, data: Path) -> None:
    weights = write(subject)
    options = ExportOptions(str(weights), ("torchscript",), data=str(data), imgsz=(64,), dynamic=True, batch_size=2)
    (written,) = export(options)
    assert written.path == weights.with_suffix(".torchscript")
    assert (written.format, written.precision) == ("torchscript", "fp32")
    ours, theirs = (open_backend(path, device=CPU) for path in (written.path, weights))
    assert (ours.classes, ours.needs_suppression) == (theirs.classes, theirs.needs_suppression)
    for size in ((1, 3, 96, 64), (5, 3, 64, 160)):
        images = torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.manual_seed(0))
        found, expected = ours(images), theirs(images)
        torch.testing.assert_close(found.boxes_xyxy, expected.boxes_xyxy, rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolo12n", "yolov8n-ghost", "yolo26n-saconv", "yolov10n", "yolov5n-spconv"])
def test_shipped_models(name: str, write: Write, data: Path) -> None:
    weights = write(Subject(name, build_model, (name, 2), spread=0.0))
    export(ExportOptions(str(weights), ("torchscript",), data=str(data), dynamic=True))


def test_a_fixed_file_takes_its_size_and_any_number_of_pictures(write: Write, data: Path) -> None:
    weights = write(DETECTORS[1])
    (written,) = export(ExportOptions(str(weights), ("torchscript",), data=str(data), imgsz=(64, 96), batch_size=2))
    backend = open_backend(written.path, device=CPU)
    assert backend.fixed_hw == (64, 96)
    images = torch.rand(3, 3, 64, 96, generator=torch.manual_seed(0))
    expected = open_backend(weights, device=CPU)(images)
    torch.testing.assert_close(backend(images).boxes_xyxy, expected.boxes_xyxy, rtol=1e-4, atol=1e-3)
    with pytest.raises(EngineError, match=r"--imgsz 64: .* takes 64x96 px"):
        predict(DetectOptions(str(written.path), str(data.parent), imgsz=(64,)))


def tensor_bytes(file: Path) -> int:
    return sum(len(content) for name, content in read_archive(file).items() if name.startswith("data/"))


def test_half(write: Write, data: Path) -> None:
    weights = write(DETECTORS[1])
    (written,) = export(ExportOptions(str(weights), ("torchscript",), data=str(data), half=True))
    assert (written.path.name, written.precision) == ("net_fp16.torchscript", "fp16")
    assert 0 < written.differences.scores < 0.05
    (single,) = export(ExportOptions(str(weights), ("torchscript",), data=str(data)))
    half, full = (tensor_bytes(each.path) for each in (written, single))
    assert half < 0.6 * full


class Baked(nn.Module):
    """Makes numbers of a size, as a block of somebody may."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        width = int(images.shape[3])
        boxes = torch.arange(4.0).expand(images.shape[0], 1, 4) + float(torch.tensor(width))
        return boxes, images.mean((2, 3))[:, None, :1]


class Untraceable(nn.Module):
    def forward(self, images: Tensor) -> None:
        raise RuntimeError("no such kernel\nmore")


def job(*, dynamic: bool) -> ExportJob:
    options = ExportOptions("net.pt", ("torchscript",), dynamic=dynamic)
    return ExportJob(options, (64, 64), None, Metadata(names=("a",), ids=(1,), imgsz=(64, 64), stride=32))


def network(module: nn.Module) -> ExportedNetwork:
    return module  # type: ignore[return-value]


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    TorchScript().write(network(Baked()), job(dynamic=False), tmp_path / "a.torchscript")
    with pytest.raises(EngineError, match="--dynamic: a trace of this network fits one size alone; leave it out"):
        TorchScript().write(network(Baked()), job(dynamic=True), tmp_path / "b.torchscript")
    with pytest.raises(EngineError, match=r"^--include torchscript: torch cannot trace it \(no such kernel\); choose"):
        TorchScript().write(network(Untraceable()), job(dynamic=False), tmp_path / "c.torchscript")
    with pytest.raises(EngineError, match="--nms: torchscript has no such option"):
        export(ExportOptions("net.pt", ("torchscript",), nms=True))
