"""Hyperparameter files: the shipped ones, and one line for wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.errors import EngineError
from engine.options import TrainOptions
from engine.training.hyperparameters import SHELF, load_hyperparameters, parse_hyperparameters
from engine.training.setup import bind_hyperparameters
from models.heads.anchor_free import AnchorFreeDetect, V10Detect
from models.heads.base import DetectionHead
from models.heads.detect import Detect


@pytest.mark.parametrize("file", SHELF.files(), ids=lambda path: path.stem)
def test_shipped_files_name_every_key_and_explain_it(file: Path) -> None:
    hyp = load_hyperparameters(file.stem).for_head(Detect)
    values = yaml.safe_load(file.read_text())
    assert set(values) == set(hyp.as_dict())
    keys = [line for line in file.read_text().splitlines() if line and not line.startswith((" ", "#"))]
    assert len(keys) == len(values)
    assert all("#" in line for line in keys)


def test_scratch_is_the_default_of_every_key(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("lr0: 0.01\n")
    one, scratch = (load_hyperparameters(name).for_head(Detect) for name in (tmp_path / "one.yaml", "scratch"))
    assert one == scratch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr0: 0.01\nlr0: 0.02", "line 2: the key 'lr0' occurs twice; remove one"),
        ("mosaic: 0.5\nlr_0: 0.01", "line 2: unknown key 'lr_0'; did you mean 'lr0'"),
        ("lr0: fast", "line 1: lr0: 'fast': "),
        ("lr0: -1", "line 1: lr0: -1: "),
        ("lr0: true", "line 1: lr0: true is no number"),
        ("close_mosaic: true", "line 1: close_mosaic: true is no number"),
        ("mosaic: true", "line 1: mosaic: true is no number"),
        ("box: false", "line 1: box: false is no number"),
        ("warmup_epochs: .inf", "line 1: warmup_epochs: inf: "),
        ("warmup_bias_lr: .nan", "line 1: warmup_bias_lr: nan: "),
        ("box: .inf", "line 1: box: inf: "),
        ("degrees: .inf", "line 1: degrees: inf: "),
        ("lrf: 0.1\nmosaic: 1.5", "line 2: mosaic: 1.5: "),
        ("fl_gamma: 1.5", "line 1: fl_gamma: 1.5 is not supported; set it to 0.0"),
        ("- 1", "must hold 'key: value' lines"),
        ("a: [", "line 1: not valid YAML"),
    ],
)
def test_wrong_files_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "h.yaml"
    path.write_text(text)
    with pytest.raises(EngineError) as caught:
        load_hyperparameters(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yolov5_keys_that_are_off_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("lr0: 0.02\niou_t: 0.2\nfl_gamma: 0.0\ncopy_paste: 0.0\n")
    assert load_hyperparameters(tmp_path / "h.yaml").training.lr0 == 0.02


def test_missing_file_names_the_known_ones() -> None:
    with pytest.raises(EngineError, match=r"nowhere: no such hyperparameter file; .*scratch\.yaml"):
        load_hyperparameters("nowhere")


# Whose loss a value belongs to

ANCHOR_FREE = {"box": 7.5, "cls": 0.5, "dfl": 1.5}


@pytest.mark.parametrize("file", SHELF.files(), ids=lambda path: path.stem)
def test_shipped_files_serve_the_anchor_free_head_with_its_own_values(file: Path) -> None:
    hyp = load_hyperparameters(file.stem)
    assert hyp.for_head(AnchorFreeDetect).loss == ANCHOR_FREE
    assert hyp.for_head(V10Detect).loss == ANCHOR_FREE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("box: 5", {"box": 5.0}),
        ("box: 5\ncls: 1\ndfl: 2", {"box": 5.0, "cls": 1.0, "dfl": 2.0}),
        ("box: 0.05\ncls: 0.3\nobj: 1.0", {}),
        ("box: 0.05\nanchor_t: 4\ndfl: 2", {"dfl": 2.0}),
    ],
)
def test_values_of_the_anchor_based_loss_do_not_reach_the_anchor_free_one(
    tmp_path: Path, text: str, expected: dict[str, float]
) -> None:
    (tmp_path / "h.yaml").write_text(text)
    assert load_hyperparameters(tmp_path / "h.yaml").for_head(AnchorFreeDetect).loss == ANCHOR_FREE | expected


def test_values_of_the_anchor_free_loss_do_not_reach_the_anchor_based_one(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("box: 7.5\ncls: 0.6\ndfl: 1.5\nobj: 0.7")
    loss = load_hyperparameters(tmp_path / "h.yaml").for_head(Detect).loss
    assert (loss["box"], loss["cls"], loss["obj"]) == (0.05, 0.5, 0.7)


def test_what_is_left_out_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "h.yaml").write_text("box: 0.1\nobj: 1.0\nanchor_t: 4.0")
    hyp, options = load_hyperparameters(tmp_path / "h.yaml"), TrainOptions()
    assert bind_hyperparameters(hyp, AnchorFreeDetect(3, (16,)), options).loss == ANCHOR_FREE
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'h.yaml'}: its loss is another head's (anchor_t, obj); "
        "this detector trains with box 7.5, cls 0.5, dfl 1.5"
    ]
    caplog.clear()
    bind_hyperparameters(hyp, Detect(3, [[1, 2]], (16,)), options)
    assert not caplog.records


@pytest.mark.parametrize("head", [Detect(3, [[1, 2]], (16,)), AnchorFreeDetect(3, (16,))])
def test_what_a_checkpoint_stores_is_what_resumes(head: DetectionHead) -> None:
    """A stored recipe has its own head's keys, all of them, and nobody else's."""
    values = load_hyperparameters("scratch").for_head(head).as_dict()
    values |= dict.fromkeys(("box", "cls"), 0.123)
    stored = parse_hyperparameters(values, "last.pt")
    assert stored.for_head(head).as_dict() == values
    assert not stored.foreign_to(head)
