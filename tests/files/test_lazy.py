"""The lazy packages give every name that they promise, and refuse others as modules do."""

from __future__ import annotations

from types import ModuleType

import pytest

import engine
import models


@pytest.mark.parametrize("package", [engine, models])
def test_promised_names_are_there(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        _ = package.nothing
