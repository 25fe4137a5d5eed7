"""TensorBoard's event files, read by TensorBoard."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from engine.report.events import EventFile
from files.faults import OutputError
from tests.places import SMALL_DISK


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return [(entry.step, entry.value) for entry in accumulator.Scalars(name)]


def test_scalars_come_back(tmp_path: Path) -> None:
    events = EventFile(tmp_path)
    for step in range(3):
        events.add({"train/loss": step / 2, "x/lr": 0.25}, step)
    assert curve(tmp_path, "train/loss") == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert curve(tmp_path, "x/lr") == [(0, 0.25), (1, 0.25), (2, 0.25)]


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = EventFile(tmp_path)
    for step in range(4):
        first.add({"a": 1.0}, step)
    monkeypatch.setattr("time.time", lambda: 4e9)
    EventFile(tmp_path, purge_step=2).add({"a": 2.0}, 2)
    assert curve(tmp_path, "a") == [(0, 1.0), (1, 1.0), (2, 2.0)]


def test_a_full_disk_is_one_line_and_whole_records_stay(small_disk: Path) -> None:
    events = EventFile(small_disk)
    events.add({"a": 1.0}, 0)
    with pytest.raises(OutputError, match=r"events\.out\S+: cannot be written: the disk is full"):
        events.add({"b" * SMALL_DISK: 1.0}, 1)
    assert [event.step for event in EventFileLoader(str(events.path)).Load()] == [0, 0]
    events.add({"a": 2.0}, 1)


def test_a_removed_folder_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    events = EventFile(folder)
    events.path.unlink()
    folder.rmdir()
    with pytest.raises(OutputError, match="its folder is not there any more"):
        events.add({"a": 1.0}, 0)
