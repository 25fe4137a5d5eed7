"""ultralytics' checkpoints: read without their code, and run as the golden files say."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.errors import EngineError
from engine.options import TrainOptions
from engine.training.setup import read_named
from files.classes import Classes
from models import build_model
from models.errors import WeightsError
from models.weights.foreign import OTHER_TASKS
from models.weights.load import load_detector
from models.weights.source import load_source
from tests.models.golden import golden_image, golden_value
from tests.models.weights import ultralytics_files as files
from tests.models.weights.ultralytics_files import TINY, TINY_26
from tests.places import GOLDEN

NAMES = ["cat", "dog"]


def _decoded(model: Any, size: tuple[int, int] = (64, 96)) -> Tensor:
    with torch.inference_mode():
        return model.eval()(torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)))[0]


@pytest.mark.parametrize("kind", ["stripped", "unfinished", "old", "old and unfinished"])
@pytest.mark.parametrize("yaml", [TINY, TINY_26], ids=["one head", "two heads"])
def test_every_kind_of_file_computes_the_same(yaml: dict[str, Any], kind: str, tmp_path: Path) -> None:
    model = files.detector_of(yaml, NAMES, build_model)
    expected, state = _decoded(model), model.state_dict()
    classes = files.Classes(old="old" in kind)
    twin = files.described(files.mirrored(model, classes, "DetectionModel").half(), yaml, NAMES)
    content = files.unfinished(twin, classes) if "unfinished" in kind else files.stripped(twin)
    if kind == "old and unfinished":  # the network beside its average, which it is not
        other = files.mirrored(files.detector_of(yaml, NAMES, build_model), classes, "DetectionModel")
        for parameter in other.parameters():
            parameter.data.zero_()
        content["model"] = files.described(other, yaml, NAMES)
    if "old" in kind:  # then only the model knows the options
        del content["train_args"]
    path = classes.save(content, tmp_path / "a.pt")
    source = load_source(path)
    assert source.state.keys() == state.keys(), "a loss left in it is no part of the network"
    assert (source.classes, source.imgsz) == (Classes.of(NAMES), 64)
    middle = " in the middle of a training, of which only the weights are taken" if "unfinished" in kind else ""
    assert source.origin == f"ultralytics checkpoint{middle}"
    detector = load_detector(path)
    assert detector.names == NAMES
    torch.testing.assert_close(_decoded(detector), expected, rtol=1e-5, atol=1e-5)
    assert not any(name.startswith("ultralytics") for name in sys.modules)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="shared/golden is not here")
@pytest.mark.parametrize("name", ["yolov8n", "yolov8n-ghost", "yolov10n", "yolo11n", "yolo26n"])
def test_a_file_with_golden_keys_and_weights_detects_what_the_golden_file_says(name: str, tmp_path: Path) -> None:
    with np.load(GOLDEN / f"yolo_{name}.npz") as data:
        keys, head = json.loads(str(data["keys"])), "one2one" if "one2one_head" in data else "one2many"
        first, mean = torch.from_numpy(data[f"{head}_head"]), torch.from_numpy(data[f"{head}_mean_abs"])
    yaml, classes = files.shipped(name), files.Classes()
    model = files.grown(_golden_state(keys), [row[2] for row in (*yaml["backbone"], *yaml["head"])], classes)
    names = [f"class {index}" for index in range(80)]
    path = classes.save(files.stripped(files.described(model, yaml, names)), tmp_path / f"{name}.pt")
    detector = load_detector(path)
    assert detector.names == names
    with torch.inference_mode():
        rows = detector(golden_image())[0][0]  # (N, 84)
    for found, expected in ((rows[:64], first), (rows.abs().mean(0, keepdim=True), mean[None])):
        torch.testing.assert_close(found[:, :4], expected[:, :4].float(), atol=1e-3, rtol=1e-5)
        torch.testing.assert_close(found[:, 4:], expected[:, 4:].float(), atol=5e-6, rtol=0)


def _golden_state(keys: dict[str, list[int]]) -> dict[str, Tensor]:
    state = {}
    for key, shape in keys.items():
        if key.endswith("dfl.conv.weight"):
            state[key] = torch.arange(16.0).view(1, 16, 1, 1)
        elif key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
        else:
            state[key] = torch.from_numpy(golden_value(key, tuple(shape))).float()
    return state


def _saved(model: nn.Module, yaml: dict[str, Any], path: Path) -> Path:
    classes = files.Classes()
    twin = files.mirrored(copy.deepcopy(model), classes, "DetectionModel")
    return classes.save(files.stripped(files.described(twin, yaml, NAMES)), path)


def test_the_first_files_of_2023_have_factors_in_place_of_sizes(tmp_path: Path) -> None:
    yaml = {key: value for key, value in TINY.items() if key not in ("scales", "scale", "yaml_file", "channels")}
    yaml |= {"depth_multiple": 0.33, "width_multiple": 0.25}
    model = files.detector_of(yaml, NAMES, build_model)
    detector = load_detector(_saved(model, yaml, tmp_path / "a.pt"))
    torch.testing.assert_close(_decoded(detector), _decoded(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", ["", None], ids=["empty", "absent"])
def test_a_file_that_names_no_size_has_the_first_one(scale: str | None, tmp_path: Path) -> None:
    yaml = {key: value for key, value in TINY.items() if key != "scale"} | {"depth_multiple": 1.0}  # without effect
    yaml |= {} if scale is None else {"scale": scale}
    model = files.detector_of(TINY, NAMES, build_model)
    detector = load_detector(_saved(model, yaml, tmp_path / "a.pt"))
    torch.testing.assert_close(_decoded(detector), _decoded(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("yaml", [TINY, TINY_26], ids=["one head", "two heads"])
def test_the_tensors_say_which_class_branch_the_head_has(yaml: dict[str, Any], legacy: bool, tmp_path: Path) -> None:
    model = files.detector_of({**yaml, "legacy_class_branch": legacy}, NAMES, build_model)
    detector = load_detector(_saved(model, yaml, tmp_path / "a.pt"))
    torch.testing.assert_close(_decoded(detector), _decoded(model), rtol=1e-5, atol=1e-5)


def test_the_activations_are_those_of_the_objects(tmp_path: Path) -> None:
    model = files.detector_of(TINY, NAMES, build_model)
    files.set_activations(model, "nn.LeakyReLU(0.1)")
    source = load_source(_saved(model, TINY, tmp_path / "a.pt"))
    assert (source.yaml or {})["activation"] == "nn.LeakyReLU(0.1)"
    torch.testing.assert_close(_decoded(load_detector(tmp_path / "a.pt")), _decoded(model), rtol=1e-5, atol=1e-5)
    model.get_submodule("model.4.cv1").act = nn.Identity()  # as in SPPF of some releases
    expected = _decoded(model)
    assert not torch.allclose(_decoded(load_detector(tmp_path / "a.pt")), expected, atol=0.01)
    torch.testing.assert_close(_decoded(load_detector(_saved(model, TINY, tmp_path / "b.pt"))), expected)


def test_bare_state_dicts_and_our_own_checkpoints(tmp_path: Path) -> None:
    model = files.detector_of(TINY_26, NAMES, build_model)
    torch.save(model.state_dict(), tmp_path / "bare.pt")
    assert load_source(tmp_path / "bare.pt").state.keys() == model.state_dict().keys()
    facts = {"names": NAMES, "category_ids": [1, 2], "imgsz": 64}
    save_checkpoint(tmp_path / "own.pt", {"model": model.state_dict(), "yaml": model.yaml, **facts})
    assert torch.equal(_decoded(load_detector(tmp_path / "own.pt")), _decoded(model))


def test_names_are_in_the_order_of_their_numbers_as_texts_too(tmp_path: Path) -> None:
    yaml, names = {**TINY, "nc": 12}, [f"class {number}" for number in range(12)]
    classes = files.Classes()
    twin = files.mirrored(files.detector_of(yaml, names, build_model), classes, "DetectionModel")
    twin = files.described(twin, yaml, names)
    twin.names = {str(number): name for number, name in enumerate(names)}
    assert load_source(classes.save(files.stripped(twin), tmp_path / "a.pt")).classes == Classes.of(names)


@pytest.mark.parametrize("name", sorted(OTHER_TASKS))
def test_a_model_of_another_task_is_one_line(name: str, tmp_path: Path) -> None:
    classes = files.Classes()
    path = classes.save(files.stripped(files.described(classes(name)(), TINY, NAMES)), tmp_path / "a.pt")
    with pytest.raises(WeightsError) as caught:
        load_source(path)
    assert str(caught.value) == (
        f"{path}: is a model for {OTHER_TASKS[name]} ({name}); here are detectors of boxes: take a detection model, "
        "such as yolo11n.pt"
    )


def _fused(yaml: dict[str, Any], path: Path) -> Path:
    classes = files.Classes()
    model = files.fused(files.mirrored(files.detector_of(yaml, NAMES, build_model), classes, "DetectionModel"))
    return classes.save(files.stripped(files.described(model, yaml, NAMES)), path)


def test_a_fused_model_detects(tmp_path: Path) -> None:
    path = _fused(TINY, tmp_path / "a.pt")
    expected = _decoded(files.detector_of(TINY, NAMES, build_model))
    torch.testing.assert_close(_decoded(load_detector(path)), expected, rtol=1e-4, atol=1e-4)


def test_a_fused_kernel_that_says_it_is_huge_takes_no_memory(tmp_path: Path) -> None:
    classes = files.Classes()
    model = files.described(files.fused(files.mirrored(build_model(TINY), classes, "DetectionModel")), TINY, NAMES)
    model.model[0].conv.weight = nn.Parameter(torch.zeros(1).expand(10**10, 1, 1, 1))
    path = classes.save(files.stripped(model), tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="bytes of weights"):
        load_source(path)


def test_a_fused_model_is_no_start_for_a_training(tmp_path: Path) -> None:
    path = _fused(TINY, tmp_path / "a.pt")
    with pytest.raises(EngineError) as caught:
        read_named(TrainOptions(weights=str(path)))
    assert str(caught.value) == (
        f"{path}: its BatchNorms are folded into the convolutions, since the model was fused before it was saved; to "
        "train, give the file that its own training wrote"
    )


def test_a_fused_model_with_two_heads_lacks_one(tmp_path: Path) -> None:
    path = _fused(TINY_26, tmp_path / "a.pt")
    with pytest.raises(WeightsError) as caught:
        load_detector(path)
    assert str(caught.value).startswith(f"{path}: its weights do not fit its configuration (")
    assert str(caught.value).endswith(
        "); its BatchNorms are folded into the convolutions, since the model was fused before it was saved; give the "
        "file that its training wrote"
    )


def test_channels_have_two_names(tmp_path: Path) -> None:
    yaml = {key: value for key, value in TINY.items() if key != "ch"} | {"channels": 4}
    model = files.detector_of({**TINY, "ch": 4, "channels": 4}, NAMES, build_model)
    assert (load_source(_saved(model, yaml, tmp_path / "a.pt")).yaml or {})["ch"] == 4
    assert load_detector(tmp_path / "a.pt").in_channels == 4


def test_its_training_is_not_resumed(tmp_path: Path) -> None:
    classes = files.Classes()
    model = files.described(files.mirrored(build_model(TINY), classes, "DetectionModel"), TINY, NAMES)
    path = classes.save(files.unfinished(model, classes), tmp_path / "last.pt")
    with pytest.raises(EngineError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert "--weights" in str(caught.value)
