"""A hub model takes pictures of every kind, and finds in each what `detect.py` finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from data.errors import DataError
from engine import DetectOptions, predict
from engine.errors import EngineError
from engine.hub.model import HubModel
from engine.hub.results import Results
from tests.engine.detect.colour_backend import ColourBackend, draw, save

BOX, OTHER = (32, 64, 96, 128), (160, 128, 320, 256)
HW = (256, 320)


@pytest.fixture
def model() -> HubModel:
    return HubModel(lambda device: ColourBackend(), torch.device("cpu"))


def picture() -> np.ndarray:
    """`(256, 320, 3)` uint8 RGB with a red and a blue box."""
    return np.ascontiguousarray(draw(HW, red=BOX, blue=OTHER)[..., ::-1])


def with_alpha() -> np.ndarray:
    return np.dstack((picture(), np.full(HW, 7, np.uint8)))


def turned() -> Image.Image:
    """Stored a quarter turn to the left, and marked so."""
    image = Image.fromarray(np.rot90(picture()).copy())
    exif = image.getexif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    return image


def tensor() -> torch.Tensor:
    return torch.from_numpy(picture()).permute(2, 0, 1)


KINDS: dict[str, Any] = {
    "numpy": picture,
    "numpy_alpha": with_alpha,
    "pillow": lambda: Image.fromarray(picture()),
    "pillow_alpha": lambda: Image.fromarray(with_alpha()),
    "pillow_turned": turned,
    "pillow_palette": lambda: Image.fromarray(picture()).quantize(8),
    "tensor": tensor,
    "tensor_of_numbers": lambda: tensor() / 255,
    "tensor_half": lambda: (tensor() / 255).half(),
    "batch": lambda: tensor()[None],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture(model: HubModel, kind: str) -> None:
    results = model(KINDS[kind]())
    assert results.files == ["image0.jpg"]
    assert results.xyxy[0][:, :4].tolist() == [list(BOX), list(OTHER)]
    assert results.xyxy[0][:, 5].tolist() == [0, 1]
    assert abs(results.ims[0].astype(int) - picture()).max() <= 1


def test_paths_folders_and_patterns(model: HubModel, tmp_path: Path) -> None:
    files = [save(tmp_path / f"in/{name}.png", draw(HW, red=BOX)) for name in "ab"]
    for given in (files, tuple(map(str, files)), tmp_path / "in", str(tmp_path / "in/*.png")):
        results = model(given)
        assert results.files == list(map(str, files))
        assert [rows[:, :4].tolist() for rows in results.xyxy] == [[list(BOX)]] * 2
    found = list(predict(DetectOptions("unused.pt", str(tmp_path / "in")), ColourBackend()))
    for one, other in zip(model(tmp_path / "in"), found, strict=True):
        np.testing.assert_array_equal(one.xyxy, other.xyxy)
        np.testing.assert_array_equal(one.confidence, other.confidence)


def test_lists_of_different_kinds_keep_their_order(model: HubModel, tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", draw(HW, blue=OTHER))
    results = model([picture(), [file, tensor()[None].expand(2, -1, -1, -1)], Image.open(file)])
    assert results.files == ["image0.jpg", str(file), "image2.jpg", "image3.jpg", str(file)]
    assert [len(rows) for rows in results.xyxy] == [2, 1, 2, 2, 1]
    assert len(model([])) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (7, "a picture of type int: give a path"),
        (np.zeros((4, 4, 3), np.float32), "an array of float32: must be uint8"),
        (np.zeros((3, 4, 4, 3), np.uint8), "an array of shape (3, 4, 4, 3): must be (H, W, 3), RGB"),
        (np.zeros((0, 4, 3), np.uint8), "an array of shape (0, 4, 3)"),
        (torch.zeros(4, 4, 3), "a tensor of shape (4, 4, 3): must be (3, H, W)"),
        (torch.full((3, 4, 4), 255.0), "a tensor of floating point: must lie in [0, 1]"),
        (torch.full((3, 4, 4), float("nan")), "a tensor of floating point: must lie in [0, 1]"),
        (torch.zeros((3, 4, 4), dtype=torch.int64), "a tensor of int64: must be uint8"),
        (Image.new("I", (4, 4)), "a PIL picture of mode I: has more than 8 bits"),
    ],
)
def test_what_is_no_picture_is_one_line(model: HubModel, given: Any, message: str) -> None:
    with pytest.raises(EngineError) as raised:
        model(given)
    assert str(raised.value).startswith(message)


def test_files_that_are_no_pictures(model: HubModel, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "film.mp4").write_bytes(b"no film")
    with pytest.raises(DataError, match=r"broken\.jpg: not an image"):
        model([picture(), tmp_path / "broken.jpg"])
    with pytest.raises(DataError, match=r"film\.mp4: a video or stream, .* use engine\.predict"):
        model(tmp_path / "film.mp4")
    with pytest.raises(DataError, match="no such file"):
        model(tmp_path / "none.jpg")


def test_attributes_are_thresholds(model: HubModel) -> None:
    model.conf = 0.7
    assert model(picture()).xyxy[0][:, 5].tolist() == [0]
    model.conf, model.max_det = 0.1, 1
    assert model(picture()).xyxy[0][:, 5].tolist() == [0]
    model.max_det = 10
    for classes in (1, [1], "blue", ["blue"], ("1",)):
        model.classes = classes  # type: ignore[assignment]
        assert model(picture()).xyxy[0][:, 5].tolist() == [1]
    model.classes = ["green"]
    with pytest.raises(EngineError, match="green: the weights know no such class"):
        model(picture())
    model.classes, model.conf = None, 1.5
    with pytest.raises(ValueError, match="conf_thres"):
        model(picture())


def test_suppression_follows_its_attributes() -> None:
    class Two(ColourBackend):
        """Both classes, in nearly the same place."""

        def __call__(self, images: torch.Tensor) -> Any:
            boxes, scores = super().__call__(images)
            return type(super().__call__(images))(boxes[:, [0, 0]] + torch.tensor([[0.0], [8.0]]), scores.flip(1))

    model = HubModel(lambda device: Two(), torch.device("cpu"))
    assert len(model(picture()).xyxy[0]) == 2
    model.agnostic = True
    assert len(model(picture()).xyxy[0]) == 1
    model.iou = 0.95
    assert len(model(picture()).xyxy[0]) == 2


def test_size_is_that_of_the_input(model: HubModel) -> None:
    model(picture())
    model(picture(), size=640)
    model(picture(), size=(320, 320))
    assert isinstance(model.backend, ColourBackend)
    assert model.backend.shapes == [(1, 3, 256, 320), (1, 3, 512, 640), (1, 3, 320, 320)]


def test_devices_open_the_network_anew() -> None:
    opened = []
    model = HubModel(lambda device: opened.append(device) or ColourBackend(), torch.device("cpu"))  # type: ignore[func-returns-value]
    assert model.to(torch.device("cpu")) is model.cpu() is model.eval()
    assert opened == [torch.device("cpu")] * 3
    with pytest.raises(EngineError, match="999"):
        model.cuda(999)


@pytest.fixture
def results(model: HubModel) -> Results:
    return model([picture(), draw((64, 96))])


def test_forms_of_boxes(results: Results) -> None:
    (first, empty), wh = results.xywh, [320, 256, 320, 256]
    assert first.tolist() == [[64, 96, 64, 64, pytest.approx(0.9), 0], [240, 192, 160, 128, pytest.approx(0.6), 1]]
    assert [tuple(rows.shape) for rows in (empty, results.xyxy[1], results.xywhn[1])] == [(0, 6)] * 3
    torch.testing.assert_close(results.xyxyn[0][:, :4], results.xyxy[0][:, :4] / torch.tensor(wh))
    torch.testing.assert_close(results.xywhn[0][:, :4], results.xywh[0][:, :4] / torch.tensor(wh))
    torch.testing.assert_close(results.xywhn[0][:, 4:], results.xyxy[0][:, 4:])
    assert {rows.dtype for rows in (*results.xyxyn, *results.pred)} == {torch.float32}
    assert len(results) == 2
    assert [len(each) for each in results] == [2, 0]
    assert results[0].class_id.tolist() == [0, 1]
    assert results.names == {0: "red", 1: "blue"}


def test_text(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    results.print()
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "image 1/2: image0.jpg: 256x320 1 blue, 1 red"
    assert second == "image 2/2: image1.jpg: 64x96 no detections"
    assert last.endswith("ms NMS; 2 images")
    results[0].frame.__dict__["path"] = "a\x1b[2J\nb"
    assert str(results).splitlines()[0] == "image 1/2: a\x1b[2J"
    results.print()
    assert capsys.readouterr().out.splitlines()[0] == r"image 1/2: a\x1b[2J\nb: 256x320 1 blue, 1 red"


def test_files(results: Results, tmp_path: Path) -> None:
    folder = results.save(save_dir=tmp_path / "runs/a")
    assert folder == tmp_path / "runs/a"
    assert sorted(file.name for file in folder.iterdir()) == ["image0.jpg", "image1.jpg"]
    red = cv2.imread(str(folder / "image0.jpg"))[96, 64]
    assert red[2] > 200 > 60 > red[0]
    assert results.save(save_dir=tmp_path / "runs/a") == tmp_path / "runs/a2"
    assert results.save(save_dir=tmp_path / "runs/a", exist_ok=True) == tmp_path / "runs/a"
    drawn, plain = results.render()[0], results.render(labels=False)[0]
    assert (drawn[96, 64] == (255, 0, 0)).all()
    assert (drawn != picture()).any()
    assert (drawn != plain).any()


def test_pictures_cut_out(results: Results, tmp_path: Path) -> None:
    red, blue = results.crop(save_dir=tmp_path / "cut")
    assert (red["label"], red["cls"], red["box"]) == ("red", 0, list(BOX))
    assert red["conf"] == pytest.approx(0.9)
    assert red["im"].shape == (64, 64, 3)
    assert (red["im"] == (255, 0, 0)).all()
    assert (blue["im"] == (0, 0, 255)).all()
    written = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*"))
    assert written == ["cut/crops/blue/image0.jpg", "cut/crops/red/image0.jpg"]
    results.crop(save=False, save_dir=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_written_is_one_line(results: Results, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match="file") as raised:
        results.save(save_dir=tmp_path / "file/exp")
    assert type(raised.value).__name__ in ("EngineError", "OutputError")


def test_tables(results: Results) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    tables = results.pandas()
    assert [*tables.xyxy[0].columns] == ["xmin", "ymin", "xmax", "ymax", "confidence", "class", "name"]
    assert [*tables.xywhn[0].columns[:4]] == ["xcenter", "ycenter", "width", "height"]
    assert tables.xyxy[0]["name"].tolist() == ["red", "blue"]
    assert tables.xyxy[0]["class"].tolist() == [0, 1]
    assert tables.xyxyn[0]["xmax"].tolist() == pytest.approx([0.3, 1])
    assert tables.xywh[0]["width"].tolist() == [64, 160]
    assert tables.xyxy[1].empty
    assert [*tables.xyxy[1].columns] == [*tables.xyxy[0].columns]


def test_tables_without_pandas(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(EngineError, match='pip install "pandas"'):
        results.pandas()


def test_supervision(results: Results) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    first, second = results.to_supervision()
    assert first.xyxy.tolist() == [list(BOX), list(OTHER)]
    assert len(second) == 0
    assert supervision.Detections.from_yolov5(results).class_id.tolist() == [0, 1]


def test_show(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Any, str]] = []
    monkeypatch.setattr("engine.hub.results.ImageShow.show", lambda image, title: shown.append((image, title)) or True)  # type: ignore[func-returns-value]
    results.show()
    assert [title for _, title in shown] == ["image0.jpg", "image1.jpg"]
    np.testing.assert_array_equal(np.asarray(shown[0][0]), results.render()[0])
    monkeypatch.setattr("engine.hub.results.ImageShow.show", lambda image, title: False)
    with pytest.raises(EngineError, match="no program that shows pictures"):
        results.show()
