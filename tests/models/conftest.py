"""What tests of SAConv2d share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models.blocks.saconv import SAConv2d
from tests.models.saconv_variants import VARIANTS


@pytest.fixture(scope="session")
def make(randomise: Any) -> Callable[[str], SAConv2d]:
    """Makes a variant's block, with random weights and statistics, in evaluation mode."""
    return lambda variant: randomise(SAConv2d(8, 12, **VARIANTS[variant])).eval()
