"""A convolution that only this file knows takes part in everything: built from a YAML, swapped in, taken over.

It is weight normalisation: Salimans, Kingma, arXiv 1602.07868. The kernel is a direction `v` and a length `g` for each
output channel, so that it can be any plain kernel, exactly.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from files.classes import Classes
from models import Detector, build_model, registry
from models.config.reader import load_config
from models.registry import conv_rule, register
from models.takeover import Exact, PlainConv, Takeover, Tensors
from models.weights.report import Outcome, TransferReport
from models.weights.source import SourceWeights, load_source
from models.weights.transfer import transfer_weights
from tests.places import SHARED

WEIGHTS = SHARED / "weights" / "yolov5n.pt"
CLASSES = Classes.of(["cat", "dog"])
CFG: dict[str, Any] = {
    "nc": 2,
    "anchors": [[10, 13, 16, 30], [50, 60, 90, 80]],
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "C3", [16]]],
    "head": [[-1, 1, "Conv", [32, 3, 2]], [[2, 3], 1, "Detect", ["nc", "anchors"]]],
}


def _norm(kernel: Tensor) -> Tensor:
    """Length of each output channel's kernel: `(C2, C1, k, k)` to `(C2, 1, 1, 1)`."""
    return kernel.flatten(1).norm(dim=1)[:, None, None, None]


def _from_plain(plain: PlainConv, own: Tensors) -> Tensors:
    return {"v": plain.kernel, "g": _norm(plain.kernel), **plain.batch_norm_as("norm.")}


def _to_plain(own: Tensors) -> PlainConv:
    return PlainConv.of(own["g"] * own["v"] / _norm(own["v"]), own, "norm.")


class WeightNormConv(nn.Module):
    """`SiLU(BN(conv(x, g v / |v|)))`."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.randn(c2, c1, k, k))
        self.g = nn.Parameter(torch.ones(c2, 1, 1, 1))
        self.norm = nn.BatchNorm2d(c2)
        self.stride, self.padding = s, k // 2

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.g * self.v / _norm(self.v)
        return nn.functional.silu(self.norm(nn.functional.conv2d(x, kernel, None, self.stride, self.padding)))


TAKEOVER = Takeover(
    marks=("v", "g", "norm.weight"),
    parts=("v", "g", "norm"),
    kernel_shape=lambda own: own["v"].shape,
    from_plain=Exact(_from_plain),
    to_plain=Exact(_to_plain),
)


@pytest.fixture(autouse=True)
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is registered for the test only."""
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    register(rule=conv_rule, takes_over=TAKEOVER)(WeightNormConv)


def with_convolution(cfg: dict[str, Any], name: str) -> dict[str, Any]:
    """Every 3x3 convolution but the first is a block of that name, inside of C3 too."""

    def row(given: list[Any]) -> list[Any]:
        source, number, block, args = given[:4]
        if block == "C3":
            return [source, number, block, args, {"conv": name}]
        return [source, number, name if block == "Conv" and args[1:2] == [3] else block, args]

    rows = [*cfg["backbone"], *cfg["head"]]
    changed = [rows[0], *map(row, rows[1:])]
    return {**cfg, "backbone": changed[: len(cfg["backbone"])], "head": changed[len(cfg["backbone"]) :]}


def randomised(model: Detector) -> Detector:
    """Statistics, kernels and biases that no two tensors share."""
    generator = torch.Generator().manual_seed(0)
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not key.endswith("anchors"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.1)
    return model


def source_of(model: Detector, classes: Classes) -> SourceWeights:
    return SourceWeights(model.state_dict(), "test", model.yaml, classes)


def taken(cfg: Any, source: SourceWeights) -> tuple[Detector, TransferReport]:
    assert source.classes is not None
    model = build_model(cfg, num_classes=len(source.classes))
    model.classes = source.classes
    report = transfer_weights(model, source)
    every = [key for transfer in report.transfers for key in transfer.keys]
    assert sorted(every) == sorted(model.state_dict())
    return model, report


def decoded(model: Detector) -> Tensor:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model.eval()(images)[0]


def assert_same(a: Detector, b: Detector) -> None:
    torch.testing.assert_close(decoded(a), decoded(b), rtol=1e-4, atol=1e-3)


def test_swapped_in_it_predicts_the_same() -> None:
    plain = randomised(build_model(CFG))
    third, report = taken(with_convolution(CFG, "WeightNormConv"), source_of(plain, CLASSES))
    assert isinstance(third.model[1], WeightNormConv)
    assert report.keys(Outcome.LEFT) == []
    assert len(report.keys(Outcome.CONVERTED)) == 3 * 7  # two rows, and the one inside of C3
    assert "Conv to WeightNormConv: the same function" in report.table()
    assert_same(third, plain)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("Conv", "WeightNormConv to Conv: the same function"),
        ("SAConv2d", "WeightNormConv to SAConv2d: the same function"),
        ("SPConv", "WeightNormConv to SPConv, approximate: its kernel projected, outer BatchNorm kept"),
        ("WeightNormConv", "same place, same shape"),
    ],
)
def test_every_other_convolution_can_follow_it(name: str, how: str) -> None:
    third = randomised(build_model(with_convolution(CFG, "WeightNormConv")))
    other, report = taken(with_convolution(CFG, name), source_of(third, CLASSES))
    assert report.keys(Outcome.LEFT) == []
    assert how in report.table()
    if name != "SPConv":
        assert_same(other, third)


def test_what_has_no_plain_form_cannot_come() -> None:
    split = randomised(build_model(with_convolution(CFG, "SPConv")))
    _, report = taken(with_convolution(CFG, "WeightNormConv"), source_of(split, CLASSES))
    # Whole rows find no partner; inside of C3 the block stands opposite the other one.
    hows = {transfer.how for transfer in report.transfers if transfer.row == 2 and transfer.outcome is Outcome.LEFT}
    assert hows == {"a WeightNormConv cannot come from a SPConv"}


def test_a_part_of_it_is_left_alone() -> None:
    third = randomised(build_model(with_convolution(CFG, "WeightNormConv")))
    state = {key: value for key, value in third.state_dict().items() if not key.endswith("running_var")}
    _, report = taken(with_convolution(CFG, "WeightNormConv"), SourceWeights(state, "test", third.yaml, CLASSES))
    assert all("v" not in key.split(".") for key in report.keys(Outcome.TAKEN))


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="shared/weights/yolov5n.pt is not here")
def test_trained_weights_lose_nothing() -> None:
    source = load_source(WEIGHTS)
    plain = build_model("yolov5n.yaml")
    plain.load_state_dict(source.state)
    third, report = taken(with_convolution(load_config("yolov5n.yaml").plain(), "WeightNormConv"), source)
    assert report.keys(Outcome.LEFT) == []
    assert "Conv to WeightNormConv: the same function" in report.table()
    assert_same(third, plain)


class ScaledConv(nn.Module):
    """Has a `Conv`'s tensors, and one more of its own beside them."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2, bias=False)
        self.scale = nn.Parameter(torch.ones(()))
        self.bn = nn.BatchNorm2d(c2)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(self.bn(self.scale * self.conv(x)))


def test_a_block_that_says_nothing_is_known_by_the_convolution_inside() -> None:
    register(rule=conv_rule)(ScaledConv)
    plain = randomised(build_model(CFG))
    scaled, report = taken(with_convolution(CFG, "ScaledConv"), source_of(plain, CLASSES))
    assert report.keys(Outcome.LEFT) == ["model.1.scale", "model.2.m.0.cv2.scale", "model.3.scale"]
    assert_same(scaled, plain)


def test_a_block_with_the_names_of_another_one_and_more_is_known_by_all_of_them() -> None:
    register(
        rule=conv_rule,
        takes_over=Takeover(
            marks=("scale", "bn.weight"),
            parts=("conv", "scale", "bn"),
            kernel_shape=lambda own: own["conv.weight"].shape,
            from_plain=Exact(
                lambda plain, own: {
                    "conv.weight": plain.kernel / 2,
                    "scale": torch.tensor(2.0),
                    **plain.batch_norm_as("bn."),
                }
            ),
        ),
    )(ScaledConv)
    plain = randomised(build_model(CFG))
    scaled, report = taken(with_convolution(CFG, "ScaledConv"), source_of(plain, CLASSES))
    assert report.keys(Outcome.LEFT) == []
    assert scaled.model[1].scale.item() == 2
    assert_same(scaled, plain)
