"""Every size of the newer families has as many parameters as its authors say, for 80 classes."""

from __future__ import annotations

import pytest
import torch

from models.config.reader import load_config
from models.parser import build_rows

PUBLISHED = {
    "yolov8": (3157200, 11166560, 25902640, 43691520, 68229648),
    "yolov8-ghost": (1865316, 5960072, 10336312, 14277872, 22229308),
    "yolov8-ghost-p2": (2033944, 5562080, 9031728, 12214448, 18664776),
    "yolov8-ghost-p6": (2901100, 9520008, 18002904, 21227584, 33057852),
    "yolo11": (2624080, 9458752, 20114688, 25372160, 56966176),
    "yolo12": (2602288, 9284096, 20199168, 26450784, 59210784),
    "yolo26": (2572280, 10009784, 21896248, 26299704, 58993368),
    "yolo26-p2": (2662400, 9765856, 21144288, 25815520, 57935232),
    "yolo26-p6": (4063872, 15876448, 32400096, 39365600, 88330368),
}
"""By family, at the sizes n, s, m, l and x; with the fixed kernel of the distances, where there is one."""

SIZES = {
    family.replace(number, f"{number}{size}", 1): count
    for family, counts in PUBLISHED.items()
    for number in [next(digits for digits in ("26", "12", "11", "8") if digits in family)]
    for size, count in zip("nsmlx", counts, strict=True)
}


@pytest.mark.parametrize("name", SIZES)
def test_a_size_has_the_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        _, modules = build_rows(load_config(f"{name}.yaml"))
    assert sum(tensor.numel() for tensor in torch.nn.ModuleList(modules).parameters()) == SIZES[name]
