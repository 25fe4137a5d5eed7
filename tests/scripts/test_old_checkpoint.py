"""A training that commit ef925d5 began continues here and ends where it would have ended there.

`last_ef925d5.pt` was written there after two of four epochs of a tiny SAConv2d detector on the six squares of
`write_squares`; `end_ef925d5.npz` holds the weights that the same commit had after all four, and their average. It
knows no rules and no names of groups yet: the old ones must be found. Rates are high, so that another rule shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.config import load_dataset_config
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.cli.run import run_cli
from engine.cli.train import main
from engine.options import TrainOptions
from engine.training.rules import Rules
from engine.training.setup import chosen_hyperparameters, load_data, load_splits, with_defaults

DATA = Path(__file__).with_name("data")


@pytest.fixture
def last(tmp_path: Path, write_squares: Callable[..., None]) -> Path:
    """The old `last.pt` in the folder of its run, with its data set."""
    write_squares(tmp_path, 6, batch_size=2)
    content = load_checkpoint(DATA / "last_ef925d5.pt")
    content["data"] = content["training"]["options"]["data"] = str(tmp_path / "data.yaml")
    path = tmp_path / "exp" / "weights" / "last.pt"
    path.parent.mkdir(parents=True)
    save_checkpoint(path, content)
    save_checkpoint(path.with_name("best.pt"), {key: value for key, value in content.items() if key != "training"})
    return path


@pytest.mark.parametrize(
    ("entry", "message"),
    [("rules", "rule interpolation: 'cubic' is not"), ("groups", "its optimiser groups are damaged")],
)
def test_what_it_goes_by_is_checked(last: Path, entry: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = load_checkpoint(last)
    content["training"][entry] = {"bias_warmup": "all", "interpolation": "cubic", "level_balance": "stride"}
    save_checkpoint(last, content)
    assert run_cli(main, ["--resume", str(last)]) == 2
    assert f"error: {last}: {message}" in capsys.readouterr().err


def test_it_goes_on_and_ends_as_before(last: Path) -> None:
    assert "rules" not in load_checkpoint(last)["training"]
    assert run_cli(main, ["--resume", str(last)]) == 0
    content = load_checkpoint(last)
    assert content["training"]["progress"]["epoch"] == 4
    # From now on it says what it goes by.
    rules = {"bias_warmup": "all", "interpolation": "area", "level_balance": "position", "truth": "file"}
    rules["categories"] = "all"
    assert content["training"]["rules"] == rules
    assert content["training"]["groups"][0]["names"][0] == "model.1.switch.bias"
    states = {"average": content["model"], "trained": content["training"]["model"]}
    with np.load(DATA / "end_ef925d5.npz") as end:
        assert {*end} == {f"{kind}/{key}" for kind, state in states.items() for key in state}
        for kind, state in states.items():
            for key, tensor in state.items():
                # Processors differ in the last bit.
                np.testing.assert_allclose(tensor.numpy(), end[f"{kind}/{key}"], atol=1e-4, rtol=1e-4, err_msg=key)


@pytest.mark.parametrize(("truth", "learnt", "measured"), [("scan", 4, 4), ("file", 6, 7)])
def test_an_older_training_goes_on_with_the_annotations_as_it_read_them(
    tmp_path: Path, write_squares: Callable[..., None], truth: str, learnt: int, measured: int
) -> None:
    """Four squares; one more that is to be ignored, one twice, and one of no area that only pycocotools counts."""
    write_squares(tmp_path, 4, batch_size=2)
    document = json.loads((tmp_path / "all.json").read_text())
    first = document["annotations"][0]
    changes: tuple[dict[str, Any], ...] = ({"bbox": [1, 1, 9, 9], "ignore": 1}, {}, {"bbox": [3, 3, 0, 5]})
    document["annotations"] += [{**first, **change, "id": 90 + n} for n, change in enumerate(changes)]
    (tmp_path / "all.json").write_text(json.dumps(document))
    dataset = load_dataset_config(tmp_path / "data.yaml")
    options = with_defaults(TrainOptions(workers=0), dataset)
    rules = Rules(truth=truth)
    splits = load_splits(dataset, options, rules)
    data = load_data(splits, options, chosen_hyperparameters(options), 32, rules)
    assert sum(len(batch.targets) for batch in data.val_loader) == learnt
    assert [entry.instances for entry in data.evaluator.measure([]).classes] == [measured]
