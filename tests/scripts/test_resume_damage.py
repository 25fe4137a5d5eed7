"""last.pt with damaged entries: each is one line that names it, and nothing of the run is touched."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.cli.run import run_cli
from engine.cli.train import main
from tests.scripts.trainings import flags

Content = dict[str, Any]


@pytest.fixture(scope="module")
def runs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """By optimiser: the `last.pt` of a training of one epoch, as if its report were missing."""
    project = tmp_path_factory.mktemp("runs")
    found = {}
    for name in ("SGD", "AdamW"):
        more = ("--epochs", 1, "--workers", 0, "--optimizer", name, "--name", name)
        assert run_cli(main, flags(folder, project, *more)) == 0
        last = project / name / "weights" / "last.pt"
        content = load_checkpoint(last)
        content["training"]["progress"]["finished"] = False
        save_checkpoint(last, content)
        found[name] = last
    return found


def put(*path: Any) -> Callable[[Content], None]:
    """Puts the last argument where the others lead to."""
    *way, key, value = path

    def change(content: Content) -> None:
        target: Any = content
        for step in way:
            target = target[step]
        target[key] = value

    return change


def drop(*path: Any) -> Callable[[Content], None]:
    """Removes the entry where the arguments lead to."""
    *way, key = path

    def change(content: Content) -> None:
        target: Any = content
        for step in way:
            target = target[step]
        del target[key]

    return change


def spoil(*path: Any, value: float = float("nan")) -> Callable[[Content], None]:
    """Writes a number into the tensor where the arguments lead to; without a name, into the first one there."""

    def change(content: Content) -> None:
        target: Any = content
        for step in path:
            target = target[step]
        while isinstance(target, dict):
            target = next(iter(target.values()))
        target[(0,) * target.ndim] = value

    return change


T, WEIGHT = "training", "model.0.conv.weight"
DAMAGE: list[tuple[Callable[[Content], None], str]] = [
    (put(T, 3), "training: 3 is not a map"),
    *((drop(T, key), f"training.{key}: is missing") for key in ("options", "hyp", "progress", "schedule", "model")),
    *((drop(T, key), f"training.{key}: is missing") for key in ("ema_updates", "optimizer", "scaler", "random")),
    (drop("model"), "model: is missing"),
    (drop("names"), "names: is missing"),
    (drop("yaml"), "yaml: is missing"),
    (put("yaml", "nc", "many"), "yaml: "),
    (put("names", ["a", 3]), "names: ['a', 3] is not a list of names"),
    (put("category_ids", [1, 2, 3]), "category_ids: [1, 2, 3] is not a list of 1 numbers"),
    (put("epoch", -1), "epoch: -1 is not the 1 of training.progress"),
    (put(T, "progress", None), "training.progress: None is not a map"),
    (put(T, "progress", "epoch", -1), "training.progress.epoch: -1: "),
    (put(T, "progress", "epoch", 1.0), "training.progress.epoch: 1.0: "),
    (put(T, "progress", "epoch", 7), "training.progress.epoch: 7 is more than the 1 of the training"),
    (put(T, "progress", "best_fitness", float("nan")), "training.progress.best_fitness: nan: "),
    (put(T, "progress", "best_epoch", 5), "training.progress.best_epoch: 5 is not one of its 1 epochs"),
    (put(T, "progress", "finished", "no"), "training.progress.finished: 'no': "),
    (put(T, "progress", "new", 1), "training.progress.new: 1: "),
    (put(T, "schedule", "batches", 0), "training.schedule.batches: 0: "),
    (put(T, "options", "epochs", -3), "training.options: --epochs: -3 is not a whole number"),
    (put(T, "options", "epochs", 0), "training.options.epochs: is missing"),
    (put(T, "options", "rect", "yes"), "training.options: --rect: 'yes' is not True or False"),
    (put(T, "options", "freeze", 3), "training.options.freeze: 3 is not a list of rows"),
    (put(T, "options", "cfg", 3), "training.options: --cfg: 3 is not a text"),
    (put(T, "options", "new", 1), "training.options: 'new' is of another version of this project"),
    (put(T, "hyp", 3), "training.hyp: 3 is not a map"),
    (put(T, "hyp", {}), "training.hyp.lr0: is missing"),
    (put(T, "hyp", "box", torch.tensor(5)), "training.hyp.box: tensor(5) is not a number"),
    (put("imgsz", "large"), "imgsz: 'large' is not a whole number"),
    (put(T, "optimizer", "param_groups", 0, "weight_decay", 1e19), "weight_decay: 1e+19 is not 0.0, as training.hyp"),
    (put(T, "progress", "best_fitness", 1.5), "training.progress.best_fitness: 1.5: "),
    (put(T, "hyp", "lr0", "fast"), "training.hyp: lr0: 'fast': "),
    (put(T, "hyp", "lr0", float("nan")), "training.hyp: lr0: nan: "),
    (put(T, "ema_updates", -1), "training.ema_updates: -1 is not a whole number"),
    (put(T, "ema_updates", 1.5), "training.ema_updates: 1.5 is not a whole number"),
    (put(T, "scaler", {"scale": -1.0}), "training.scaler."),
    (put(T, "data", {"train": 3}), "training.data."),
    (spoil("model", WEIGHT), f"model: {WEIGHT}: 1 of 216 numbers are NaN or infinite"),
    (spoil(T, "model", WEIGHT, value=float("inf")), f"training.model: {WEIGHT}: 1 of 216 numbers are NaN or infinite"),
    (put(T, "model", {}), "training.model: model.0.bn.bias: is missing"),
    (put(T, "model", [1]), "training.model: is not a map of tensors"),
    (put(T, "model", WEIGHT, torch.zeros(3)), f"training.model: {WEIGHT}: has the shape [3], not [8, 3, 3, 3]"),
    (put("model", "model.9.x", torch.zeros(3)), "model: model.9.x: is not of its network"),
    (put("model", WEIGHT, torch.zeros((8, 3, 3, 3), dtype=torch.int64)), f"model: {WEIGHT}: holds whole numbers"),
    (put(T, "random", None), "training.random: None is not a map"),
    (drop(T, "random", "numpy"), "training.random.numpy: is missing"),
    (put(T, "random", "torch", torch.zeros(7, dtype=torch.uint8)), "training.random.torch: is no state"),
    (put(T, "random", "python", (3, (1, 2), None)), "training.random.python: is no state"),
    (put(T, "random", "numpy", ("MT19937", torch.zeros(5).long(), 1, 0, 0.0)), "training.random.numpy: is no state"),
    (put(T, "random", "numpy", ("MT19937", torch.full((624,), -1), 1, 0, 0.0)), "training.random.numpy: is no state"),
    (put(T, "random", "cuda", torch.zeros(3)), "training.random.cuda: is no state"),
    (put(T, "optimizer", {}), "training.optimizer.param_groups: is missing"),
    (put(T, "optimizer", "state", {}), "training.optimizer.state: is empty"),
    (put(T, "optimizer", "state", 99, {}), "training.optimizer.state: is not a map of the parameters' states"),
    (put(T, "optimizer", "param_groups", []), "training.optimizer.param_groups: is not a list of "),
    (put(T, "optimizer", "param_groups", 0, "params", [0]), "param_groups[0].params: is not a list of"),
    (drop(T, "optimizer", "param_groups", 0, "lr"), "training.optimizer.param_groups[0].lr: is missing"),
    (put(T, "optimizer", "param_groups", 0, "lr", "x"), "training.optimizer.param_groups[0].lr: 'x' is not a value"),
    (put(T, "optimizer", "param_groups", 0, "weight_decay", float("nan")), "param_groups[0].weight_decay: nan is not"),
    (put(T, "optimizer", "param_groups", 0, "rate_factor", 0.5), "param_groups[0].rate_factor: 0.5 is not "),
    (put(T, "optimizer", "state", 0, {}), "training.optimizer.state of "),
    (spoil(T, "optimizer", "state"), ": has numbers that are NaN or infinite"),
    (put(T, "optimizer", "state", 0, "momentum_buffer", torch.zeros(99)), "momentum_buffer: is not a tensor of "),
    (put(T, "groups", 0, "rate_factor", "x"), "its optimiser groups are damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), DAMAGE, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_every_entry_is_looked_at(
    runs: Mapping[str, Path], change: Callable[[Content], None], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(runs["SGD"], change, line, capsys)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (put(T, "optimizer", "state", 0, "step", torch.tensor(-1.0)), "step: has negative numbers"),
        (drop(T, "optimizer", "state", 0, "exp_avg"), "exp_avg: is missing"),
        (spoil(T, "optimizer", "state", 0, "exp_avg_sq", value=-1.0), "exp_avg_sq: has negative numbers"),
        (put(T, "optimizer", "param_groups", 0, "betas", (0.9,)), "betas: (0.9,) is not a value"),
    ],
)
def test_the_moments_of_adam(
    runs: Mapping[str, Path], change: Callable[[Content], None], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(runs["AdamW"], change, line, capsys)


def refused(last: Path, change: Callable[[Content], None], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = last.read_bytes()
    content = copy.deepcopy(load_checkpoint(last))
    change(content)
    save_checkpoint(last, content)
    leftover = last.with_name(".last.4711.tmp.pt")
    leftover.touch()
    before = {file: file.read_bytes() for file in last.parents[1].rglob("*") if file.is_file()}
    try:
        capsys.readouterr()
        assert run_cli(main, ["--resume", str(last), "--workers", "0"]) == 2
        (error,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
        assert error.startswith(f"error: {last}: ")
        assert line in error
        if "groups are damaged" not in line:
            assert error.endswith(f"or start a new training with --weights {last.with_name('best.pt')}")
        assert len(error) < 600
        assert before == {file: file.read_bytes() for file in last.parents[1].rglob("*") if file.is_file()}
    finally:
        last.write_bytes(whole)


@pytest.mark.parametrize(
    ("table", "outcome"),
    [
        ("epoch,x/lr\n0,fast\n", "is not the table"),
        ("epoch,x/lr\n0,1,2\n", "is not the table"),
        ("epoch,x/lr\n0,1\n0,1\n", "is not the table"),
        ("epoch,x/lr\n-1,1\n", "is not the table"),
        ("x/lr\n1\n", "is not the table"),
        ("\x00\x01", "is not the table"),
        ("epoch,x/lr\n", "has 0 of 1 epochs; it goes on without the others"),
    ],
)
def test_a_history_that_is_damaged(
    runs: Mapping[str, Path], table: str, outcome: str, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    from engine.report.recorder import read_rows

    folder = runs["SGD"].parents[1]
    results = folder / "results.csv"
    whole = results.read_bytes()
    try:
        results.write_text(table)
        if "not the table" not in outcome:
            assert read_rows(folder, 1) == []
            assert outcome in caplog.text
            return
        assert run_cli(main, ["--resume", str(runs["SGD"]), "--workers", "0"]) == 2
        assert re.search(rf"results\.csv: {outcome}", capsys.readouterr().err)
        assert results.read_text() == table
    finally:
        results.write_bytes(whole)
