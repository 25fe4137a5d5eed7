"""What networks take over from ultralytics' checkpoints, and anchor-free ones from YOLOv5's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from files.classes import Classes
from models import Detector, build_model
from models.errors import WeightsError
from models.weights.load import load_detector
from models.weights.report import Outcome, TransferReport
from models.weights.source import SourceWeights, load_source
from models.weights.transfer import transfer_weights
from tests.models.golden import fill, golden_image
from tests.models.weights import ultralytics_files as files
from tests.places import SHARED

WEIGHTS = SHARED / "weights" / "yolov5n.pt"
NAMES = [f"class {index}" for index in range(80)]


def _file_of(name: str, path: Path) -> tuple[Detector, SourceWeights]:
    """A shipped model with weights of its own, and what is read from its checkpoint of ultralytics."""
    model, classes = fill(build_model(name)), files.Classes()
    twin = files.mirrored(fill(build_model(name)), classes, "DetectionModel")
    return model, load_source(classes.save(files.stripped(files.described(twin, files.shipped(name), NAMES)), path))


def _take(cfg: Any, source: SourceWeights, names: list[str]) -> tuple[Detector, TransferReport]:
    model = build_model(cfg, num_classes=len(names))
    model.classes = Classes.of(names)
    return model, transfer_weights(model, source)


def _decoded(model: Detector) -> Tensor:
    with torch.inference_mode():
        return model.eval()(golden_image())[0]


def _rows(report: TransferReport, outcome: Outcome) -> dict[str, set[int]]:
    """By reason, the rows with that outcome."""
    found: dict[str, set[int]] = {}
    for transfer in report.transfers:
        if transfer.outcome is outcome:
            found.setdefault(transfer.how, set()).add(transfer.row)
    return found


@pytest.mark.parametrize("name", ["yolov8n", "yolo11n", "yolo26n"])
def test_a_swap_of_convolution_keeps_the_function(name: str, tmp_path: Path) -> None:
    plain, source = _file_of(name, tmp_path / "a.pt")
    switchable, report = _take(f"{name}-saconv", source, NAMES)
    assert (report.keys(Outcome.LEFT), report.unused, report.head_taken) == ([], (), True)
    assert _rows(report, Outcome.CONVERTED) == {"Conv to SAConv2d: the same function": {3, 4, 5, 6, 7, 8}}
    before, after = _decoded(plain), _decoded(switchable)
    torch.testing.assert_close(after[..., :4], before[..., :4], atol=1e-3, rtol=0)
    torch.testing.assert_close(after[..., 4:], before[..., 4:], atol=1e-5, rtol=0)


def test_other_networks_take_what_fits_and_say_what_does_not(tmp_path: Path) -> None:
    _, source = _file_of("yolov8n", tmp_path / "a.pt")
    _, report = _take("yolov8n-p2", source, NAMES)
    assert _rows(report, Outcome.LEFT) == {
        "no row of the checkpoint has these shapes at this stride": {18, 19, 21},
        "the checkpoint's head has other levels": {28},
    }
    _, report = _take("yolo11n", source, NAMES)
    assert {0, 1, 7, 9} <= _rows(report, Outcome.TAKEN)["same place, same shape"]
    assert all(key.startswith("model.23.cv3.") for key in report.keys(Outcome.LEFT) if key.startswith("model.23."))
    _, report = _take("yolov8s", source, NAMES)
    assert report.keys(Outcome.TAKEN) == report.keys(Outcome.CONVERTED) == [], "the fixed kernel alone is nothing"


def test_the_head_takes_classes_over_by_name(tmp_path: Path) -> None:
    small = {**files.TINY, "nc": 3}
    model, classes = build_model(small), files.Classes()
    twin = files.mirrored(model, classes, "DetectionModel")
    content = files.stripped(files.described(twin, small, ["cat", "dog", "bird"]))
    source = load_source(classes.save(content, tmp_path / "a.pt"))
    taken, report = _take(small, source, ["Bird", "horse", "cat"])
    assert _rows(report, Outcome.CONVERTED) == {"the 2 classes that both know": {8}}
    for level in (0, 1):
        own, given = (state[f"model.8.cv3.{level}.2.weight"] for state in (taken.state_dict(), source.state))
        assert torch.equal(own[[0, 2]], given[[2, 0]])


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="shared/weights/yolov5n.pt is not here")
def test_a_yolov5_checkpoint_starts_an_anchor_free_v5() -> None:
    source = load_source(WEIGHTS)
    cfg = {key: value for key, value in (source.yaml or {}).items() if key != "anchors"}
    cfg["head"] = [*cfg["head"][:-1], [[17, 20, 23], 1, "Detect", ["nc"]]]
    model, report = _take(cfg, source, ["person", "cat", "dog"])
    assert _rows(report, Outcome.LEFT) == {"the checkpoint's head is of another kind": {24}}
    assert len(report.keys(Outcome.TAKEN)) == 342
    assert not report.head_taken
    for key in report.keys(Outcome.TAKEN):
        assert torch.equal(model.state_dict()[key], source.state[key])
    # and back: what an anchor-free one learned starts an anchor-based one
    trained = SourceWeights(model.state_dict(), "test", model.yaml, model.classes)
    _, report = _take("yolov5n.yaml", trained, ["person", "cat", "dog"])
    assert _rows(report, Outcome.LEFT) == {"the checkpoint's head has other levels or anchors": {24}}


@pytest.mark.parametrize("text", ["nn.LeakyReLU(0.1)", "nn.Identity()"])
def test_another_activation_is_said_and_does_not_detect(text: str, tmp_path: Path) -> None:
    model, classes = build_model(files.TINY), files.Classes()
    if text == "nn.Identity()":  # in one block, as in SPPF of some releases
        model.get_submodule("model.4.cv1").act = torch.nn.Identity()
    else:
        files.set_activations(model, text)
    twin = files.mirrored(model, classes, "DetectionModel")
    path = classes.save(files.stripped(files.described(twin, files.TINY, ["cat", "dog"])), tmp_path / "a.pt")
    cfg = tmp_path / "plain.yaml"
    cfg.write_text(yaml.safe_dump(files.TINY, default_flow_style=None))
    _, report = _take(str(cfg), load_source(path), ["cat", "dog"])
    note = "row 4 has SiLU() at cv1.act where the checkpoint was trained with nn.Identity()"
    if text != "nn.Identity()":
        note = (
            "the checkpoint was trained with nn.LeakyReLU(0.1), and this network has nn.SiLU(), so it computes "
            "something else; write 'activation: nn.LeakyReLU(0.1)' into its YAML"
        )
    assert report.notes == (note,)
    assert report.table().endswith(f"\n{note}")
    with pytest.raises(WeightsError) as caught:
        load_detector(path, cfg=str(cfg))
    assert str(caught.value) == f"{path}: as {cfg} it would detect noise: {note}"
    cfg.write_text(
        yaml.safe_dump({**files.TINY, "activation": "LeakyReLU(0.1, inplace=True)"}, default_flow_style=None)
    )
    if text != "nn.Identity()":
        assert load_detector(path, cfg=str(cfg)).names == ["cat", "dog"]
