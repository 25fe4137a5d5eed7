"""The seeds of the fuzzer, and what chance makes of them: no exception but the input errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS, feed

FILES = sorted(path for name in TARGETS for path in (SEEDS / name).iterdir())


@pytest.mark.parametrize("seed", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_changed_byte_or_a_cut_is_refused_or_read(tmp_path: Path, seed: Path, at: int, byte: int, cut: bool) -> None:
    content = seed.read_bytes()
    at %= len(content)
    feed(seed.parent.name, tmp_path, content)
    feed(seed.parent.name, tmp_path, content[:at] + (b"" if cut else bytes([byte]) + content[at + 1 :]))
