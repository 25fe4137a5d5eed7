"""The layers of `torch.nn` that model YAMLs name."""

from __future__ import annotations

from typing import Any

from torch import nn

from models.registry import RowContext, RowPlan, conv_rule, register, same_channels_rule, single_input


def _batchnorm_rule(context: RowContext, args: list[Any]) -> RowPlan:
    """The number of features is the input's channels, whatever the row's first argument says, as in YOLOv5."""
    c1 = single_input(context)
    return RowPlan((c1, *args[1:]), c1, context.repeats)


_SCALED_CHANNELS: tuple[type[nn.Module], ...] = (nn.Conv2d, nn.ConvTranspose2d)
_KEEP_CHANNELS: tuple[type[nn.Module], ...] = (nn.Upsample, nn.MaxPool2d, nn.AvgPool2d, nn.ZeroPad2d)

for _layer in _SCALED_CHANNELS:
    register(f"nn.{_layer.__name__}", rule=conv_rule)(_layer)
for _layer in _KEEP_CHANNELS:
    register(f"nn.{_layer.__name__}", rule=same_channels_rule)(_layer)
register("nn.BatchNorm2d", rule=_batchnorm_rule)(nn.BatchNorm2d)
