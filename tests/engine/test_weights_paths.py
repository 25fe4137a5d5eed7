"""Paths to weights that lead nowhere, or are written as on Windows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.backends import open_backend
from engine.errors import EngineError
from files.cache import VARIABLE, cache_folder
from models.errors import WeightsError
from models.weights.source import load_source


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.pt", "missing.pt: no such {}; check --weights"),
        ("~nobody-of-that-name/a.pt", "no such {}, and no such user; write the home folder out; check --weights"),
        ("x" * 5000 + ".pt", "the name is longer than this system takes; shorten it; check --weights"),
        ("loop.pt", "loop.pt: a link that leads to itself; mend the link; check --weights"),
        ("a\\b.pt", "no such {}, nor with / for its backslashes; write / between folders; check --weights"),
    ],
)
def test_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.pt").symlink_to("loop.pt")
    with pytest.raises(EngineError) as engine:
        open_backend(name, device=torch.device("cpu"))
    with pytest.raises(WeightsError) as weights:
        load_source(name)
    assert message.format("weights file") in str(engine.value)
    assert message.format("checkpoint") in str(weights.value)


def test_backslashes_and_unknown_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deep").mkdir()
    Path("deep/a.pt").write_bytes(b"no checkpoint")
    with pytest.raises(WeightsError, match=r"^deep/a\.pt: not a checkpoint"):
        load_source("deep\\a.pt")
    monkeypatch.setenv(VARIABLE, "~nobody-of-that-name/cache")
    assert cache_folder() == tmp_path / "~nobody-of-that-name/cache"
