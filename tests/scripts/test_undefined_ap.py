"""A validation split without anything to find decides nothing; a training split without it cannot be learnt from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from engine.cli.run import run_cli
from engine.cli.train import main

CFG = {
    "nc": 1,
    "anchors": [[10, 13, 16, 30, 33, 23]],
    "backbone": [[-1, 1, "Conv", [8, 3, 4]], [-1, 1, "Conv", [8, 3, 2]]],
    "head": [[[1], 1, "Detect", ["nc", "anchors"]]],
}

Spoil = Callable[[dict[str, Any]], None]


def drop_all(document: dict[str, Any]) -> None:
    document["annotations"] = []


def outside(document: dict[str, Any]) -> None:
    for entry in document["annotations"]:
        entry["bbox"] = [900, 900, 9, 9]


def crowds(document: dict[str, Any]) -> None:
    for entry in document["annotations"]:
        entry["iscrowd"] = 1


def ignored(document: dict[str, Any]) -> None:
    for entry in document["annotations"]:
        entry["ignore"] = 1


@pytest.fixture
def folder(tmp_path: Path, write_squares: Callable[..., None]) -> Path:
    write_squares(tmp_path, 4, batch_size=2)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CFG))
    return tmp_path


def spoil_split(folder: Path, split: str, spoil: Spoil) -> None:
    document = json.loads((folder / "all.json").read_text())
    spoil(document)
    (folder / f"{split}.json").write_text(json.dumps(document))
    content = yaml.safe_load((folder / "data.yaml").read_text())
    content[split] = {"images": ".", "annotations": f"{split}.json"}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))


def train(folder: Path, *more: str) -> int:
    common = ["--cfg", str(folder / "tiny.yaml"), "--data", str(folder / "data.yaml"), "--project", str(folder)]
    return run_cli(main, [*common, "--device", "cpu", "--workers", "0", "--noplots", *more])


@pytest.mark.parametrize("spoil", [drop_all, outside, crowds, ignored])
def test_without_a_truth_the_last_epoch_is_best(folder: Path, spoil: Spoil, caplog: pytest.LogCaptureFixture) -> None:
    spoil_split(folder, "val", spoil)
    caplog.set_level("INFO")
    assert train(folder, "--epochs", "3", "--patience", "1") == 0
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if "undefined, " in line or "undefined: " in line] == [
        "validation: no object to find, so AP is undefined: best.pt is the last epoch's, and --patience does not count"
    ]
    assert not [line for line in lines if "no gain" in line]
    assert f"best of epoch 3: {folder}/exp/weights/best.pt" in lines
    best, last = (torch.load(folder / "exp" / "weights" / f"{name}.pt", weights_only=True) for name in ("best", "last"))
    assert last["training"]["progress"] == {"epoch": 3, "best_fitness": -1.0, "best_epoch": 2, "finished": True}
    assert best["epoch"] == 3
    assert all(torch.equal(tensor, last["model"][key]) for key, tensor in best["model"].items())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop_all, "no box is left to learn from; check"),
        (outside, "no box is left to learn from; check"),
        (crowds, "no box is left to learn from (4 are crowds, or to be ignored); check"),
        (ignored, "no box is left to learn from (4 are crowds, or to be ignored); check"),
    ],
)
def test_there_must_be_something_to_learn_from(
    folder: Path, spoil: Spoil, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_split(folder, "train", spoil)
    assert train(folder, "--epochs", "1") == 2
    assert f"error: {folder}/train.json: {words}" in capsys.readouterr().err
    assert not (folder / "exp").exists()


def test_a_validation_split_may_name_fewer_categories(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And other ones, as long as no box is of them; `names` may ask for one that only the training has."""

    def rename(document: dict[str, Any]) -> None:
        document["categories"] = [{"id": 0, "name": "shapes"}, {"id": 3, "name": "square", "supercategory": "shapes"}]
        for entry in document["annotations"]:
            entry["category_id"] = 3

    document = json.loads((folder / "all.json").read_text())
    document["categories"].append({"id": 1, "name": "circle"})
    (folder / "all.json").write_text(json.dumps(document))
    spoil_split(folder, "val", rename)
    assert train(folder, "--epochs", "1") == 0
    best = torch.load(folder / "exp" / "weights" / "best.pt", weights_only=True)
    assert (best["names"], best["category_ids"]) == (["circle", "square"], [1, 12])
    content = yaml.safe_load((folder / "data.yaml").read_text())
    (folder / "data.yaml").write_text(yaml.safe_dump({**content, "names": ["square", "circle"]}))
    assert train(folder, "--epochs", "1", "--name", "named") == 0
