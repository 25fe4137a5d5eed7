"""The programs of docs/export.md find what detect.py finds, without importing this project."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from engine import DetectOptions, ExportOptions, export, predict
from engine.checkpoint import save_checkpoint
from engine.format_names import format_names
from models import build_model
from tests.modes.subjects import TWO_HEADED
from tests.places import ROOT

PAGE = (ROOT / "docs" / "export.md").read_text()
ANCHOR_BASED = {
    "nc": 2,
    "anchors": [[10, 13, 16, 30]],
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "SAConv2d", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]]],
    "head": [[[-1], 1, "Detect", ["nc", "anchors"]]],
}
NAMES = ["cat", 'a "dog" it\'s']
HEADERS = "#include <onnxruntime_cxx_api.h>\n#include <opencv2/dnn.hpp>\n#include <opencv2/imgcodecs.hpp>\n"


def program(heading: str, most: int) -> str:
    """The program under a heading, which has at most so many lines."""
    section = PAGE.split(f"\n### {heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    (code,) = re.findall(r"```\w+\n(.*?)```", section, re.S)
    assert len(code.splitlines()) <= most
    return code


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    image = np.random.default_rng(0).integers(0, 256, (5, 9, 3), np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(image, (131, 70), interpolation=cv2.INTER_CUBIC))
    return path


def write(tmp_path: Path, config: dict[str, Any], form: str, shift: float = 5) -> Path:
    """A file of a network with fresh weights that finds something."""
    torch.manual_seed(0)
    model = build_model(config)
    for module in model.model[-1].modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.data += shift + torch.randn(module.bias.shape)
    content = {"model": model.state_dict(), "yaml": model.yaml, "names": NAMES, "category_ids": [1, 7]}
    save_checkpoint(tmp_path / "net.pt", {**content, "imgsz": 64, "data": ""})
    image = {"id": 1, "file_name": "a.png", "height": 70, "width": 131}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 20]}
    categories = [{"id": number, "name": name} for number, name in zip((1, 7), NAMES, strict=True)]
    (tmp_path / "all.json").write_text(json.dumps({"images": [image], "annotations": [box], "categories": categories}))
    split = "{images: ., annotations: all.json}"
    (tmp_path / "data.yaml").write_text(f"train: {split}\nval: {split}\n")
    options = ExportOptions(str(tmp_path / "net.pt"), (form,), data=str(tmp_path / "data.yaml"), imgsz=(64, 96))
    return export(options)[0].path


def require_same(command: Sequence[str], file: Path, picture: Path, names: Sequence[str]) -> None:
    """The lines of a program are the detections of `predict`."""
    done = subprocess.run([*command, str(file), str(picture)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (expected,) = predict(DetectOptions(str(file), str(picture), device="cpu"))
    assert 1 < len(expected) < 1000
    lines = [line.rsplit(" ", 5) for line in done.stdout.splitlines()]
    assert len(lines) == len(expected)
    found = np.array([[float(number) for number in line[1:]] for line in lines])
    np.testing.assert_allclose(found[:, 0], expected.confidence, atol=2e-3)
    np.testing.assert_allclose(found[:, 1:], expected.xyxy, atol=0.1)
    assert [line[0] for line in lines] == [names[index] for index in expected.class_id]


@pytest.mark.slow
@pytest.mark.parametrize(("config", "shift"), [(ANCHOR_BASED, 5), (TWO_HEADED, 8)], ids=["suppressed", "one_to_one"])
def test_onnx_runtime_in_python(config: dict[str, Any], shift: float, tmp_path: Path, picture: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    file = write(tmp_path, config, "onnx", shift)
    (tmp_path / "program.py").write_text(program("ONNX Runtime, Python", 30))
    require_same([sys.executable, str(tmp_path / "program.py")], file, picture, NAMES)


@pytest.mark.slow
def test_openvino_in_python(tmp_path: Path, picture: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    if "openvino" not in format_names():
        pytest.skip("this project writes no OpenVINO")
    file = write(tmp_path, ANCHOR_BASED, "openvino")
    (tmp_path / "program.py").write_text(program("OpenVINO, Python", 30))
    require_same([sys.executable, str(tmp_path / "program.py")], file, picture, NAMES)


@pytest.mark.slow
def test_onnx_runtime_in_cpp(tmp_path: Path, picture: Path) -> None:
    code = program("ONNX Runtime, C++", 80)
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++")
    flags = package_flags("--cflags")
    probe = [compiler, "-std=c++17", "-fsyntax-only", "-x", "c++", *flags, "-"]
    if subprocess.run(probe, input=HEADERS, capture_output=True, text=True, check=False).returncode:
        pytest.skip("the headers of ONNX Runtime or OpenCV are not installed (CPATH leads g++ to others)")
    (tmp_path / "detect.cpp").write_text(code)
    compile_only = [compiler, "-std=c++17", "-Wall", "-Werror", "-c", *flags, "detect.cpp", "-o", "detect.o"]
    done = subprocess.run(compile_only, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    link = [compiler, "detect.o", "-lonnxruntime", *package_flags("--libs"), "-o", "detect"]
    if subprocess.run(link, cwd=tmp_path, capture_output=True, check=False).returncode == 0:
        require_same([str(tmp_path / "detect")], write(tmp_path, ANCHOR_BASED, "onnx"), picture, ["0", "1"])


def package_flags(which: str) -> list[str]:
    """What pkg-config says of the two libraries, as far as it knows them."""
    if shutil.which("pkg-config") is None:
        return []
    return [
        flag
        for library in ("opencv4", "libonnxruntime")
        for flag in subprocess.run(
            ["pkg-config", which, library], capture_output=True, text=True, check=False
        ).stdout.split()
    ]
