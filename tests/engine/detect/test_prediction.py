"""`predict` from Python: an iterator that looks at a picture when it is asked to, and prints and writes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import DataError
from engine import predict
from engine.errors import EngineError
from engine.options import DetectOptions
from tests.engine.detect.colour_backend import ColourBackend, draw, save


def options(tmp_path: Path, **changes: object) -> DetectOptions:
    return DetectOptions("unused.pt", str(tmp_path / "in"), project=str(tmp_path / "runs"), **changes)  # type: ignore[arg-type]


def test_items_carry_picture_names_and_boxes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = draw((256, 320), red=(32, 64, 96, 128), blue=(160, 128, 320, 256))
    path = save(tmp_path / "in/a.png", image)
    (found,) = predict(options(tmp_path, save_txt=True, save_json=True), ColourBackend())
    assert found.path == str(path)
    np.testing.assert_array_equal(found.image, image)
    assert found.xyxy.tolist() == [[32, 64, 96, 128], [160, 128, 320, 256]]
    assert (found.xyxy.dtype, found.confidence.dtype, found.class_id.dtype) == ("float32", "float32", "int64")
    assert found.class_id.tolist() == [0, 1]
    assert found.data["class_name"].tolist() == ["red", "blue"]
    assert found.error is None
    assert found.tracker_id is None
    assert found.inference_ms > 0
    assert capsys.readouterr() == ("", "")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_pictures_are_looked_at_one_by_one(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / f"in/{name}.png", draw((64, 64)))
    backend = ColourBackend()
    found = predict(options(tmp_path), backend)
    assert (len(backend.shapes), found.speed_ms) == (0, {})
    assert len(next(found)) == 0
    assert len(backend.shapes) == 1
    assert [Path(item.path).name for item in found] == ["b.png", "c.png"]
    assert set(found.speed_ms) == {"pre-process", "inference", "NMS"}


def test_a_broken_file_is_an_item_that_says_so(tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", draw((64, 64), red=(10, 10, 40, 40)))
    (tmp_path / "in/b.jpg").write_bytes(b"no picture")
    good, broken = predict(options(tmp_path), ColourBackend())
    assert (len(good), good.error) == (1, None)
    assert (len(broken), broken.image.size, broken.data["class_name"].tolist()) == (0, 0, [])
    assert broken.error is not None
    assert broken.error.startswith(f"{tmp_path}/in/b.jpg: ")


def test_what_cannot_be_used_is_refused_before_the_first_picture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        predict(options(tmp_path), ColourBackend())
    save(tmp_path / "in/a.png", draw((64, 64)))
    with pytest.raises(EngineError, match="--classes green"):
        predict(options(tmp_path, classes=("green",)), ColourBackend())
    with pytest.raises(EngineError, match="no such weights file"):
        predict(DetectOptions(str(tmp_path / "none.pt"), str(tmp_path / "in")))
