"""Checkpoints: round trip, and one line for whatever is not one."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from files.classes import Classes
from files.errors import InputError
from files.faults import OutputError
from models import build_model
from models.weights.load import load_detector
from tests.places import SMALL_DISK

CFG = {
    "nc": 2,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "anchors": [[10, 13, 16, 30]],
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "SAConv2d", [16, 3, 2]]],
    "head": [[[1], 1, "Detect", ["nc", "anchors"]]],
}


def content(**changes: Any) -> dict[str, Any]:
    model = build_model(CFG)
    plain = {
        "model": model.state_dict(),
        "yaml": model.yaml,
        "names": ["a", "b"],
        "category_ids": [7, 3],
        "imgsz": 64,
        "data": "data.yaml",
    }
    return plain | changes


def test_round_trip_is_exact(tmp_path: Path) -> None:
    original = build_model(CFG).eval()
    path = tmp_path / "a.pt"
    save_checkpoint(path, content(model=original.state_dict()))
    detector = load_detector(path)
    assert (detector.names, detector.classes, detector.imgsz) == (["a", "b"], Classes(("a", "b"), (7, 3)), 64)
    assert not detector.training
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(detector(images)[0], original(images)[0])


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_checkpoint_that_would_run_code_is_refused_and_nothing_ran(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"format": FORMAT, "model": Evil()}, tmp_path / "zip.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("zip.pt", "plain.pt"):
        with pytest.raises(InputError, match="it is not loaded, since it might run code") as caught:
            load_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_file_is_one_line(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.pt"
    save_checkpoint(path, content())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"a\.pt: .*damaged") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_foreign_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint; check --weights"):
        load_checkpoint(tmp_path / "none.pt")
    torch.save({"model": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a checkpoint of this project"):
        load_checkpoint(tmp_path / "other.pt")


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_bytes_that_are_no_checkpoint_are_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "noise.pt").write_bytes(data)
    with pytest.raises(InputError, match=r"noise\.pt") as caught:
        load_checkpoint(tmp_path / "noise.pt")
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", content(model={"model.0.conv.weight": torch.zeros(1)}))
    with pytest.raises(InputError, match=r"its weights do not fit its configuration \((Missing key|size mismatch)"):
        load_detector(tmp_path / "a.pt")
    broken = content()
    del broken["names"]
    save_checkpoint(tmp_path / "b.pt", broken)
    with pytest.raises(InputError, match=r"b\.pt"):
        load_detector(tmp_path / "b.pt")


def test_a_full_disk_is_one_line_and_the_previous_checkpoint_stays(small_disk: Path) -> None:
    path = small_disk / "last.pt"
    save_checkpoint(path, content(epoch=1))
    with pytest.raises(OutputError, match=r"last\.pt: cannot be written: the disk is full; make room"):
        save_checkpoint(path, content(epoch=2, large=torch.zeros(SMALL_DISK // 2)))
    assert [entry.name for entry in small_disk.iterdir()] == ["last.pt"]
    assert load_checkpoint(path)["epoch"] == 1


def test_a_value_that_no_checkpoint_holds_is_a_defect_of_ours(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        save_checkpoint(tmp_path / "last.pt", content(evil=lambda: None))
    assert list(tmp_path.iterdir()) == []
