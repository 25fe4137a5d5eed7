"""Choosing the convolution and the activation of a block."""

from __future__ import annotations

import threading

import pytest
from torch import nn

from models.blocks.activation import build_activation, default_activation, parse_activation
from models.blocks.conv import Conv
from models.blocks.csp import C3
from models.blocks.saconv import SAConv2d
from models.errors import ConfigError


def test_c3_makes_only_its_3x3_convolutions_of_the_given_class() -> None:
    block = C3(16, 16, 2, conv=SAConv2d, use_deform=True)
    kinds = {name: type(module) for name, module in block.named_modules() if isinstance(module, Conv | SAConv2d)}
    assert {name for name, kind in kinds.items() if kind is SAConv2d} == {"m.0.cv2", "m.1.cv2"}
    assert set(kinds) == {"cv1", "cv2", "cv3", "m.0.cv1", "m.0.cv2", "m.1.cv1", "m.1.cv2"}
    assert block.m[0].cv2.use_deform
    with pytest.raises(TypeError, match="dilate"):
        C3(16, 16, conv=SAConv2d, dilate=2)


def test_default_activation_holds_inside_its_context_and_thread_only() -> None:
    seen: list[nn.Module] = []
    with default_activation(parse_activation("nn.LeakyReLU(0.1)")):
        inside = C3(8, 8)
        thread = threading.Thread(target=lambda: seen.append(Conv(1, 1).act))
        thread.start()
        thread.join()
        explicit = Conv(1, 1, act=False)
    assert inside.cv1.act.negative_slope == 0.1
    assert inside.m[0].cv2.act.negative_slope == 0.1
    assert isinstance(explicit.act, nn.Identity)
    assert isinstance(seen[0], nn.SiLU)
    assert isinstance(Conv(1, 1).act, nn.SiLU)


def test_activations_from_text_and_modules() -> None:
    assert parse_activation("nn.LeakyReLU(negative_slope=0.2)")().negative_slope == 0.2
    assert isinstance(parse_activation("torch.nn.Hardswish()")(), nn.Hardswish)
    assert isinstance(build_activation("ReLU"), nn.ReLU)
    assert isinstance(build_activation(None), nn.Identity)
    own = nn.Mish()
    assert build_activation(own) is own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nn.SiLu()", "did you mean 'nn.SiLU"),
        ("__import__('os').system('true')", "unknown activation"),
        ("nn.LeakyReLU(open('x'))", "cannot read"),
        ("nn.LeakyReLU(", "cannot read"),
        ("nn.LeakyReLU(slope=3)", "wrong arguments"),
        ("nn.Conv2d(1, 1, 1)", "unknown activation"),
        ("nn.LeakyReLU(**{})", "wrong arguments"),
    ],
)
def test_activation_text_is_never_evaluated(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_activation(text)
    with pytest.raises(ConfigError):
        build_activation(3)
