"""What README and docs say holds: links lead somewhere, commands are understood, examples run as they stand there."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from data.augment import Pipeline, Sample, hyperparameter_fields
from data.augment import base as augmentations
from data.coco.records import load_split
from data.config import load_dataset_config
from data.formats import base as formats
from engine import DetectOptions, predict
from engine.backends import base as backends
from engine.cli import detect, export, train, val
from engine.postprocess import select_boxes
from files.classes import Classes
from models import Detector, build_model, registry
from models.config.reader import load_config
from models.losses.targets import Targets
from models.weights.report import Outcome
from models.weights.source import SourceWeights
from models.weights.transfer import transfer_weights
from tests.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLES = ROOT / "docs" / "extending.md"
SCRIPTS: dict[str, Callable[[list[str]], Any]] = {
    "train.py": train.parse_options,
    "val.py": val.parse_options,
    "detect.py": detect.parse_options,
    "export.py": export.parse_options,
}


BACKBONE = [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "C3", [16]]]


def commands(page: Path) -> list[list[str]]:
    """The command lines of a page that begin with `python`, as words."""
    text = page.read_text().replace("\\\n", " ")
    found = re.findall(r"^(?:    |`)?(python (?:-m )?[\w./]+[^\n`]*)|`(python (?:-m )?[\w./]+[^\n`]*)`", text, re.M)
    return [shlex.split(" ".join((block or inline).split()), comments=True)[1:] for block, inline in found]


COMMANDS = [(page.name, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_there_are_commands() -> None:
    assert {words[0] for _, words in COMMANDS} >= {*SCRIPTS, "-m"}


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda value: " ".join(value) if value[1:] else None)
def test_commands_are_understood(page: str, words: list[str]) -> None:
    first, *rest = words
    if first == "-m":
        assert importlib.util.find_spec(rest[0]) is not None
    elif "--resume" not in rest:
        options = SCRIPTS[first](rest)
        if options.cfg:
            load_config(options.cfg)


def example(heading: str, tmp_path: Path) -> ModuleType:
    """The Python example under a heading of extending.md, imported from a file of its own."""
    section = EXAMPLES.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    file = tmp_path / "example.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("example", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What registers itself is known for the test only."""
    build_model("yolov5n.yaml")  # everything of the project has registered itself
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))


def plain_and(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A tiny network, and the same with another convolution in a row and inside a C3."""
    head = [[[-1], 1, "Detect", ["nc", [[10, 13, 16, 30]]]]]
    other = [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, name, [16, 3, 2]], [-1, 1, "C3", [16], {"conv": name}]]
    return {"nc": 2, "backbone": BACKBONE, "head": head}, {"nc": 2, "backbone": other, "head": head}


@pytest.mark.usefixtures("blocks")
def test_example_of_a_block(tmp_path: Path) -> None:
    block = example("A block", tmp_path).ScaledConv
    plain_cfg, cfg = plain_and("ScaledConv")
    plain, model = build_model(plain_cfg), build_model(cfg)
    assert isinstance(model.model[1], block)
    assert isinstance(model.model[2].m[0].cv2, block)
    report = transfer_weights(model, SourceWeights(plain.state_dict(), "test", plain.yaml, Classes.numbered(2)))
    assert report.keys(Outcome.LEFT) == []
    assert "Conv to ScaledConv: the same function" in report.table()
    torch.testing.assert_close(decoded(model), decoded(plain))


def decoded(model: Detector) -> torch.Tensor:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return model.eval()(images)[0]


def test_example_of_an_augmentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentations, "_AUGMENTATIONS", list(augmentations._AUGMENTATIONS))
    grey = example("An augmentation", tmp_path).Grey
    assert hyperparameter_fields()["grey"].default == 0
    assert grey not in {type(stage) for stage in Pipeline.build({}).stages}
    stages = [type(stage).__name__ for stage in Pipeline.build({"grey": 0.5}).stages]
    assert stages[stages.index("MixUp") + 1] == "Grey"
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 8, 3), np.uint8)
    nothing: Any = None
    sample = Sample(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), pool=nothing)
    assert grey(grey=0.0)(sample, rng) is sample
    seen = grey(grey=1.0)(sample, rng).image
    assert seen.dtype == np.uint8
    assert seen.shape == image.shape
    assert (seen == seen[..., :1]).all()
    assert abs(seen[..., 0] - image.mean(axis=2)).max() < 1


@pytest.mark.usefixtures("blocks")
def test_example_of_a_head(tmp_path: Path) -> None:
    head_class = example("A head", tmp_path).Centre
    torch.manual_seed(0)
    rows = [[-1, 1, "Conv", [32, 3, 2]], [[2, 3], 1, "Centre", ["nc"]]]
    model = build_model({"nc": 2, "backbone": BACKBONE, "head": rows})
    assert isinstance(model.head, head_class)
    assert model.stride.tolist() == [4, 8]
    images = torch.rand(2, 3, 64, 96)
    boxes = torch.tensor([[0, 1, 0.3, 0.4, 0.2, 0.3], [1, 0, 0.7, 0.6, 0.5, 0.5]])
    targets = Targets.of_boxes(boxes, (64, 96))
    criterion = model.head.criterion({"imgsz": 96})
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(120):
        losses = criterion(model(images), targets, step / 120)
        assert {*losses} == {"box", "cls"}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    # One detection per object and level is left, where the object is.
    found = select_boxes(model.head.decode(model(images)), iou_thres=0.5)
    for image, (expected, label) in enumerate([([19.2, 16, 38.4, 35.2], 1), ([43.2, 22.4, 91.2, 54.4], 0)]):
        assert {*found[image][:, 5].tolist()} == {label}
        torch.testing.assert_close(found[image][0, :4], torch.tensor(expected), atol=3, rtol=0)


def test_example_of_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_FORMATS", list(formats._FORMATS))
    example("A format of annotations", tmp_path)
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((100, 200, 3), 51, np.uint8))
    rows = "picture,class,left,top,right,bottom\ngrey.png,dog,150,10,250,30\ngrey.png,cat,1,2,3,4\n"
    (tmp_path / "all.csv").write_text(rows)
    (tmp_path / "data.yaml").write_text("train: {images: ., csv: all.csv}\nval: {images: ., csv: all.csv}\n")
    config = load_dataset_config(tmp_path / "data.yaml")
    split = load_split(config.source("train"), config.settings())
    assert split.classes.names == ("cat", "dog")
    assert split.records[0].boxes_xyxy.tolist() == [[150, 10, 200, 30], [1, 2, 3, 4]]
    assert split.report.clipped == 1


def test_example_of_a_back_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(backends, "_BY_SUFFIX", dict(backends._BY_SUFFIX))
    monkeypatch.setattr(backends, "_BACKENDS", list(backends._BACKENDS))
    example("A back end", tmp_path)
    write_onnx(onnx, tmp_path / "fixed.network")
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((100, 200, 3), 51, np.uint8))
    options = DetectOptions(str(tmp_path / "fixed.network"), str(tmp_path / "grey.png"), conf_thres=0.1)
    (found,) = predict(options)
    assert found.class_id.tolist() == [1]
    assert found.xyxy.tolist() == [[20, 10, 60, 30]]  # of a picture twice as large as the input
    assert found.confidence.tolist() == pytest.approx([0.2])


def write_onnx(onnx: Any, file: Path) -> None:
    """A network of two classes whose one box is always the same, and whose score is the input's smallest number."""
    helper, numbers = onnx.helper, onnx.TensorProto.FLOAT
    weights = [
        helper.make_tensor("boxes", numbers, (1, 1, 4), [10, 5 + 1, 30, 15 + 1]),  # 1 px of border above the picture
        helper.make_tensor("classes", numbers, (1, 1, 2), [0, 1]),
        helper.make_tensor("axes", onnx.TensorProto.INT64, (3,), [1, 2, 3]),
        helper.make_tensor("shape", onnx.TensorProto.INT64, (3,), [-1, 1, 1]),
    ]
    nodes = [
        helper.make_node("ReduceMin", ["images", "axes"], ["least"]),
        helper.make_node("Reshape", ["least", "shape"], ["score"]),
        helper.make_node("Mul", ["score", "classes"], ["scores"]),
        helper.make_node("Identity", ["boxes"], ["found"]),
    ]
    images = helper.make_tensor_value_info("images", numbers, ("N", 3, "H", "W"))
    outputs = [helper.make_tensor_value_info(name, numbers, None) for name in ("found", "scores")]
    graph = helper.make_graph(nodes, "fixed", [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"nc": "2", "imgsz": "100", "stride": "4"})
    onnx.save(model, file)
