"""OpenVINO and NCNN: every head and family of blocks, run as the checkpoint is, and what they cannot take."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from data.errors import DataError
from engine import DetectOptions, ExportOptions, export, predict
from engine.backends import Backend, open_backend
from engine.backends.metadata import read_metadata
from engine.checkpoint import save_checkpoint
from engine.errors import EngineError
from models import build_model
from tests.heads import HEADS

NEEDED = {"openvino": ("openvino",), "ncnn": ("ncnn", "pnnx"), "int8": ("openvino", "nncf")}
CPU = torch.device("cpu")
ROOT = Path(__file__).parents[3]

Checkpoint = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _packages(request: pytest.FixtureRequest) -> None:
    from engine.openvino_packages import import_openvino

    import_openvino("a test") if "openvino" in request.node.name and _has("openvino") else None
    for kind, modules in NEEDED.items():
        if kind in request.node.name and not all(_has(module) for module in modules):
            pytest.skip(f"{' or '.join(modules)} is not installed; requirements-export.txt has them")


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def both(weights: Path, data: Path, form: str, **options: Any) -> tuple[Backend, Backend, Any]:
    """The checkpoint's back end, the folder's, and what the export said."""
    (result,) = export(ExportOptions(str(weights), include=(form,), data=str(data), **options))
    return open_backend(weights, device=CPU), open_backend(result.path, device=CPU), result


def images(batch: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 255, (batch, 3, height, width), generator=generator, dtype=torch.uint8)


def assert_same(file: Backend, checkpoint: Backend, x: torch.Tensor) -> None:
    for one, other, tolerance in zip(file(x), checkpoint(x), (1e-2, 1e-4), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def without_deformable(weights: Path) -> Path:
    """The same kind of detector with plain SAConv2d in the place of deformable ones."""
    content = torch.load(weights, weights_only=True)
    rows = content["yaml"]
    for row in rows["backbone"]:
        if len(row) == 5:
            row[4].pop("use_deform", None)
    torch.manual_seed(0)
    model = build_model(rows)
    given = {key: value for key, value in content["model"].items() if "offset" not in key}
    model.load_state_dict(given)
    save_checkpoint(weights, {**content, "model": model.state_dict(), "yaml": model.yaml})
    return weights


@pytest.mark.slow
@pytest.mark.parametrize("head", [head.name for head in HEADS])
def test_openvino_takes_every_head_at_any_size(head: str, checkpoint: Checkpoint, dataset: Path) -> None:
    weights = checkpoint(head)
    reference, file, result = both(weights, dataset, "openvino", dynamic=True)
    assert result.path == weights.with_name("best_openvino")
    assert file.fixed_hw is None
    assert (file.needs_suppression, file.classes) == (reference.needs_suppression, reference.classes)
    assert (file.imgsz, file.stride) == (reference.imgsz, reference.stride)
    for size in ((1, 64, 160), (3, 96, 96), (2, 32, 64)):
        assert_same(file, reference, images(*size))


@pytest.mark.slow
@pytest.mark.parametrize("head", [head.name for head in HEADS])
def test_ncnn_takes_every_head(head: str, checkpoint: Checkpoint, dataset: Path) -> None:
    weights = without_deformable(checkpoint(head))
    reference, file, result = both(weights, dataset, "ncnn", imgsz=(64, 96))
    assert sorted(path.name for path in result.path.iterdir()) == [
        "metadata.yaml",
        "model.ncnn.bin",
        "model.ncnn.param",
    ]
    assert file.fixed_hw == (64, 96)
    assert (file.needs_suppression, file.classes) == (reference.needs_suppression, reference.classes)
    assert_same(file, reference, images(3, 64, 96))


def test_what_ncnn_has_no_operator_for_is_a_line(checkpoint: Checkpoint, dataset: Path) -> None:
    weights = checkpoint("anchor-based")
    line = r"--include ncnn: NCNN has no operator for .*torchvision.deform_conv2d, which this network uses"
    with pytest.raises(EngineError, match=line):
        both(weights, dataset, "ncnn", imgsz=(32,))
    assert [path.name for path in weights.parent.iterdir()] == ["best.pt"]


@pytest.mark.parametrize("form", ["openvino", "ncnn"])
def test_half_stores_weights_in_float16(form: str, checkpoint: Checkpoint, dataset: Path) -> None:
    weights = checkpoint("v10")
    (full,) = export(ExportOptions(str(weights), include=(form,), data=str(dataset), imgsz=(64,)))
    reference, file, half = both(weights, dataset, form, imgsz=(64,), half=True)
    assert half.path == weights.with_name(f"best_{form}_fp16")
    sizes = [sum(path.stat().st_size for path in folder.glob("*.bin")) for folder in (full.path, half.path)]
    assert sizes[1] < 0.55 * sizes[0]
    boxes, scores = file(images(1, 64, 64))
    expected = reference(images(1, 64, 64))
    assert 0 < float((boxes - expected.boxes_xyxy).abs().max()) < 1
    assert float((scores - expected.scores).abs().max()) < 0.02
    assert file.where() == f"CPU, {'OpenVINO' if form == 'openvino' else 'NCNN'}; fp16"


def quantised_inputs(network: Path) -> dict[str, int]:
    """How many operations of each type read an activation of int8."""
    from engine.openvino_packages import import_openvino

    model = import_openvino("a test").Core().read_model(str(network))
    found: dict[str, int] = {}
    for node in model.get_ordered_ops():
        source = node.input_value(0).get_node() if node.input_values() else None
        if source is not None and source.get_type_name() == "FakeQuantize":
            found[node.get_type_name()] = found.get(node.get_type_name(), 0) + 1
    return found


def test_openvino_int8_leaves_blend_and_decoding_in_float(checkpoint: Checkpoint, dataset: Path) -> None:
    weights = without_deformable(checkpoint("anchor-based"))
    reference, file, result = both(weights, dataset, "openvino", imgsz=(64,), int8=True, batch_size=2)
    assert result.path == weights.with_name("best_openvino_int8")
    assert read_metadata(result.path / "metadata.yaml").precision == "int8"
    found = quantised_inputs(result.path / "model.xml")
    # All convolutions of the model but those of a single channel, two a SAConv2d, and none of its contexts.
    detector = reference.model
    kernels = [value for value in detector.state_dict().values() if value.ndim == 4 and min(value.shape[:2]) > 1]
    assert 0 < found["Convolution"] <= len(kernels)
    assert "MatMul" not in found
    assert "Subtract" not in found
    assert "Select" not in found
    assert "ReduceMean" not in found
    assert result.ap is not None
    assert len(result.ap) == 2
    boxes, scores = file(images(3, 64, 64))
    expected = reference(images(3, 64, 64))
    assert 0 < float((scores - expected.scores).abs().mean()) < 0.05
    assert boxes.shape == expected.boxes_xyxy.shape


@pytest.mark.parametrize("form", ["openvino", "ncnn"])
def test_detect_runs_on_a_folder(form: str, checkpoint: Checkpoint, dataset: Path, tmp_path: Path) -> None:
    weights = checkpoint("anchor-free")
    _, _, result = both(weights, dataset, form, imgsz=(64, 96))
    source = str(dataset.parent / "0.png")
    found = [
        next(iter(predict(DetectOptions(str(path), source, imgsz=(64, 96), conf_thres=0.01, device="cpu"))))
        for path in (weights, result.path)
    ]
    assert len(found[0]) > 0
    np.testing.assert_allclose(found[0].xyxy, found[1].xyxy, atol=0.1)
    np.testing.assert_array_equal(found[0].class_id, found[1].class_id)


@pytest.mark.parametrize(
    ("form", "options", "line"),
    [
        ("openvino", {"int8": True}, "--int8: is calibrated on training pictures; name their data set with --data"),
        ("ncnn", {"int8": True}, "--int8: ncnn has no such option; leave it out, or export ncnn alone"),
        ("ncnn", {"dynamic": True}, "--dynamic: ncnn has no such option"),
        ("ncnn", {"batch_size": 2}, "--batch-size 2: ncnn takes one picture at a time; leave it out, or export ncnn"),
        ("openvino", {"nms": True}, "--nms: openvino has no such option"),
    ],
)
def test_options_that_a_format_has_not(form: str, options: dict[str, Any], line: str) -> None:
    with pytest.raises(EngineError, match=line):
        export(ExportOptions("none.pt", include=(form,), **options))


def test_int8_needs_pictures_openvino(checkpoint: Checkpoint, dataset: Path, tmp_path: Path) -> None:
    weights = checkpoint("anchor-free")
    content = yaml.safe_load(dataset.read_text())
    (tmp_path / "none.json").write_text('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}')
    content["train"] = {"images": content["val"]["images"], "annotations": str(tmp_path / "none.json")}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match=r"none.json: 'images' is empty; there is nothing to work on"):
        both(weights, tmp_path / "data.yaml", "openvino", int8=True)
    assert [path.name for path in weights.parent.iterdir()] == ["best.pt"]


# Damaged folders


@pytest.fixture(scope="module")
def folders(checkpoint: Checkpoint, dataset: Path) -> Callable[[str], Path]:
    """A folder of each format, written once."""
    made: dict[str, Path] = {}

    def get(form: str) -> Path:
        if form not in made:
            made[form] = both(checkpoint("anchor-free"), dataset, form, imgsz=(32,))[2].path
        return made[form]

    return get


@pytest.mark.parametrize(
    ("form", "file", "content", "line"),
    [
        ("openvino", "model.bin", None, r"model.bin: is missing, and holds the weights of model.xml; export it again"),
        ("openvino", "model.bin", b"short", r"model.xml: OpenVINO cannot load it \(Incorrect weights in bin file!\)"),
        ("openvino", "model.xml", b"<net", r"model.xml: OpenVINO cannot load it \(.*\); it is damaged or of a newer"),
        ("openvino", "model.xml", b"<net><a/></net>", r"model.xml: has 0 inputs and 0 outputs, not images, and boxes"),
        ("openvino", "model.xml", None, r": a folder without a network that a back end knows"),
        ("openvino", "metadata.yaml", None, r"metadata.yaml: "),
        ("openvino", "other.xml", b"", r": holds several networks \(model.xml, other.xml\); name one"),
        ("ncnn", "model.ncnn.bin", None, r"model.ncnn.bin: is missing, and holds the weights of model.ncnn.param"),
        ("ncnn", "model.ncnn.bin", b"short", r"model.ncnn.param: NCNN cannot load it; it is damaged: export it again"),
        ("ncnn", "model.ncnn.param", b"hello", r"model.ncnn.param: is no NCNN network; give a folder that export.py"),
        ("ncnn", "model.ncnn.param", b"7767517\n3 3\nInput a 0 1 b", r"is damaged or no NCNN network \(1 layers\)"),
        ("ncnn", "model.ncnn.param", b"7767517\n1 1\nMine a 0 1 b", r"NCNN has no layer Mine; update it, or export"),
        ("ncnn", "metadata.yaml", b"[]", r"metadata.yaml: "),
    ],
)
def test_a_damaged_folder_is_a_line(
    form: str, file: str, content: bytes | None, line: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "any name"
    folder.mkdir()
    for path in folders(form).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / file).unlink(missing_ok=True)
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(EngineError, match=line):
        open_backend(folder, device=CPU)


# Reports about use


REPORTS = """
import os, sys

def refuse(event, args):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo"):
        print(event, args, file=sys.stderr)
        os._exit(99)

sys.addaudithook(refuse)
from engine.openvino_packages import import_nncf, import_openvino
import_openvino("a test").convert_model
import_nncf("a test").quantize
from engine.cli.export import main
main(["--weights", sys.argv[1], "--include", "openvino", "--int8", "--data", sys.argv[2], "--imgsz", "32"])
assert sys.modules["openvino_telemetry"] is None
"""


@pytest.mark.slow
def test_openvino_and_int8_open_no_socket_and_write_nothing_at_home(
    checkpoint: Checkpoint, dataset: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment.update(HOME=str(home), OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    caches = str(tmp_path / "caches")  # of matplotlib, and of this project
    environment.update(XDG_CACHE_HOME=caches, MPLCONFIGDIR=caches)
    command = [sys.executable, "-c", REPORTS, str(checkpoint("two-headed")), str(dataset)]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == []
