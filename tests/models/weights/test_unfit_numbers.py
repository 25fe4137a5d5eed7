"""Checkpoints whose numbers no network can run with: each is one line that names file and tensor."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.checkpoint import save_checkpoint
from files.errors import InputError
from models import build_model
from models.errors import WeightsError
from models.weights.load import load_detector
from models.weights.report import Outcome
from models.weights.source import load_source
from models.weights.transfer import transfer_weights
from tests.models.weights.foreign_network import make_network, save_foreign

CFG = {
    "nc": 2,
    "anchors": [[10, 13, 16, 30]],
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]]],
    "head": [[[1], 1, "Detect", ["nc", "anchors"]]],
}
KERNEL = "model.1.conv.weight"


def save(path: Path, key: str = "", change: Callable[[Tensor], Any] = lambda tensor: tensor, **entries: Any) -> Path:
    model = build_model(CFG)
    state = model.state_dict()
    if key:
        state[key] = change(state[key])
    plain = {"model": state, "yaml": model.yaml, "names": ["a", "b"], "category_ids": [1, 2], "imgsz": 64}
    save_checkpoint(path, {**plain, **entries})
    return path


def with_value(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed.view(-1)[-1] = value
        return changed

    return change


UNFIT: dict[str, tuple[str, Callable[[Tensor], Tensor], str]] = {
    "NaN": (KERNEL, with_value(float("nan")), f"{KERNEL}: 1 of 1,152 numbers are NaN or infinite"),
    "infinity": (KERNEL, with_value(-float("inf")), f"{KERNEL}: 1 of 1,152 numbers are NaN or infinite"),
    "half infinity": (KERNEL, lambda t: with_value(float("inf"))(t.half()), "NaN or infinite"),
    "more than float32": (KERNEL, lambda t: with_value(1e300)(t.double()), "NaN or infinite"),
    "NaN in a variance": ("model.0.bn.running_var", with_value(float("nan")), "model.0.bn.running_var: 1 of 8"),
    "negative variance": ("model.0.bn.running_var", with_value(-1), "model.0.bn.running_var: has negative variances"),
    "NaN in the anchors": ("model.2.anchors", with_value(float("nan")), "model.2.anchors: 1 of 4"),
    "negative anchor": ("model.2.anchors", with_value(-1), "its anchors are not all positive"),
    "anchor without height": ("model.2.anchors", with_value(0), "its anchors are not all positive"),
    "complex": (KERNEL, lambda t: t.to(torch.complex64), f"{KERNEL} is a tensor of complex numbers"),
    "sparse": (KERNEL, lambda t: t.to_sparse(), f"{KERNEL} is a sparse"),
    "compressed rows": ("model.2.m.0.weight", lambda t: t.flatten(1).to_sparse_csr(), "is a sparse"),
    "quantised": (KERNEL, lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is a quantised tensor"),
    "meta": (KERNEL, lambda t: t.to("meta"), f"{KERNEL} is a tensor without numbers"),
    "whole numbers": (KERNEL, lambda t: (100 * t).to(torch.int8), f"{KERNEL} holds whole numbers"),
    "truth values": (KERNEL, lambda t: t > 0, f"{KERNEL} holds whole numbers"),
    "repeated": (KERNEL, lambda t: torch.zeros(1).expand(10**7, 10**7), "bytes of weights"),
    "repeated a little": (KERNEL, lambda t: torch.zeros(1).expand(t.shape), f"{KERNEL} is a tensor that repeats"),
}


@pytest.mark.filterwarnings("ignore:.*(quantiz|Sparse|TypedStorage)")
@pytest.mark.parametrize("kind", UNFIT)
def test_numbers_that_no_network_runs_with(kind: str, tmp_path: Path) -> None:
    key, change, expected = UNFIT[kind]
    path = save(tmp_path / "a.pt", key, change)
    with pytest.raises(WeightsError) as caught:
        load_detector(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert expected in message
    assert "\n" not in message


def test_good_numbers_load(tmp_path: Path) -> None:
    for change in (lambda tensor: tensor.half(), lambda tensor: tensor.double(), lambda tensor: tensor.bfloat16()):
        load_detector(save(tmp_path / "a.pt", KERNEL, change))


def test_placeholder_anchors_run(tmp_path: Path) -> None:
    """A training with `--noautoanchor` may have kept YOLOv5's placeholders, whose first one has no width."""
    model = build_model({**CFG, "anchors": 2})
    save_checkpoint(
        tmp_path / "a.pt",
        {"model": model.state_dict(), "yaml": model.yaml, "names": ["a", "b"], "category_ids": [1, 2], "imgsz": 64},
    )
    load_detector(tmp_path / "a.pt")


def test_nan_is_no_start_of_a_training(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="NaN or infinite"):
        load_source(save(tmp_path / "a.pt", KERNEL, with_value(float("nan"))))


def test_whole_numbers_are_not_taken_over(tmp_path: Path) -> None:
    source = load_source(save(tmp_path / "a.pt", KERNEL, lambda tensor: (100 * tensor).to(torch.int8)))
    model = build_model(CFG)
    report = transfer_weights(model, source)
    assert KERNEL in report.keys(Outcome.LEFT)
    assert "model.0.conv.weight" in report.keys(Outcome.TAKEN)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_nan_in_a_checkpoint_of_yolov5(foreign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_network(foreign)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = float("nan")
    path = save_foreign({"model": model, "ema": None}, tmp_path / "a.pt", monkeypatch, False)
    with pytest.raises(WeightsError, match=r"1 of .* numbers are NaN or infinite"):
        load_source(path)


def shared(depth: int) -> Any:
    value: Any = ["x"]
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "entries",
    [
        {"yaml": {**CFG, "backbone": shared(60)}},
        {"yaml": {**CFG, "activation": "-" * 100_000}},
        {"yaml": {**CFG, "depth_multiple": 1e300, "backbone": [[-1, 3, "Conv", [8]]]}},
        {"names": shared(60)},
        {"names": [shared(60), "b"]},
        {"category_ids": [shared(60), 2]},
        {"category_ids": [float("inf"), 2]},
        {"imgsz": 10**9},
        {"imgsz": True},
        {"imgsz": float("nan")},
    ],
)
def test_bombs_in_the_other_entries(entries: dict[str, Any], tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt", **entries)
    with pytest.raises(InputError) as caught:
        load_detector(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_modules_that_share_their_parts_are_not_walked_for_ever(
    foreign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_network(foreign)
    part = model.model[0]
    for _ in range(40):
        part = torch.nn.Sequential(part, part)
    model.model.append(part)
    path = save_foreign({"model": model, "ema": None}, tmp_path / "dag.pt", monkeypatch, False)
    with pytest.raises(WeightsError, match=r"dag\.pt: asks for 3,001 modules or more"):
        load_source(path)


def test_an_archive_that_inflates_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
        new.writestr("a/data/99", bytes(10**7))
    with pytest.raises(WeightsError, match="its records inflate to"):
        load_source(tmp_path / "b.pt")
