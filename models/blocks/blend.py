"""The weighted mean of two maps."""

from __future__ import annotations

import torch
from torch import Tensor


def blend(share: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """`share * first + (1 - share) * second`; `share` broadcasts and may lie outside [0, 1].

    For the backward pass of `lerp` torch keeps both maps, for that of `addcmul` only their difference. Without a
    backward pass, `lerp` is one pass over memory and has no difference to store.
    """
    share = share.to(first.dtype)
    if torch.is_grad_enabled():
        return torch.addcmul(second, share, first - second)
    return torch.lerp(second, first, share)
