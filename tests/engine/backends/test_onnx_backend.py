"""ONNX files of others, and those that are none: tiny graphs whose outputs are constants that the pictures scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from engine import DetectOptions, predict
from engine.backends import open_backend
from engine.backends.onnx import _providers
from engine.errors import EngineError
from tests.engine.backends.test_layouts import FOUND, LAYOUTS

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
CPU = torch.device("cpu")
NAMES = "{0: 'cat', 1: 'dog', 2: 'it\\'s'}"


def write(
    file: Path,
    layout: str = "YOLOv5",
    *,
    sides: tuple[Any, ...] = (1, 3, 64, 96),
    kind: str = "FLOAT",
    metadata: dict[str, str] | None = None,
    outputs: dict[str, np.ndarray] | None = None,
) -> Path:
    """A detector that says the same of every picture: its outputs, for each picture of the batch."""
    helper, kinds = onnx.helper, onnx.TensorProto
    names, arrays = (list(outputs), list(outputs.values())) if outputs is not None else LAYOUTS[layout]
    nodes = [
        helper.make_node("Shape", ["images"], ["batch"], end=1),
        helper.make_node("Cast", ["images"], ["unused"], to=kinds.FLOAT),
    ]
    initializers, infos = [], []
    for name, array in zip(names, arrays, strict=True):
        content = array.astype(np.float32) if array.dtype == np.float64 else array
        initializers.append(onnx.numpy_helper.from_array(content, f"{name}_one"))
        ones = onnx.numpy_helper.from_array(np.ones(array.ndim - 1, np.int64), f"{name}_ones")
        initializers.append(ones)
        nodes.append(helper.make_node("Concat", ["batch", f"{name}_ones"], [f"{name}_shape"], axis=0))
        nodes.append(helper.make_node("Expand", [f"{name}_one", f"{name}_shape"], [name]))
        infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(content.dtype), None))
    images = helper.make_tensor_value_info("images", getattr(kinds, kind), sides)
    graph = helper.make_graph(nodes, "fixed", [images], infos, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, file)
    return file


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 96, 3), 51, np.uint8))
    return tmp_path / "grey.png"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_others_detect(layout: str, tmp_path: Path, picture: Path) -> None:
    file = write(tmp_path / "their.onnx", layout, metadata={"names": NAMES, "stride": "32", "task": "detect"})
    (found,) = predict(DetectOptions(str(file), str(picture), device="cpu"))
    assert found.class_id.tolist() == [row[5] for row in FOUND]
    assert found.xyxy.tolist() == [row[:4] for row in FOUND]
    assert found.data["class_name"].tolist() == ["dog", "cat"]


@pytest.mark.parametrize(
    ("sides", "fixed"), [(("N", 3, "H", "W"), None), ((4, 3, 64, 96), (64, 96)), ((1, 3, "H", 96), (64, 96))]
)
def test_batch_and_size_are_those_of_the_file(sides: tuple[Any, ...], fixed: Any, tmp_path: Path) -> None:
    metadata = {"names": NAMES, "imgsz": "[64, 96]", "stride": "16"}
    backend = open_backend(write(tmp_path / "a.onnx", sides=sides, metadata=metadata), device=CPU)
    assert backend.fixed_hw == fixed
    assert (backend.imgsz, backend.stride) == (96, 16)
    predictions = backend(torch.zeros((6, 3, 64, 96), dtype=torch.uint8))
    assert len(predictions.boxes_xyxy) == len(predictions.scores) == 6


def test_float16_goes_in_where_the_file_takes_it(tmp_path: Path, picture: Path) -> None:
    file = write(tmp_path / "half.onnx", kind="FLOAT16", metadata={"names": NAMES})
    (found,) = predict(DetectOptions(str(file), str(picture), device="cpu"))
    assert found.xyxy.tolist() == [row[:4] for row in FOUND]


def test_names_come_from_a_data_set_where_the_file_has_none(tmp_path: Path, picture: Path) -> None:
    file = write(tmp_path / "nameless.onnx")
    (found,) = predict(DetectOptions(str(file), str(picture), device="cpu"))
    assert found.data["class_name"].tolist() == ["1", "0"]
    split = {"images": str(tmp_path), "annotations": str(tmp_path / "none.json")}
    data = tmp_path / "data.yaml"
    data.write_text(yaml.safe_dump({"train": split, "val": split, "names": ["a", "b", "c"]}))
    (found,) = predict(DetectOptions(str(file), str(picture), data=str(data), device="cpu"))
    assert found.data["class_name"].tolist() == ["b", "a"]
    data.write_text(yaml.safe_dump({"train": split, "val": split, "names": ["a", "b"]}))
    with pytest.raises(EngineError, match=r"data.yaml: has 2 classes, but .*nameless.onnx, which names none, has 3; "):
        predict(DetectOptions(str(file), str(picture), data=str(data), device="cpu"))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"sides": (1, 1000)},
            r"takes no pictures: its inputs are images \(float\) \[1, 1000\], not one of \(",
        ),
        ({"sides": (1, 4, 64, 96)}, "takes no pictures: its inputs are images"),
        ({"kind": "INT32"}, r"takes no pictures: its inputs are images \(int32\) \[1, 3, 64, 96\]"),
        (
            {"outputs": {"probabilities": np.zeros((1, 1000), np.float32)}},
            r"its outputs are not those of a detector known here \(probabilities \(1, 1000\)\)",
        ),
        ({"metadata": {"names": NAMES, "task": "segment"}}, "is for the task 'segment'; only detectors run here"),
        ({"metadata": {"names": "['one']"}}, "its outputs are not those of a detector known here"),
        ({"layout": "end to end"}, "says neither the names nor the number of its classes"),
        ({"metadata": {"producer": "saconv-yolo"}}, "its metadata: "),
    ],
)
def test_files_of_another_kind_are_one_line(options: dict[str, Any], line: str, tmp_path: Path) -> None:
    file = write(tmp_path / "other.onnx", **options)
    with pytest.raises(EngineError, match=f"^{file}: {line}") as raised:
        open_backend(file, device=CPU)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", None])
def test_what_is_no_onnx_or_half_of_it_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    file = write(tmp_path / "broken.onnx")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content is None else content)
    line = r"broken.onnx: ONNX Runtime cannot load it \(.+\); it is damaged, or of another kind; export it again$"
    with pytest.raises(EngineError, match=line):
        open_backend(file, device=CPU)


def test_a_size_that_the_graph_does_not_take_is_one_line(tmp_path: Path) -> None:
    backend = open_backend(write(tmp_path / "a.onnx", metadata={"names": NAMES}), device=CPU)
    with pytest.raises(EngineError, match=r"a.onnx: ONNX Runtime cannot run it on 1 x 32x32 px \(.*\); use"):
        backend(torch.zeros(1, 3, 32, 32))


def test_the_gpu_is_used_where_it_is_asked_for() -> None:
    there = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert _providers(there, CPU, fixed=True) == ["CPUExecutionProvider"]
    gpu = torch.device("cuda", 1)
    expected = [(name, {"device_id": 1}) for name in there[:2]]
    assert _providers(there, gpu, fixed=True) == [*expected, "CPUExecutionProvider"]
    assert _providers(there, gpu, fixed=False) == [*expected[1:], "CPUExecutionProvider"]
    assert _providers(["CPUExecutionProvider"], gpu, fixed=True) == ["CPUExecutionProvider"]


def test_the_provider_is_said(tmp_path: Path) -> None:
    file = write(tmp_path / "a.onnx", metadata={"names": NAMES})
    assert "CPU" in open_backend(file, device=CPU).where()
    there = "CUDAExecutionProvider" in __import__("onnxruntime").get_available_providers()
    text = open_backend(file, device=torch.device("cuda", 0)).where()
    assert there or text.endswith("; for the GPU: pip install onnxruntime-gpu")


def test_a_missing_package_is_one_line_with_pips_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    line = r'a.onnx: needs a package that is not installed; run: pip install "onnxruntime"$'
    file = tmp_path / "a.onnx"
    file.touch()
    with pytest.raises(EngineError, match=line):
        open_backend(file, device=CPU)
