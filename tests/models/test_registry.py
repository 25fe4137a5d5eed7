"""What a block says with its decorator, and what is refused there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models import Conv, SAConv2d, build_model, registry
from models.registry import ConvClass, conv_rule, lookup, names, register


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))


@pytest.mark.parametrize("annotation", [ConvClass, "registry.ConvClass", "whatever"])
def test_a_block_becomes_known_by_one_decorator(annotation: Any) -> None:
    """The decorator alone says what takes a convolution: annotations may be strings, as with delayed evaluation."""

    class Stem(nn.Module):
        def __init__(self, c1: int, c2: int, inner=Conv) -> None:
            super().__init__()
            self.body = inner(c1, c2, 3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x)

    Stem.__init__.__annotations__["inner"] = annotation
    register("RegistryTestStem", rule=conv_rule, conv_slots=("inner",))(Stem)
    assert "RegistryTestStem" in names()
    model = build_model(
        {
            "nc": 2,
            "anchors": [[8, 8]],
            "backbone": [[-1, 1, "RegistryTestStem", [16], {"inner": "SAConv2d"}]],
            "head": [[[-1], 1, "Detect", ["nc", "anchors"]]],
        }
    )
    assert isinstance(model.model[0].body, SAConv2d)
    assert model.stride.tolist() == [4]


def test_a_slot_that_the_constructor_does_not_have() -> None:
    with pytest.raises(ValueError, match="block 'Slotless' has no constructor argument 'convolution'"):

        @register(rule=conv_rule, conv_slots=("convolution",))
        class Slotless(nn.Module):
            def __init__(self, c1: int, c2: int) -> None:
                super().__init__()

    assert "Slotless" not in names()


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="'Conv' is already registered by models"):

        @register("Conv", rule=conv_rule)
        class Other(nn.Module):
            pass


def test_two_blocks_cannot_be_known_by_the_same_tensors() -> None:
    taken = lookup("SPConv").takes_over
    with pytest.raises(ValueError, match=r"'Impostor' and 'SPConv' are both known by \('core.gwc.weight'.*rename"):

        @register(rule=conv_rule, takes_over=taken)
        class Impostor(nn.Module):
            pass

    assert "Impostor" not in names()
