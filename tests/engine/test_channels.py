"""Networks for pictures of another number of channels than are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import DetectOptions, TrainOptions, ValOptions, predict, train, validate
from engine.checkpoint import save_checkpoint
from engine.errors import EngineError
from models import build_model

CFG = """\
nc: 1
ch: 4
anchors: [[10, 13]]
backbone: [[-1, 1, Conv, [8, 3, 2]]]
head: [[[0], 1, Detect, [nc, anchors]]]
"""


def test_one_line_before_anything_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("four.yaml").write_text(CFG)
    model = build_model("four.yaml")
    assert model.in_channels == 4, "from Python, such networks may be built"
    content = {"model": model.state_dict(), "yaml": model.yaml, "names": ["a"], "category_ids": [1], "imgsz": 64}
    save_checkpoint(Path("four.pt"), {**content, "epoch": 1})
    expected = r"ch: 4, but pictures are read with 3 channels \(blue, green, red\); use a model with ch: 3"
    data = {"data": "not-there.yaml", "device": "cpu"}
    with pytest.raises(EngineError, match=f"^four.yaml, line 2: {expected}"):
        train(TrainOptions(cfg="four.yaml", **data))
    with pytest.raises(EngineError, match=f"^four.pt: {expected}"):
        train(TrainOptions(weights="four.pt", **data))
    with pytest.raises(EngineError, match=f"^four.pt: {expected}"):
        validate(ValOptions(weights="four.pt", **data))
    Path("a.png").touch()
    with pytest.raises(EngineError, match=f"^four.pt: {expected}"):
        predict(DetectOptions(weights="four.pt", source="a.png", device="cpu"))
    assert {path.name for path in Path().iterdir()} == {"four.yaml", "four.pt", "a.png"}
