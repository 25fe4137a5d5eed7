"""Arrays come back as they were written, and a file that is not as it was written is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

import files.arrays
from files.arrays import DamagedArraysError, read_arrays, write_arrays

ARRAYS = {
    "boxes": np.arange(12, dtype=np.float32).reshape(3, 4),
    "none": np.zeros((0, 4)),
    "flags": np.array([True, False, True]),
    "ids": np.array([2**62, -1]),
    "last": np.zeros(0, np.uint8),
}
FACTS = {"version": 1, "names": ["ä", "\ud800"], "nested": {"a": None}}

kinds = some.boolean_dtypes() | some.integer_dtypes() | some.floating_dtypes(sizes=(32, 64))


@pytest.fixture(params=[0, 1 << 20], ids=["mapped", "read"])
def file(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files.arrays, "MAPPED_FROM", request.param)
    path = tmp_path / "a.arrays"
    write_arrays(path, ARRAYS, FACTS)
    return path


def assert_equal(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape


def test_they_come_back_and_cannot_be_written(file: Path) -> None:
    stored = read_arrays(file)
    assert_equal(stored.arrays, ARRAYS)
    assert stored.facts == FACTS
    with pytest.raises(ValueError, match="read-only"):
        stored.arrays["boxes"][0] = 1
    assert_equal(read_arrays(file, digest=stored.digest).arrays, ARRAYS)
    assert [entry.name for entry in file.parent.iterdir()] == ["a.arrays"]


@settings(max_examples=30, deadline=None)
@given(arrays=st.dictionaries(st.text(max_size=5), some.arrays(kinds, some.array_shapes(min_dims=0, min_side=0))))
def test_any_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a"
    write_arrays(path, arrays, {})
    assert_equal(
        read_arrays(path).arrays, {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    )


def test_every_bit_counts(file: Path) -> None:
    whole = file.read_bytes()
    for position in range(len(whole)):
        file.unlink()  # a mapped file must not be written in place
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :])
        with pytest.raises(DamagedArraysError):
            read_arrays(file)


@pytest.mark.parametrize("change", [lambda c: b"", lambda c: c[:40], lambda c: c[:-1], lambda c: c + b"\0"])
def test_every_byte_counts(file: Path, change: Any) -> None:
    content = file.read_bytes()
    digest = read_arrays(file).digest
    file.unlink()
    file.write_bytes(change(content))
    for known in (None, digest):
        with pytest.raises((DamagedArraysError, ValueError)):
            read_arrays(file, digest=known)


def test_another_digest_is_another_file(file: Path) -> None:
    with pytest.raises(DamagedArraysError, match="damaged"):
        read_arrays(file, digest="0" * 64)


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not object"):
        write_arrays(tmp_path / "a", {"a": np.array([None])}, {})
    assert not [*tmp_path.iterdir()]
