"""Complete IoU of pairs of boxes: Zheng et al., "Distance-IoU Loss", AAAI 2020, arXiv 1911.08287, section 3.3.

torchvision's `complete_box_iou_loss` says the same. An assignment asks for it millions of times: here what belongs to
one box alone, such as its angle, is computed once, and both axes go together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_EPS = 1e-6  # where a prediction is perfect, the trade-off would be 0 / 0


def features_of(boxes_xyxy: Tensor) -> Tensor:
    """What `complete_iou` asks of boxes `(n, 4)`: `(8, n)` corners, centre, area, and angle of the diagonal.

    The angle is a share of a right angle.
    """
    low, high = boxes_xyxy.T.split(2)  # (2, n) each
    width, height = (high - low).split(1)  # (1, n) each
    return torch.cat((low, high, (low + high) / 2, width * height, torch.atan(width / height) * (2 / math.pi)))


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """`(P,)` complete IoU of boxes from their features `(8, P)` and `(8, P)`, -1 to 1; NaN where a box has no size.

    For the gradient its trade-off factor is a constant.
    """
    a_low, a_high, a_centre, a_area, a_angle = a.split((2, 2, 2, 1, 1))
    b_low, b_high, b_centre, b_area, b_angle = b.split((2, 2, 2, 1, 1))
    sides = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0)  # (2, P) of what is common
    common = sides[:1] * sides[1:]  # (1, P)
    iou = common / (a_area + b_area - common)  # (1, P)
    around = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).square().sum(0)  # (P,) squared diagonal
    apart = (a_centre - b_centre).square().sum(0)  # (P,) squared distance
    aspect = (a_angle - b_angle).square()  # (1, P)
    with torch.no_grad():
        trade_off = aspect / (aspect - iou + (1 + _EPS))  # (1, P)
    return (iou - trade_off * aspect)[0] - apart / around
