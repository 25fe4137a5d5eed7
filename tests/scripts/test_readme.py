"""The programs of the README run as they stand there, but for names and sizes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.places import ROOT

TINY = """
nc: 1
anchors: [[10, 13, 16, 30, 33, 23]]
backbone: [[-1, 1, Conv, [8, 3, 4]], [-1, 1, SAConv2d, [16, 3, 2]]]
head: [[[1], 1, Detect, [nc, anchors]]]
"""


def program(section: str) -> str:
    """The first Python program below a heading of the README."""
    text = (ROOT / "README.md").read_text().split(f"\n## {section}\n")[1]
    found = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.slow
def test_train_validate_predict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    write_squares: Callable[..., None],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    write_squares(tmp_path / "pictures", 6, batch_size=3)
    data = (tmp_path / "pictures" / "data.yaml").read_text()
    (tmp_path / "my.yaml").write_text(f"path: pictures\n{data}")
    (tmp_path / "tiny.yaml").write_text(TINY)
    text = program("Use it from Python")
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
    for there, here in (("yolov5n-saconv.yaml", "tiny.yaml"), ("epochs=100", "epochs=2, device='cpu', workers=0")):
        assert text.count(there) == 1
        text = text.replace(there, here)
    exec(compile(text, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"AP \d\.\d{3} of epoch [01] in runs/train/exp, 2 epochs", lines[0])
    assert re.fullmatch(r"\{'square': [\d.e-]+\}", lines[1])
    assert len([line for line in lines if line.startswith("pictures/")]) == 6
