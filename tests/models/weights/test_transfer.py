"""Weights moved between networks that are built differently: what arrives, what does not, and what the report says."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from engine.checkpoint import save_checkpoint
from files.classes import Classes
from models import Detector, build_model
from models.errors import WeightsError
from models.parser import build_rows
from models.weights import matching
from models.weights.load import load_detector
from models.weights.report import Outcome, TransferReport
from models.weights.source import SourceWeights, load_source
from models.weights.transfer import transfer_weights
from tests.places import SHARED

WEIGHTS = SHARED / "weights" / "yolov5n.pt"
BCCD = SHARED / "datasets" / "bccd" / "images" / "val"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="shared/weights/yolov5n.pt is not here")

CFG: dict[str, Any] = {
    "nc": 3,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "anchors": [[10, 13, 16, 30], [50, 60, 90, 80]],
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "C3", [16]],
        [-1, 1, "Conv", [32, 3, 2]],
    ],
    "head": [[[2, 3], 1, "Detect", ["nc", "anchors"]]],
}
NAMES = ["cat", "dog", "bird"]


def _randomised(model: Detector) -> Detector:
    """Every tensor with values of its own, so that nothing agrees by accident."""
    generator = torch.Generator().manual_seed(1)
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and "anchors" not in key:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.1)
    return model


def _source(cfg: Any = CFG, names: list[str] | None = NAMES, yaml: bool = True) -> SourceWeights:
    model = _randomised(build_model(cfg))
    return SourceWeights(
        model.state_dict(), "test", model.yaml if yaml else None, None if names is None else Classes.of(names)
    )


def _take(cfg: Any, source: SourceWeights, names: list[str] = NAMES) -> tuple[Detector, TransferReport]:
    model = build_model(cfg, num_classes=len(names))
    model.classes = Classes.of(names)
    report = transfer_weights(model, source)
    every = [key for transfer in report.transfers for key in transfer.keys]
    assert sorted(every) == sorted(model.state_dict())
    return model, report


def _with_rows(backbone: list[Any], levels: list[int]) -> dict[str, Any]:
    return {**CFG, "backbone": backbone, "head": [[levels, 1, "Detect", ["nc", "anchors"]]]}


def _decoded(model: Detector, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return model.eval()(images)[0]


def test_the_same_network_is_taken_as_is() -> None:
    source = _source()
    model, report = _take(CFG, source)
    counts = {outcome: len(report.keys(outcome)) for outcome in Outcome}
    assert counts == {Outcome.TAKEN: len(source.state), Outcome.CONVERTED: 0, Outcome.LEFT: 0}
    assert all(torch.equal(value, source.state[key]) for key, value in model.state_dict().items())
    assert report.unused == ()


@pytest.mark.parametrize("yaml", [True, False], ids=["with YAML", "bare state"])
def test_rows_inserted_and_removed_shift_nothing(yaml: bool) -> None:
    rows = copy.deepcopy(CFG["backbone"])
    longer = _with_rows([*rows[:1], [-1, 1, "Conv", [8, 1]], *rows[1:]], [3, 4])
    small, big = _source(yaml=yaml), _source(longer, yaml=yaml)
    moved = {0: 0, 1: 2, 2: 3, 3: 4, 4: 5}
    model, report = _take(longer, small)
    assert {key.split(".")[1] for key in report.keys(Outcome.LEFT)} == {"1"}
    assert len(report.keys(Outcome.LEFT)) == 6
    assert len(report.keys(Outcome.TAKEN)) == len(small.state)
    for key, value in small.state.items():
        row, rest = key.removeprefix("model.").split(".", 1)
        assert torch.equal(model.state_dict()[f"model.{moved[int(row)]}.{rest}"], value), key
    model, report = _take(CFG, big)
    assert report.keys(Outcome.LEFT) == []
    assert {key.split(".")[1] for key in report.unused} == {"1"}
    for old, new in moved.items():
        prefix = f"model.{old}."
        for key in (key for key in model.state_dict() if key.startswith(prefix)):
            assert torch.equal(model.state_dict()[key], big.state[f"model.{new}.{key.removeprefix(prefix)}"]), key


def test_an_inserted_row_beside_a_swapped_convolution() -> None:
    rows = copy.deepcopy(CFG["backbone"])
    rows[2] = [-1, 1, "C3", [16], {"conv": "SAConv2d"}]
    rows[3] = [-1, 1, "SAConv2d", [32, 3, 2]]
    cfg = _with_rows([*rows[:2], [-1, 1, "nn.MaxPool2d", [3, 1, 1]], [-1, 1, "Conv", [16, 3]], *rows[2:]], [4, 5])
    source = _source()
    model, report = _take(cfg, source)
    converted = {key.rsplit(".", 2)[0] for key in report.keys(Outcome.CONVERTED) if key.endswith("bn.running_mean")}
    assert converted == {"model.4.m.0.cv2", "model.5"}
    assert torch.equal(model.state_dict()["model.5.weight"], source.state["model.3.conv.weight"])
    assert torch.equal(model.state_dict()["model.4.cv1.conv.weight"], source.state["model.2.cv1.conv.weight"])


def test_equal_shapes_at_another_stride_are_no_match() -> None:
    source = _source()
    swapped = [
        [-1, 1, "Conv", [8, 3, 1]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "C3", [16]],
        [-1, 1, "Conv", [32, 3, 2]],
    ]
    _, report = _take(_with_rows(swapped, [2, 3]), source)
    assert {transfer.how for transfer in report.transfers if transfer.row < 4} == {
        "no row of the checkpoint has these shapes at this stride"
    }


def test_the_checkpoints_network_is_built_only_where_it_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    source, built = _source(), []
    monkeypatch.setattr(matching, "build_rows", lambda config: built.append(config) or build_rows(config))
    _take(CFG, source, ["cat", "dog"])
    assert not built
    _take(_with_rows([*CFG["backbone"], [-1, 1, "Conv", [32, 1]]], [2, 4]), source)
    assert len(built) == 1


def test_kernel_of_another_shape_leaves_its_batchnorm_too() -> None:
    rows = copy.deepcopy(CFG["backbone"])
    rows[3] = [-1, 1, "Conv", [32, 5, 2]]
    model, report = _take(_with_rows(rows, [2, 3]), _source())
    left = report.keys(Outcome.LEFT)
    assert len(left) == 6
    assert all(key.startswith("model.3.") for key in left)
    assert torch.equal(model.state_dict()["model.3.bn.weight"], torch.ones(32))


@pytest.mark.parametrize("case", ["Bird", "bird "])
def test_head_keeps_the_rows_of_shared_classes(case: str) -> None:
    source = _source()
    names = [case, "horse", "cat", "sheep"]
    torch.manual_seed(0)
    before = build_model(CFG, num_classes=4).head.state_dict()
    torch.manual_seed(0)
    model, report = _take(CFG, source, names)
    for level in (0, 1):
        for part in ("weight", "bias"):
            given = source.state[f"model.4.m.{level}.{part}"].view(2, 8, -1)
            own = model.head.state_dict()[f"m.{level}.{part}"].view(2, 9, -1)
            fresh = before[f"m.{level}.{part}"].view(2, 9, -1)
            assert torch.equal(own[:, :5], given[:, :5])
            assert torch.equal(own[:, [5, 7]], given[:, [7, 5]])
            assert torch.equal(own[:, [6, 8]], fresh[:, [6, 8]])
    assert report.head_taken
    assert len(report.keys(Outcome.CONVERTED)) == 4
    assert "box, objectness and the 2 classes that both know" in report.table()


def test_head_keeps_boxes_and_objectness_without_a_shared_class() -> None:
    source = _source()
    torch.manual_seed(0)
    before = build_model(CFG, num_classes=3).head.state_dict()
    torch.manual_seed(0)
    model, report = _take(CFG, source, ["x", "y", "z"])
    for level in (0, 1):
        for part in ("weight", "bias"):
            given = source.state[f"model.4.m.{level}.{part}"].view(2, 8, -1)
            own = model.head.state_dict()[f"m.{level}.{part}"].view(2, 8, -1)
            assert torch.equal(own[:, :5], given[:, :5])
            assert torch.equal(own[:, 5:], before[f"m.{level}.{part}"].view(2, 8, -1)[:, 5:])
    assert "box and objectness; no class in common with the checkpoint" in report.table()
    assert not report.head_taken, "the anchors may still be fitted to the boxes"


def test_head_with_other_anchors_stays_as_it_is() -> None:
    _, report = _take({**CFG, "anchors": 3}, _source(), NAMES)
    head = {(transfer.outcome, transfer.how) for transfer in report.transfers if transfer.row == 4}
    assert head == {(Outcome.LEFT, "the checkpoint's head has other levels or anchors")}
    assert not report.head_taken


def test_a_checkpoint_without_names_has_the_classes_of_the_detector() -> None:
    _, report = _take(CFG, _source(names=None))
    assert report.head_taken
    assert report.keys(Outcome.LEFT) == []


def test_anchors_come_with_the_boxes_that_belong_to_them() -> None:
    source = _source()
    model, report = _take({**CFG, "anchors": [[1, 2, 3, 4], [50, 50, 60, 60]]}, source)
    assert report.head_taken
    assert torch.equal(model.head.anchors, source.state["model.4.anchors"])


HEADS: dict[str, Any] = {
    "anchor-based": CFG,
    "anchor-free": {**CFG, "anchors": None, "head": [[[2, 3], 1, "Detect", ["nc"]]]},
    "two-headed": {**CFG, "anchors": None, "head": [[[2, 3], 1, "v10Detect", ["nc"]]]},
}
STRANGE: dict[str, Any] = {
    "absent": None,
    "a scalar": lambda tensor: torch.tensor(1.0),
    "empty": lambda tensor: tensor[:0],
    "one row more": lambda tensor: torch.cat((tensor, tensor[:1])),
    "one axis more": lambda tensor: tensor[None],
    "whole numbers": lambda tensor: tensor.to(torch.int8),
}


@pytest.mark.parametrize("change", STRANGE)
@pytest.mark.parametrize("head", HEADS)
def test_a_head_with_a_strange_tensor_is_reported_and_not_stumbled_over(head: str, change: str) -> None:
    source = _source(HEADS[head])
    model = build_model(HEADS[head])
    model.classes = Classes.of(NAMES)
    named = ("m.0.", "anchors", "dfl.", "cv2.0.2.", "cv3.0.2.", "one2one_cv3.0.2.")
    finest = [key for key in source.state if key.removeprefix("model.4.").startswith(named)]
    assert finest
    for key in finest:
        state = {name: tensor for name, tensor in source.state.items() if name != key}
        if STRANGE[change] is not None:
            state[key] = STRANGE[change](source.state[key])
        report = transfer_weights(model, replace(source, state=state))
        assert key in report.keys(Outcome.LEFT), key


def test_transfer_draws_no_random_numbers() -> None:
    source = _source()
    model = build_model(CFG)
    state = torch.get_rng_state()
    transfer_weights(model, source)
    assert torch.equal(torch.get_rng_state(), state)


def test_saconv_and_back() -> None:
    """A fresh SAConv detector is a plain one with the standardised kernels, so this way back is exact too."""
    rows = copy.deepcopy(CFG["backbone"])
    rows[1] = [-1, 1, "SAConv2d", [16, 3, 2]]
    switchable = build_model(_with_rows(rows, [2, 3]))
    source = SourceWeights(switchable.state_dict(), "test", switchable.yaml, Classes.of(NAMES))
    model, report = _take(CFG, source)
    assert report.keys(Outcome.LEFT) == []
    assert len(report.keys(Outcome.CONVERTED)) == 6
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(_decoded(model, images), _decoded(switchable, images), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("absent", "how"),
    [("weight", "no row of the checkpoint has these shapes"), ("weight_beta", "the checkpoint has only a part of it")],
)
def test_a_part_of_a_convolution_is_not_converted(absent: str, how: str) -> None:
    rows = copy.deepcopy(CFG["backbone"])
    rows[1] = [-1, 1, "SAConv2d", [16, 3, 2]]
    switchable = build_model(_with_rows(rows, [2, 3]))
    state = {key: value for key, value in switchable.state_dict().items() if key != f"model.1.{absent}"}
    _, report = _take(CFG, SourceWeights(state, "test", switchable.yaml, Classes.of(NAMES)))
    left = {transfer.row: transfer.how for transfer in report.transfers if transfer.outcome is Outcome.LEFT}
    assert left.keys() == {1}
    assert left[1] in (
        "the checkpoint has only a part of it",
        "no row of the checkpoint has these shapes at this stride",
    )


def test_spconv_says_that_it_is_approximate() -> None:
    rows = copy.deepcopy(CFG["backbone"])
    rows[3] = [-1, 1, "SPConv", [32, 3, 2]]
    source = _source()
    model, report = _take(_with_rows(rows, [2, 3]), source)
    assert report.keys(Outcome.LEFT) == []
    assert {key.split(".")[1] for key in report.keys(Outcome.CONVERTED)} == {"3"}
    assert "Conv to SPConv, approximate" in report.table()
    state = model.state_dict()
    assert torch.equal(state["model.3.bn.running_mean"], source.state["model.3.bn.running_mean"])
    assert torch.equal(state["model.3.core.gwc.weight"][:16], 2 * source.state["model.3.conv.weight"][:16, :4])
    assert torch.equal(state["model.3.core.bn1.weight"], torch.ones(32))


def test_cfg_runs_weights_in_another_architecture_or_refuses(tmp_path: Path) -> None:
    source = _source()
    content = {"names": NAMES, "category_ids": [4, 5, 6], "imgsz": 64}
    save_checkpoint(tmp_path / "a.pt", {"model": dict(source.state), "yaml": source.yaml, **content})
    for name, row in (("same.yaml", "SAConv2d, [32, 3, 2]"), ("other.yaml", "Conv, [32, 5, 2]")):
        text = f"nc: 3\ndepth_multiple: 1.0\nwidth_multiple: 1.0\nanchors: {CFG['anchors']}\nbackbone:\n" + (
            f"  - [-1, 1, Conv, [8, 3, 2]]\n  - [-1, 1, Conv, [16, 3, 2]]\n  - [-1, 1, C3, [16]]\n  - [-1, 1, {row}]\n"
        )
        (tmp_path / name).write_text(f"{text}head:\n  - [[2, 3], 1, Detect, [nc, anchors]]\n")
    plain = load_detector(tmp_path / "a.pt")
    other = load_detector(tmp_path / "a.pt", cfg=str(tmp_path / "same.yaml"))
    assert (other.classes, other.imgsz) == (Classes.of(NAMES, (4, 5, 6)), 64)
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(_decoded(other, images), _decoded(plain, images), rtol=1e-4, atol=1e-3)
    with pytest.raises(WeightsError, match=r"has no weights for 6 of the \d+ tensors of .*other\.yaml"):
        load_detector(tmp_path / "a.pt", cfg=str(tmp_path / "other.yaml"))


def _photographs() -> list[np.ndarray]:
    """Real pictures, BGR uint8: three blood smears, and photographs where scikit-image is installed."""
    pictures = [cv2.imread(str(path)) for path in sorted(BCCD.glob("*.jpg"))[:3]]
    try:
        import skimage.data
    except ImportError:
        return pictures
    return [*pictures, *(getattr(skimage.data, name)()[..., ::-1] for name in ("astronaut", "chelsea", "coffee"))]


@needs_weights
@pytest.mark.skipif(not BCCD.is_dir(), reason="shared/datasets/bccd is not here")
@pytest.mark.parametrize("fused", [False, True], ids=["trained form", "fused"])
def test_yolov5n_becomes_saconv_without_losing_anything(fused: bool) -> None:
    source = load_source(WEIGHTS)
    assert source.classes is not None
    plain = build_model("yolov5n.yaml")
    plain.load_state_dict(source.state)
    switchable, report = _take("yolov5n-saconv.yaml", source, list(source.classes.names))
    assert (len(report.keys(Outcome.TAKEN)), len(report.keys(Outcome.CONVERTED))) == (295, 135)
    assert report.keys(Outcome.LEFT) == []
    assert report.unused == ()
    if fused:
        plain, switchable = plain.eval().fuse(), switchable.eval().fuse()
    pictures = _photographs()
    assert len(pictures) >= 3
    for picture in pictures:
        rgb = cv2.cvtColor(cv2.resize(picture, (320, 256)), cv2.COLOR_BGR2RGB)
        images = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        before, after = _decoded(plain, images), _decoded(switchable, images)
        # Folding a BatchNorm rounds once more, in a plain detector as well: a fused one is held to 1e-4 of the value.
        rounding = 1e-4 if fused else 0
        torch.testing.assert_close(after[..., :4], before[..., :4], atol=1e-3, rtol=rounding)
        torch.testing.assert_close(after[..., 4:], before[..., 4:], atol=1e-4, rtol=0)
