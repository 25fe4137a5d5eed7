"""Where a model has its 3x3 convolutions, and that a variant has others in the backbone stages P3 to P5 alone."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def square_convolutions(module: nn.Module, inside: tuple[type[nn.Module], ...]) -> list[str]:
    """Names of the 3x3 convolutions that are no part of a block of `inside`."""
    blocks = [name for name, child in module.named_modules() if isinstance(child, inside)]
    return [
        name
        for name, child in module.named_modules()
        if isinstance(child, nn.Conv2d)
        and child.kernel_size == (3, 3)
        and not any(name == block or name.startswith(f"{block}.") or not block for block in blocks)
    ]


def check_stages(rows: Iterable[nn.Module], plain: Iterable[nn.Module], block: type[nn.Module]) -> None:
    """Rows 3 to 8 have a `block` for each 3x3 convolution of the plain model, and no other; the rest has none."""
    for index, (row, reference) in enumerate(zip(rows, plain, strict=True)):
        replaced = [child for child in row.modules() if isinstance(child, block)]
        square = square_convolutions(reference, ())
        if 3 <= index <= 8:
            assert len(replaced) == len(square) > 0
            assert square_convolutions(row, (block,)) == []
        else:
            assert replaced == []
            assert square_convolutions(row, ()) == square
