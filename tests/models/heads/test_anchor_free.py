"""The anchor-free head: its tensors, what it makes of logits, its branches, and what it takes over."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import build_model
from models.errors import BudgetError, ConfigError
from models.heads.anchor_free import AnchorFreeDetect, V10Detect
from models.heads.detect import Detect
from tests.places import GOLDEN

CHANNELS = {"yolov8n": (64, 128, 256), "yolo11n": (64, 128, 256), "yolov10n": (64, 128, 256), "yolo26n": (64, 128, 256)}


def config(block: str = "AnchorFreeDetect", sources: tuple[int, ...] = (1, 2, 3), nc: int = 3, **kwargs: Any) -> Any:
    rows = [[-1, 1, "Conv", [8, 3, 2]] for _ in range(4)]
    return {"nc": nc, "backbone": rows, "head": [[list(sources), 1, block, ["nc"], kwargs]]}


def head_of(block: str = "AnchorFreeDetect", **kwargs: Any) -> AnchorFreeDetect:
    head = build_model(config(block, **kwargs)).head
    assert isinstance(head, AnchorFreeDetect)
    return head


def decoded_by_hand(logits: list[Tensor], strides: list[float], reg_max: int, nc: int) -> tuple[Tensor, Tensor]:
    """One cell after the other, in float64, as the specification says it."""
    boxes, scores = [], []
    for level, stride in zip(logits, strides, strict=True):
        for y in range(level.shape[2]):
            for x in range(level.shape[3]):
                cell = level[0, :, y, x].double().tolist()
                sides = []
                for side in range(4):
                    bins = cell[side * reg_max : (side + 1) * reg_max]
                    powers = [math.exp(value) for value in bins]
                    mean = sum(k * power for k, power in enumerate(powers)) / sum(powers)
                    sides.append(bins[0] if reg_max == 1 else mean)
                left, top, right, bottom = sides
                box = (x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom)
                boxes.append([stride * side for side in box])
                scores.append([1 / (1 + math.exp(-value)) for value in cell[4 * reg_max : 4 * reg_max + nc]])
    return torch.tensor(boxes), torch.tensor(scores)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden models are not there")
@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("yolov8n", lambda ch: AnchorFreeDetect(80, ch)),
        ("yolo11n", lambda ch: AnchorFreeDetect(80, ch, legacy_class_branch=False)),
        ("yolov10n", lambda ch: V10Detect(80, ch)),
        ("yolo26n", lambda ch: AnchorFreeDetect(80, ch, 1, True, False)),
    ],
)
def test_tensors_have_the_names_and_shapes_of_the_golden_models(name: str, head: Any) -> None:
    keys = json.loads(str(np.load(GOLDEN / f"yolo_{name}.npz")["keys"]))
    last = max(int(key.split(".")[1]) for key in keys)
    golden = {key.split(".", 2)[2]: tuple(shape) for key, shape in keys.items() if key.startswith(f"model.{last}.")}
    own = {key: tuple(value.shape) for key, value in head(CHANNELS[name]).state_dict().items()}
    assert own == golden
    assert list(own) == list(golden)


@pytest.mark.parametrize("reg_max", [1, 2, 16])
@pytest.mark.parametrize("sources", [(1, 2, 3), (3, 1), (2, 3, 1), (3,), (0, 1, 2, 3)])
def test_decoding_is_what_the_specification_says(reg_max: int, sources: tuple[int, ...]) -> None:
    model = build_model(config(sources=sources, reg_max=reg_max)).eval()
    with torch.no_grad():
        logits = [3 * torch.randn_like(level) for level in model.logits(torch.rand(1, 3, 48, 80))]
    boxes, scores = model.head.decode(logits)
    expected_boxes, expected_scores = decoded_by_hand(logits, model.stride.tolist(), reg_max, 3)
    torch.testing.assert_close(boxes[0], expected_boxes, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scores[0], expected_scores, rtol=1e-5, atol=1e-6)
    readable = model.head.readable(logits)
    torch.testing.assert_close(readable[..., :2], (boxes[..., :2] + boxes[..., 2:]) / 2)
    torch.testing.assert_close(readable[..., 2:4], boxes[..., 2:] - boxes[..., :2])
    assert torch.equal(readable[..., 4:], scores)


def test_odd_maps_decode_too() -> None:
    head = head_of()
    logits = [torch.randn(1, 67, *size) for size in ((7, 5), (3, 3), (1, 2))]
    boxes, scores = head.decode(logits)
    expected_boxes, expected_scores = decoded_by_hand(logits, head.stride.tolist(), 16, 3)
    torch.testing.assert_close(boxes[0], expected_boxes, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scores[0], expected_scores)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_concerns_the_logits_alone(dtype: torch.dtype) -> None:
    head = head_of()
    logits = [(8 * torch.randn(1, 67, 6, 6)).to(dtype) for _ in range(3)]
    expected = head.decode([level.float() for level in logits])
    found = copy.deepcopy(head).to(dtype).decode(logits)
    assert (found.boxes_xyxy.dtype, found.scores.dtype) == (torch.float32, torch.float32)
    assert torch.equal(found.boxes_xyxy, expected.boxes_xyxy)
    assert torch.equal(found.scores, expected.scores)


@pytest.mark.parametrize("kwargs", [{}, {"end2end": True, "reg_max": 1, "legacy_class_branch": False}])
def test_initial_biases_are_a_box_of_some_size_and_few_objects(kwargs: dict[str, Any]) -> None:
    head = head_of(sources=(3, 1), nc=4, **kwargs)
    assert head.stride.tolist() == [16, 4]
    for box, label in head.branches:
        for level, stride in enumerate((16, 4)):
            assert torch.equal(getattr(head, box)[level][-1].bias, torch.ones(4 * head.reg_max))
            rows = getattr(head, label)[level][-1].bias
            torch.testing.assert_close(rows, torch.full((4,), math.log(5 / 4 / (640 / stride) ** 2)))


def test_branches_use_the_activation_of_the_model() -> None:
    head = build_model({**config(end2end=True), "activation": "nn.Hardswish()"}).head
    activations = {type(module.act) for module in head.modules() if hasattr(module, "act")}
    assert activations == {nn.Hardswish}


def test_distances_are_fixed() -> None:
    head = head_of()
    assert head.dfl.conv.weight.flatten().tolist() == list(range(16))
    assert not head.dfl.conv.weight.requires_grad
    assert head.flaw() == ""
    head.dfl.conv.weight.data[0, 3] = 4
    assert head.flaw() == "its dfl.conv.weight does not hold the distances 0 to 15"
    assert head_of(reg_max=1).flaw() == ""


@pytest.mark.parametrize(
    ("block", "kwargs"), [("v10Detect", {}), ("AnchorFreeDetect", {"end2end": True, "reg_max": 1})]
)
def test_two_pairs_of_branches(block: str, kwargs: dict[str, Any]) -> None:
    """The second pair detects, needs no suppression and does not reach the rows before the head in training."""
    model = build_model(config(block, **kwargs)).train()
    head, images = model.head, torch.rand(2, 3, 32, 64)
    assert not head.needs_suppression
    assert build_model(config()).head.needs_suppression
    logits = model(images)
    cells = [(8, 16), (4, 8), (2, 4)]
    assert [level.shape[2:] for level in logits] == cells * 2
    assert torch.equal(head.decode(logits).boxes_xyxy, head.decode(logits[3:]).boxes_xyxy)
    assert not torch.equal(head.decode(logits).scores, head.decode(logits[:3]).scores)

    first = model.model[0].conv.weight
    only_second = sum(level.sum() for level in logits[3:])
    assert torch.autograd.grad(only_second, first, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(only_second, head.one2one_cv2[0][0].conv.weight, retain_graph=True)[0].any()
    assert torch.autograd.grad(sum(level.sum() for level in logits[:3]), first)[0].any()


def test_folding_drops_the_pair_that_only_trains() -> None:
    model = build_model(config(end2end=True, reg_max=1)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before, logits = model(images)
        after, folded = model.fuse()(images)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    assert (len(logits), len(folded)) == (6, 3)
    assert not any(".cv2.0.0." in key or ".cv3." in key for key in model.head.state_dict())
    assert not model.head.needs_suppression
    assert model.fuse() is model, "folding twice is folding once"
    one = build_model(config()).fuse().head
    assert hasattr(one, "cv2")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (["nc", [[1, 2]]], "takes one argument, [nc]"),
        ([], "takes one argument, [nc]"),
        ([0], "the number of classes must be a whole number from 1, not 0"),
        ([True], "the number of classes must be a whole number from 1, not True"),
    ],
)
def test_wrong_arguments_are_named(row: list[Any], problem: str) -> None:
    wrong = config()
    wrong["head"][0][3] = row
    with pytest.raises(ConfigError, match=problem.replace("[", r"\[")):
        build_model(wrong)


def test_wrong_widths_are_named() -> None:
    with pytest.raises(ConfigError, match="reg_max must be a whole number from 1, not 0"):
        build_model(config(reg_max=0))
    with pytest.raises(BudgetError, match="asks for 40,000,003 logits in each cell"):
        build_model(config(reg_max=10_000_000))


# What is taken over

NAMES = ["cat", "dog", "cow"]


def test_the_same_classes_come_along_whole() -> None:
    given, own = head_of(), head_of()
    taken = own.take_over(given.state_dict(), NAMES, ["Cat ", "dog", "cow"])
    assert taken.entries.keys() == own.state_dict().keys()
    assert (taken.converted, taken.knows_classes) == (frozenset(), True)
    own.load_state_dict(dict(taken.entries))
    assert all(torch.equal(value, given.state_dict()[key]) for key, value in own.state_dict().items())


@pytest.mark.parametrize("kwargs", [{}, {"end2end": True}, {"end2end": True, "legacy_class_branch": False}])
def test_rows_of_classes_are_found_by_name_in_every_pair(kwargs: dict[str, Any]) -> None:
    given, own = head_of(**kwargs), head_of(nc=4, **kwargs)
    with torch.no_grad():
        for values in (given.state_dict(), own.state_dict()):
            for tensor in values.values():
                if tensor.is_floating_point():
                    tensor.normal_()
    own.dfl = copy.deepcopy(given.dfl)
    taken = own.take_over(given.state_dict(), NAMES, ["cow", "hen", "cat", "fox"])
    labels = ["cv3", "one2one_cv3"] if "end2end" in kwargs else ["cv3"]
    changed = {f"{name}.{level}.2.{kind}" for name in labels for level in range(3) for kind in ("weight", "bias")}
    assert taken.converted == changed
    assert taken.knows_classes
    assert taken.entries.keys() == own.state_dict().keys()
    for key in changed:
        rows, there, before = taken.entries[key], given.state_dict()[key], own.state_dict()[key]
        assert torch.equal(rows[[0, 2]], there[[2, 0]])
        assert torch.equal(rows[[1, 3]], before[[1, 3]])
        assert taken.reasons[key] == "the 2 classes that both know"


def test_without_a_class_in_common_the_rest_comes_along() -> None:
    taken = head_of(nc=2).take_over(head_of().state_dict(), NAMES, ["hen", "fox"])
    left = {f"cv3.{level}.2.{kind}" for level in range(3) for kind in ("weight", "bias")}
    assert taken.reasons.keys() - taken.entries.keys() == left
    assert {taken.reasons[key] for key in left} == {"no class in common with the checkpoint"}
    assert not taken.knows_classes


def test_a_branch_comes_along_up_to_the_first_other_layer() -> None:
    """With many classes the class branch is wider: what follows a layer that differs would not understand it."""
    given, own = head_of(nc=40), head_of(nc=3)
    names = [str(index) for index in range(40)]
    taken = own.take_over(given.state_dict(), names, names[:3])
    assert all(key.startswith(("cv2.", "dfl.")) for key in taken.entries)
    assert sum(key.startswith("cv2.") for key in taken.entries) == sum(
        key.startswith("cv2.") for key in own.state_dict()
    )
    assert taken.reasons["cv3.0.0.conv.weight"] == taken.reasons["cv3.0.2.weight"] == "other shape"
    assert taken.reasons["cv3.0.2.bias"] == "belongs to a layer of another shape"
    assert not taken.knows_classes


def test_nothing_after_a_layer_that_differs_comes_along() -> None:
    """Its shape may fit: it would be the answer to another question."""
    given, own = AnchorFreeDetect(3, (16, 32, 64)), AnchorFreeDetect(3, (16, 48, 64))
    taken = own.take_over(given.state_dict(), NAMES, NAMES)
    left = {key.rpartition(".")[0] for key in own.state_dict().keys() - taken.entries.keys()}
    assert all(key.startswith(("cv2.1.", "cv3.1.")) for key in left)
    assert {"cv2.1.1.conv", "cv2.1.2", "cv3.1.1.conv", "cv3.1.2"} <= left


def test_a_changed_kernel_of_distances_stays_out() -> None:
    given, own = head_of(), head_of()
    given.dfl.conv.weight.data += 1
    assert "dfl.conv.weight" not in own.take_over(given.state_dict(), NAMES, NAMES).entries


def test_heads_of_another_kind_give_nothing() -> None:
    own = head_of()
    anchors = Detect(3, [[1, 2], [3, 4], [5, 6]], (8, 8, 8))
    assert not own.take_over(anchors.state_dict(), NAMES, NAMES).entries
    assert set(own.take_over(anchors.state_dict(), NAMES, NAMES).reasons) == set(own.state_dict())
    assert not anchors.take_over(own.state_dict(), NAMES, NAMES).entries
    fewer = own.take_over(head_of(sources=(2, 3)).state_dict(), NAMES, NAMES)
    assert (dict(fewer.entries), set(fewer.reasons.values())) == ({}, {"the checkpoint's head has other levels"})


def test_a_second_pair_that_the_checkpoint_lacks_starts_anew() -> None:
    taken = head_of(end2end=True).take_over(head_of().state_dict(), NAMES, NAMES)
    assert not any(key.startswith("one2one") for key in taken.entries)
    assert taken.knows_classes
