"""The built detector: golden outputs, decoding, biases, precision. tests/modes has the other modes it is run in."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import Detector, build_model
from models.errors import ConfigError
from models.heads.detect import Detect
from models.losses.targets import Targets
from tests.models.golden import fill, golden_image
from tests.places import GOLDEN


def relative(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the values' size."""
    return float(((actual - expected).abs() / expected.abs().clamp(min=1e-3)).max())


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def nano() -> Detector:
    """yolov5n with golden weights; not to be changed."""
    with torch.no_grad():
        return fill(build_model("yolov5n"))


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared/golden")
@pytest.mark.parametrize("size", ["n", "s", *(pytest.param(size, marks=pytest.mark.slow) for size in ("m", "l", "x"))])
def test_keys_count_and_outputs_are_the_golden_ones(size: str) -> None:
    golden = np.load(GOLDEN / f"yolo_yolov5{size}.npz")
    meta = json.loads(str(golden["meta"]))
    model = fill(build_model(f"yolov5{size}.yaml"))
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == json.loads(str(golden["keys"]))
    assert sum(parameter.numel() for parameter in model.parameters()) == meta["parameters"]
    assert model.stride.tolist() == meta["stride"]
    assert model.num_classes == meta["nc"]
    decoded = model(golden_image())[0]
    if "decoded" in golden:
        assert relative(decoded, torch.from_numpy(golden["decoded"])) < 1e-4
    else:
        assert relative(decoded[:, :64], torch.from_numpy(golden["decoded_head"])) < 1e-4
        assert relative(decoded[0].abs().mean(0), torch.from_numpy(golden["decoded_mean_abs"])) < 1e-4


def test_training_gives_logits_and_evaluation_gives_decoded_and_logits(nano: Detector) -> None:
    shapes = [(2, 3, 8, 12, 85), (2, 3, 4, 6, 85), (2, 3, 2, 3, 85)]
    images = torch.rand(2, 3, 64, 96)
    decoded, logits = nano(images)
    assert [tuple(level.shape) for level in logits] == shapes
    assert decoded.shape == (2, 3 * (96 + 24 + 6), 85)
    training = copy.deepcopy(nano).train()(images)
    assert isinstance(training, list)
    assert [tuple(level.shape) for level in training] == shapes


def test_decoding_against_the_formulas_one_number_at_a_time() -> None:
    anchors = [[10.0, 14.0, 23.0, 27.0], [81.0, 82.0, 135.0, 169.0]]
    head = Detect(2, anchors, (4, 4))
    head.set_stride(torch.tensor([8.0, 16.0]))
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(2, 2, 4, 6, 7, generator=generator), torch.randn(2, 2, 2, 3, 7, generator=generator)]
    decoded = head.readable(logits).tolist()
    for image in range(2):
        row = 0
        for level, stride in enumerate((8, 16)):
            _, count, height, width, _ = logits[level].shape
            for anchor in range(count):
                for y in range(height):
                    for x in range(width):
                        sigmoid = [1 / (1 + math.exp(-float(v))) for v in logits[level][image, anchor, y, x]]
                        anchor_w, anchor_h = anchors[level][2 * anchor : 2 * anchor + 2]
                        expected = [
                            (2 * sigmoid[0] - 0.5 + x) * stride,
                            (2 * sigmoid[1] - 0.5 + y) * stride,
                            (2 * sigmoid[2]) ** 2 * anchor_w,
                            (2 * sigmoid[3]) ** 2 * anchor_h,
                            *sigmoid[4:],
                        ]
                        assert decoded[image][row] == pytest.approx(expected, rel=1e-5, abs=1e-5)
                        row += 1
        assert row == len(decoded[image])


@pytest.mark.parametrize("classes", [1, 4, 80])
def test_initial_biases_expect_few_objects_and_no_class(classes: int) -> None:
    head = Detect(classes, [[10, 13, 16, 30]] * 3, (8, 8, 8))
    for conv in head.m:
        nn.init.zeros_(conv.bias)
    strides = (8, 16, 32)
    head.set_stride(torch.tensor(strides, dtype=torch.float32))
    for conv, stride in zip(head.m, strides, strict=True):
        bias = conv.bias.view(2, 5 + classes)
        cells = (640 / stride) ** 2
        # odds of 8 objects in the cells of a 640 px image; a class is as likely as 0.6 shared among them
        assert torch.exp(bias[:, 4]).tolist() == pytest.approx([8 / cells] * 2)
        assert torch.exp(bias[:, 5:]).flatten().tolist() == pytest.approx([0.6 / (classes - 0.99999)] * 2 * classes)
        assert not bias[:, :4].any()


def test_anchors_are_stored_in_grid_units_and_small_ones_belong_to_fine_levels() -> None:
    small, large = [10.0, 13.0, 16.0, 30.0], [116.0, 90.0, 156.0, 198.0]
    strides = torch.tensor([8.0, 32.0])
    in_order, flipped = Detect(1, [small, large], (8, 8)), Detect(1, [large, small], (8, 8))
    coarse_first = Detect(1, [large, small], (8, 8))
    in_order.set_stride(strides)
    flipped.set_stride(strides)
    coarse_first.set_stride(strides.flip(0))
    expected = torch.tensor([small, large]).view(2, 2, 2) / strides.view(-1, 1, 1)
    assert torch.equal(in_order.anchors, expected)
    assert torch.equal(flipped.anchors, expected)
    assert torch.equal(coarse_first.anchors, expected.flip(0))


def test_a_number_of_anchors_gives_placeholder_shapes() -> None:
    model = build_model({**build_model("yolov5n").yaml, "anchors": 3})
    pixels = model.head.anchors * model.stride.view(-1, 1, 1)
    assert pixels.tolist() == [[[0, 1], [2, 3], [4, 5]]] * 3
    assert model.eval()(torch.zeros(1, 3, 64, 64))[0].shape == (1, 252, 85)


def test_another_number_of_classes() -> None:
    model = build_model("yolov5n", num_classes=5)
    assert model.num_classes == model.yaml["nc"] == 5
    assert model.names == ["0", "1", "2", "3", "4"]
    assert model.eval()(torch.zeros(1, 3, 32, 32))[0].shape == (1, 63, 10)


def test_the_class_count_reaches_the_head_only_through_nc() -> None:
    content = build_model("yolov5n").yaml
    content["head"][-1][3][0] = 80
    with pytest.raises(ConfigError, match=r"row 24 \(Detect\).*80 classes.*write nc"):
        build_model(content, num_classes=5)


@pytest.mark.parametrize("name", ["yolov5n", "yolov5n-saconv", "yolov5n-spconv"])
def test_the_plain_content_rebuilds_the_same_network(name: str) -> None:
    model = fill(build_model(name, num_classes=3))
    again = build_model(json.loads(json.dumps(model.yaml))).eval()
    again.load_state_dict(model.state_dict())
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(images)[0], model(images)[0])


def test_batch_norms_have_yolos_settings(nano: Detector) -> None:
    norms = [module for module in nano.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}


@pytest.mark.parametrize(("height", "width"), [(65, 64), (64, 48), (16, 32)])
def test_a_size_that_the_strides_do_not_divide_is_refused(nano: Detector, height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"{height}x{width} is not a multiple of 32"):
        nano(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize("name", ["yolov5n", "yolov5n-saconv", "yolov5n-spconv"])
def test_fusing_is_the_same_function_without_batch_norms(name: str) -> None:
    model = fill(build_model(name, num_classes=4))
    images = golden_image()
    expected = model(images)[0]
    fused = model.fuse()
    assert fused is model
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert relative(fused(images)[0], expected) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_keeps_the_geometry(nano: Detector, dtype: torch.dtype) -> None:
    model = copy.deepcopy(nano).to(dtype)
    images = golden_image()
    decoded, logits = model(images.to(dtype))
    assert {level.dtype for level in logits} == {dtype}
    assert decoded.dtype == torch.float32
    assert torch.equal(model.head.anchors, nano.head.anchors)
    assert torch.equal(model.stride, nano.stride)
    # decoding itself must add no rounding: it equals fp32 decoding of the same logits
    assert torch.equal(decoded, nano.head.readable([level.float() for level in logits]))


@pytest.mark.parametrize("name", ["yolov5n", "yolov5n-saconv", "yolov5n-spconv"])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = fill(build_model(name, num_classes=2)).train()
    with torch.enable_grad():
        sum(level.square().mean() for level in model(torch.rand(2, 3, 64, 64))).backward()
    without = [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


def test_the_loss_belongs_to_the_head() -> None:
    model = build_model("yolov5n", num_classes=2)
    gains = {**model.head.hyperparameters().model_dump(), "imgsz": 640, "fl_gamma": 0.0}
    loss = model.head.criterion(gains)
    assert isinstance(loss, nn.Module)


def test_predictions_are_the_readable_table_in_another_form(nano: Detector) -> None:
    images = golden_image()
    readable, logits = nano(images)
    boxes_xyxy, scores = nano.predict(images)
    centre, size = readable[..., :2], readable[..., 2:4]
    assert torch.equal(boxes_xyxy, torch.cat((centre - size / 2, centre + size / 2), 2))
    assert torch.equal(scores, readable[..., 5:] * readable[..., 4:5])
    with torch.enable_grad():  # another path, for those who want gradients
        again = nano.head.decode([level.detach().requires_grad_() for level in logits])
        again.scores.sum().backward()
    assert torch.equal(again.scores, scores)
    assert torch.equal(again.boxes_xyxy, boxes_xyxy)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (1, 0, 2), (0, 2, 1)])
def test_levels_may_stand_in_any_order(order: tuple[int, ...]) -> None:
    """The same network with its levels listed in another order finds the same, level by level."""
    content = build_model("yolov5n", num_classes=2).yaml
    plain = fill(build_model(content))
    sources = content["head"][-1][0]
    turned = {**content, "head": [*content["head"][:-1], [[sources[k] for k in order], *content["head"][-1][1:]]]}
    model = build_model(turned).eval()
    state = plain.state_dict()
    for place, level in enumerate(order):
        for part in ("weight", "bias"):
            state[f"model.24.m.{place}.{part}"] = plain.state_dict()[f"model.24.m.{level}.{part}"]
    state["model.24.anchors"] = model.head.anchors  # sorted to the strides by the head
    model.load_state_dict(state)
    assert model.stride.tolist() == [[8, 16, 32][level] for level in order]
    images = golden_image()
    expected, actual = plain(images)[1], model(images)[1]
    pixels = plain.head.anchors * plain.stride.view(-1, 1, 1)
    assert torch.equal(model.head.anchors * model.stride.view(-1, 1, 1), pixels[list(order)])
    for place, level in enumerate(order):
        assert torch.equal(actual[place], expected[level])
    scores = [network.predict(images).scores.flatten().sort().values for network in (plain, model)]
    assert torch.equal(*scores)


def test_six_levels_train_and_detect() -> None:
    rows = [[-1, 1, "Conv", [4, 3, 2]] for _ in range(6)]
    head = [[[5, 1, 3, 0, 4, 2], 1, "Detect", ["nc", "anchors"]]]
    base = {"nc": 2, "depth_multiple": 1.0, "width_multiple": 1.0, "anchors": [[4 * 2**k, 4 * 2**k] for k in range(6)]}
    model = build_model({**base, "backbone": rows, "head": head})
    assert model.stride.tolist() == [64, 4, 16, 2, 32, 8]
    assert (model.head.anchors == 2).all()
    gains = {**model.head.hyperparameters().model_dump(), "imgsz": 128}
    boxes = torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.3], [1, 0, 0.4, 0.2, 0.05, 0.05]])
    criterion = model.head.criterion(gains)
    assert criterion.balance == (0.02, 1.0, 0.06, 4.0, 0.02, 0.25)
    with torch.enable_grad():
        losses = criterion(model(torch.rand(2, 3, 128, 128)), Targets.of_boxes(boxes, (128, 128)), 0.5)
        sum(losses.values()).backward()
    assert all(loss > 0 for loss in losses.values())
    assert all(conv.weight.grad is not None for conv in model.head.m)
    assert model.eval().predict(torch.rand(1, 3, 128, 128)).scores.shape == (1, sum(4**k for k in range(1, 7)), 2)
