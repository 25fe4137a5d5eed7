"""What an exported file says of itself, as texts and as YAML, comes back as it was."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from engine.backends.metadata import Metadata, commit, metadata_of, read_metadata, version
from engine.errors import EngineError

NAMES = ("cat", 'it\'s a "dog"', "l\\m", "naïve \U0001f600", "yes", "1", "a: b # c")


def metadata(**values: Any) -> Metadata:
    return Metadata(**{"names": NAMES, "ids": range(3, 3 + len(NAMES)), "imgsz": (320, 640), "stride": 32, **values})


def test_yaml_comes_back(tmp_path: Path) -> None:
    written = metadata(finished=True, conf_thres=0.25, iou_thres=0.45, max_det=100, precision="int8")
    (tmp_path / "metadata.yaml").write_text(written.as_yaml(), encoding="utf-8")
    assert read_metadata(tmp_path / "metadata.yaml") == written


def test_names_are_readable_as_other_programs_read_them() -> None:
    assert ast.literal_eval(metadata().as_texts()["names"]) == dict(enumerate(NAMES))


def test_texts_hold_everything() -> None:
    texts = metadata().as_texts()
    assert texts["imgsz"] == "[320, 640]"
    assert texts["stride"] == "32"
    assert texts["task"] == "detect"
    assert texts["dynamic"] == "false"
    assert "114" in texts["letterbox"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"names": []}, "names"),
        ({"names": {0: "a", 2: "b"}}, "names: are not numbered 0, 1, 2, ..."),
        ({"ids": [1]}, "7 names but 1 ids of classes"),
        ({"imgsz": "large"}, "imgsz"),
        ({"stride": 0}, "stride"),
    ],
)
def test_what_is_wrong_is_one_line(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError) as raised:
        metadata_of({**metadata().plain(), **wrong}, "net.onnx")
    assert str(raised.value).startswith("net.onnx: its metadata: ")
    assert message in str(raised.value)
    assert str(raised.value).endswith("; export it again")


def test_version_and_commit() -> None:
    assert version().count(".") == 2
    assert len(commit()) in (0, 40)
