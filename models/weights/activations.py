"""Does a network that takes weights over have the activations that they were trained with?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.blocks.activation import build_activation
from models.detector import Detector
from models.errors import ConfigError
from models.weights.source import SourceWeights

_DEFAULT = "nn.SiLU()"


def other_activations(model: Detector, source: SourceWeights, partners: Mapping[int, int]) -> tuple[str, ...]:
    """What differs, for people: no kernel fits behind another activation. Empty where nothing does, or nobody knows.

    Args:
        partners: rows of the checkpoint by row of the detector.
    """
    notes = []
    if source.yaml is not None:
        there, here = _usual(source.yaml), _usual(model.yaml)
        if _meaning(there) != _meaning(here):
            notes.append(
                f"the checkpoint was trained with {there}, and this network has {here}, so it computes something else; "
                f"write 'activation: {there}' into its YAML"
            )
    for row, path, there in _unusual(source, partners):
        try:
            here = _shown(model.model[row].get_submodule(path))
        except AttributeError:  # the row has no such block
            continue
        if here != _meaning(there):
            notes.append(f"row {row} has {here} at {path} where the checkpoint was trained with {there}")
    return tuple(notes)


def _usual(yaml: Mapping[str, Any]) -> str:
    return str(yaml.get("activation") or _DEFAULT)


def _unusual(source: SourceWeights, partners: Mapping[int, int]) -> list[tuple[int, str, str]]:
    """Row of the detector, path in it and text of each activation that the checkpoint's YAML says nothing of."""
    found = []
    for row, partner in partners.items():
        prefix = f"model.{partner}."
        for path, text in source.activations.items():
            if path.startswith(prefix):
                found.append((row, path.removeprefix(prefix), text))
    return found


def _meaning(text: str) -> str:
    """What torch says of the activation of a text; the text itself where there is none such."""
    try:
        return _shown(build_activation(text))
    except ConfigError:
        return text


def _shown(activation: nn.Module) -> str:
    """Class and numbers; whether it works in place changes nothing."""
    return repr(activation).replace(", inplace=True", "").replace("inplace=True", "")
