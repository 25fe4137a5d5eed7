"""A head without anchors that only this file knows goes through every command, and nothing else is edited for it.

It is the smallest there is: in every cell the distances to the four sides of a box, as in FCOS (Tian et al., "FCOS:
Fully Convolutional One-Stage Object Detection", ICCV 2019, arXiv 1904.01355, section 3.1), and the classes. One cell
answers for a box, so its predictions need no suppression.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import yaml
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from engine.backends import open_backend
from engine.cli import detect, train, val
from engine.cli.run import run_cli
from engine.postprocess import select_boxes
from engine.training.hyperparameters import load_hyperparameters
from files.errors import InputError
from models import Detector, build_model, registry
from models.heads.base import DetectionHead, LossHyperparameters, Predictions
from models.heads.detect import Detect
from models.heads.takeover import SAME, HeadTakeover, join_classes, shared_classes
from models.losses.targets import Targets
from models.registry import RowContext, RowPlan, register
from models.weights.load import load_detector

SIDES = 4
LARGEST = 4  # boxes up to so many strides belong to a level


class SideHyperparameters(LossHyperparameters):
    """Weights of the two parts; `cls` is a key that the anchor-based head has too, with another default."""

    sides: float = Field(2.0, ge=0)
    cls: float = Field(1.0, ge=0)


class SideLoss(nn.Module):
    """Generalised IoU of the boxes, and cross-entropy of the classes, which counts for more towards the end."""

    progress: ClassVar[list[tuple[bool, float]]] = []
    """What every call was told, and whether it was in a training step."""

    def __init__(self, head: SideHead, gains: Mapping[str, float]) -> None:
        super().__init__()
        self._head = (head,)
        self.gains = gains
        assert set(gains) == {"sides", "cls", "imgsz"}

    def forward(self, logits: Sequence[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        self.progress.append((torch.is_grad_enabled(), progress))
        assert targets.input_hw[0] <= self.gains["imgsz"]
        boxes_xyxy, _ = self._head[0].decode(logits)  # (B, N, 4)
        flat = torch.cat([level.flatten(2) for level in logits], 2).float()  # (B, 4 + nc, N)
        wanted = torch.zeros_like(flat[:, SIDES:])  # (B, nc, N)
        size = flat.new_tensor(targets.input_hw[::-1])
        losses = [flat.sum() * 0]
        for image, label, *box in targets.boxes.tolist():
            centre, wh = torch.tensor(box[:2]) * size, torch.tensor(box[2:]) * size
            cell = self._head[0].cell_of(centre.tolist(), wh.max().item(), [level.shape[2:] for level in logits])
            truth = torch.cat((centre - wh / 2, centre + wh / 2))
            losses.append(generalized_box_iou_loss(boxes_xyxy[int(image), cell], truth))
            wanted[int(image), int(label), cell] = 1
        label_loss = functional.binary_cross_entropy_with_logits(flat[:, SIDES:], wanted)
        return {
            "side": torch.stack(losses).mean() * self.gains["sides"],
            "class": label_loss * self.gains["cls"] * (0.5 + progress),
        }


def side_rule(context: RowContext, args: list[Any]) -> RowPlan:
    return RowPlan((args[0], context.in_channels), SIDES + args[0], context.repeats)


class SideHead(DetectionHead):
    """A 1x1 convolution per level: left, top, right, bottom as multiples of the stride, then the classes."""

    hyperparameters = SideHyperparameters
    needs_suppression = False

    def __init__(self, nc: int, ch: Sequence[int]) -> None:
        super().__init__()
        self.num_classes = nc
        self.register_buffer("stride", torch.ones(len(ch)), persistent=False)
        self.levels = nn.ModuleList(nn.Conv2d(channels, SIDES + nc, 1) for channels in ch)

    def set_stride(self, stride: Tensor) -> None:
        self.stride = stride
        for conv in self.levels:
            nn.init.constant_(conv.bias[SIDES:], -3.0)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [conv(feature) for conv, feature in zip(self.levels, features, strict=True)]

    def decode(self, logits: Sequence[Tensor]) -> Predictions:
        boxes, scores = [], []
        for level, stride in zip(logits, self.stride, strict=True):
            height, width = level.shape[2:]
            y, x = (torch.arange(count, device=level.device) + 0.5 for count in (height, width))
            centre = torch.stack((x.expand(height, width), y[:, None].expand(height, width)))  # (2, H, W)
            sides = functional.softplus(level[:, :SIDES].float())  # (B, 4, H, W)
            corners = torch.cat((centre - sides[:, :2], centre + sides[:, 2:]), 1) * stride
            boxes.append(corners.flatten(2))
            scores.append(level[:, SIDES:].float().sigmoid().flatten(2))
        return Predictions(torch.cat(boxes, 2).transpose(1, 2), torch.cat(scores, 2).transpose(1, 2))

    def cell_of(self, centre: Sequence[float], side: float, grids: Sequence[Sequence[int]]) -> int:
        """The number of the cell that answers for a box: of the finest level that is coarse enough for its size."""
        order = self.stride.argsort().tolist()
        level = next((k for k in order if side <= LARGEST * self.stride[k]), order[-1])
        height, width = grids[level]
        x, y = (int(at / self.stride[level]) for at in centre)
        column, row = min(x, width - 1), min(y, height - 1)
        return sum(h * w for h, w in grids[:level]) + row * width + column

    def criterion(self, gains: Mapping[str, float]) -> nn.Module:
        return SideLoss(self, gains)

    def take_over(
        self, given: Mapping[str, Tensor], given_names: Sequence[str] | None, names: Sequence[str]
    ) -> HeadTakeover:
        own = self.state_dict()
        if given.keys() != own.keys():
            return HeadTakeover(dict.fromkeys(own, "another kind of head"))
        pairs = shared_classes(given_names, len(given["levels.0.bias"]) - SIDES, names)
        entries = {key: join_classes(own[key], given[key], 1, SIDES, pairs) for key in own}
        return HeadTakeover(dict.fromkeys(own, SAME), entries, frozenset(entries), bool(pairs))


CFG: dict[str, Any] = {
    "nc": 2,
    "backbone": [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
    ],
    "head": [[[3, 2], 1, "SideHead", ["nc"]]],  # coarsest level first
}
ANCHOR_CFG = {**CFG, "anchors": 2, "head": [[[3, 2], 1, "Detect", ["nc", "anchors"]]]}


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    before = dict(registry._ENTRIES)
    register(rule=side_rule)(SideHead)
    yield
    registry._ENTRIES.clear()
    registry._ENTRIES.update(before)


class Runs:
    """Commands in one folder, with their standard flags."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def train(self, *flags: object) -> int:
        return run_cli(train.main, [str(flag) for flag in flags])

    def begin(self, name: str, *more: object, cfg: str = "side.yaml") -> int:
        common = ["--cfg", self.folder / cfg, "--data", self.folder / "data.yaml", "--hyp", self.folder / "hyp.yaml"]
        common += ["--project", self.folder, "--name", name, "--workers", 0, "--device", "cpu", "--noplots"]
        return self.train(*common, "--epochs", 4, *more)

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name / "results.csv").open() as file:
            return list(csv.DictReader(file))

    def weights(self, name: str, which: str = "best") -> dict[str, Any]:
        return torch.load(self.folder / name / "weights" / f"{which}.pt", weights_only=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, write_squares: Callable[..., None]) -> Runs:
    """A finished training `whole`."""
    folder = tmp_path_factory.mktemp("side")
    write_squares(folder, 8, batch_size=4, others=[{"id": 3, "name": "nothing"}])
    (folder / "side.yaml").write_text(yaml.safe_dump(CFG, default_flow_style=None))
    (folder / "anchor.yaml").write_text(yaml.safe_dump(ANCHOR_CFG, default_flow_style=None))
    # `anchor_t` is the other head's: a recipe may serve several
    (folder / "hyp.yaml").write_text("lr0: 0.02\nwarmup_epochs: 0.0\nsides: 3.0\nanchor_t: 3.5\n")
    runs = Runs(folder)
    SideLoss.progress.clear()
    assert runs.begin("whole") == 0
    return runs


def test_it_trains_and_its_losses_have_their_names(runs: Runs) -> None:
    rows = runs.rows("whole")
    losses = [key for key in rows[0] if key.endswith("_loss")]
    assert losses == ["train/side_loss", "train/class_loss", "val/side_loss", "val/class_loss"]
    assert all(float(row[key]) > 0 for row in rows for key in losses)
    assert float(rows[-1]["train/side_loss"]) < float(rows[0]["train/side_loss"])
    hyp = yaml.safe_load((runs.folder / "whole" / "hyp.yaml").read_text())
    assert (hyp["sides"], hyp["cls"], hyp["lr0"]) == (3.0, 1.0, 0.02)
    assert not {"anchor_t", "box", "obj"} & hyp.keys()


def test_progress_runs_from_0_to_1(runs: Runs) -> None:
    learning = [progress for trains, progress in SideLoss.progress if trains]
    measuring = [progress for trains, progress in SideLoss.progress if not trains]
    assert learning[:8] == [number / 8 for number in range(8)]  # four epochs of two batches
    assert sorted(set(measuring[:5])) == [0.25, 0.5, 0.75, 1.0]  # after each epoch, and the best weights at the end


def test_it_resumes_bit_for_bit(runs: Runs, interrupted: Callable[[int], AbstractContextManager[None]]) -> None:
    with interrupted(2):
        assert runs.begin("halves") == 130
    last = runs.folder / "halves" / "weights" / "last.pt"
    assert torch.load(last, weights_only=True)["training"]["progress"]["epoch"] == 2
    assert runs.train("--resume", last) == 0
    assert runs.rows("halves") == runs.rows("whole")
    whole, halves = (runs.weights(name, "last")["training"]["model"] for name in ("whole", "halves"))
    assert whole.keys() == halves.keys()
    assert all(torch.equal(whole[key], halves[key]) for key in whole)


def test_val_finds_what_training_found(runs: Runs) -> None:
    best = runs.folder / "whole" / "weights" / "best.pt"
    data = ["--data", runs.folder / "data.yaml", "--project", runs.folder, "--name", "val", "--workers", 0]
    flags = ["--weights", best, *data, "--device", "cpu", "--save-json", "--conf-thres", 0.0, "--iou-thres", 0.0]
    assert run_cli(val.main, [str(flag) for flag in flags]) == 0
    found = json.loads((runs.folder / "val" / "predictions.json").read_text())
    assert {entry["category_id"] for entry in found} <= {3, 12}
    counts = np.bincount([entry["image_id"] for entry in found], minlength=8)
    # Nothing is suppressed: each of the 80 cells has a box, and each of these a score for both classes.
    assert counts.tolist() == [160] * 8


def test_detect_draws_and_writes(runs: Runs) -> None:
    best = runs.folder / "whole" / "weights" / "best.pt"
    more = [
        "--project",
        runs.folder,
        "--name",
        "detect",
        "--device",
        "cpu",
        "--save-json",
        "--conf-thres",
        0.0,
        "--iou-thres",
        0.0,
    ]
    flags = ["--weights", best, "--source", runs.folder / "3.png", *more]
    assert run_cli(detect.main, [str(flag) for flag in flags]) == 0
    found = json.loads((runs.folder / "detect" / "predictions.json").read_text())
    assert len(found) == 80  # one box per cell, however much they overlap
    assert (runs.folder / "detect" / "3.png").is_file()
    backend = open_backend(best, device=torch.device("cpu"))
    assert backend.needs_suppression is False
    predictions = backend(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert predictions.boxes_xyxy.shape == (1, 80, 4)
    assert len(select_boxes(predictions, needs_suppression=False, conf_thres=0.0)[0]) == 80


def test_readable_form_is_centre_size_and_scores() -> None:
    model = build_model(CFG).eval()
    readable, logits = model(torch.rand(2, 3, 64, 96))
    boxes_xyxy, scores = model.head.decode(logits)
    assert readable.shape == (2, 24 + 96, 6)
    centre, size = readable[..., :2], readable[..., 2:4]
    torch.testing.assert_close(torch.cat((centre - size / 2, centre + size / 2), 2), boxes_xyxy)
    assert torch.equal(readable[..., 4:], scores)


def test_weights_are_taken_over_class_by_class(runs: Runs, tmp_path: Path) -> None:
    only = yaml.safe_load((runs.folder / "data.yaml").read_text()) | {"names": ["square"], "path": str(runs.folder)}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(only))
    best = runs.folder / "whole" / "weights" / "best.pt"
    flags = ("--weights", best, "--data", tmp_path / "one.yaml", "--epochs", 1, "--freeze", 4)
    assert runs.begin("one", *flags) == 0
    before, after = runs.weights("whole")["model"], runs.weights("one")["model"]
    assert torch.equal(before["model.3.conv.weight"], after["model.3.conv.weight"])
    assert before["model.4.levels.0.bias"].shape == (6,)
    assert after["model.4.levels.0.bias"].shape == (5,)
    rows = [*range(SIDES), SIDES + 1]  # the sides, and "square" without "nothing"
    head = build_model(CFG, num_classes=1).head
    entries = head.take_over(load_detector(best).head.state_dict(), ["nothing", "square"], ["square"]).entries
    assert torch.equal(entries["levels.1.weight"], before["model.4.levels.1.weight"][rows])


@pytest.mark.parametrize(("first", "second"), [("side.yaml", "anchor.yaml"), ("anchor.yaml", "side.yaml")])
def test_from_one_kind_of_head_to_the_other_the_rest_comes_along(
    runs: Runs, first: str, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    name = f"from_{Path(first).stem}"
    weights = runs.folder / "whole" / "weights" / "best.pt"
    if first == "anchor.yaml":
        assert runs.begin("anchored", "--epochs", 1, cfg=first) == 0
        weights = runs.folder / "anchored" / "weights" / "best.pt"
    assert runs.begin(name, "--weights", weights, "--epochs", 1, "--freeze", 4, cfg=second) == 0
    given = torch.load(weights, weights_only=True)["model"]
    taken = runs.weights(name)["model"]
    assert torch.equal(given["model.2.conv.weight"], taken["model.2.conv.weight"])
    reason = "other levels or anchors" if second == "anchor.yaml" else "another kind of head"
    assert reason in caplog.text


def test_flags_and_values_that_its_loss_does_not_have_are_refused(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "runs"
    assert runs.begin("refused", "--label-smoothing", 0.1, "--project", project) == 2
    assert "--label-smoothing: the loss of SideHead has none" in capsys.readouterr().err
    (tmp_path / "hyp.yaml").write_text("lr0: 0.01\nsides: -1\n")
    assert runs.begin("refused", "--hyp", tmp_path / "hyp.yaml", "--project", project) == 2
    assert f"error: {tmp_path / 'hyp.yaml'}, line 2: sides: -1: " in capsys.readouterr().err
    assert not project.exists()


def test_a_value_is_refused_by_the_head_that_reads_it(tmp_path: Path) -> None:
    """Both heads have `cls`, and a value is bad when no head takes it; keys of one are checked for that one."""
    (tmp_path / "hyp.yaml").write_text("cls: -1\n")
    with pytest.raises(InputError, match=r"line 1: cls: -1: "):
        load_hyperparameters(tmp_path / "hyp.yaml")
    (tmp_path / "hyp.yaml").write_text("cls: 0.7\n")
    assert load_hyperparameters(tmp_path / "hyp.yaml").for_head(SideHead).loss == {"sides": 2.0, "cls": 0.7}


def test_a_value_beside_another_heads_keys_is_that_heads(tmp_path: Path) -> None:
    """What both have was chosen for the other loss; what it has alone counts."""
    (tmp_path / "hyp.yaml").write_text("cls: 0.7\nsides: 3.0\nanchor_t: 3.0\n")
    assert load_hyperparameters(tmp_path / "hyp.yaml").for_head(SideHead).loss == {"sides": 3.0, "cls": 1.0}
    assert load_hyperparameters(tmp_path / "hyp.yaml").for_head(Detect).loss["anchor_t"] == 3.0
    assert load_hyperparameters(tmp_path / "hyp.yaml").for_head(Detect).loss["cls"] == 0.5


@pytest.mark.slow
def test_it_exports_to_onnx(runs: Runs) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model: Detector = load_detector(runs.folder / "whole" / "weights" / "best.pt")
    batch = torch.export.Dim("batch", min=1, max=64)
    height, width = (16 * torch.export.Dim(name, min=1, max=256) for name in ("height", "width"))
    program = torch.onnx.export(
        model,
        (torch.rand(2, 3, 64, 96),),
        dynamo=True,
        opset_version=20,
        input_names=["images"],
        dynamic_shapes=({0: batch, 2: height, 3: width},),
        verbose=False,
    )
    file = runs.folder / "side.onnx"
    program.save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 32, 32), (3, 3, 64, 48)):
        images = torch.rand(shape)
        readable, *_ = session.run(None, {"images": images.numpy()})
        np.testing.assert_allclose(readable, model(images)[0].numpy(), rtol=1e-4, atol=1e-4)


def test_the_other_head_does_not_notice() -> None:
    hyp = load_hyperparameters("scratch").for_head(Detect)
    assert "sides" not in hyp.as_dict()
    assert hyp.loss["cls"] == 0.5
