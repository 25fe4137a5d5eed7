from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import data.coco.records
from data.coco.records import CocoSplit, load_coco
from data.errors import DataError
from files.cache import VARIABLE
from files.locks import lock
from files.progress import bars_shown


def load(folder: Any, **options: Any) -> CocoSplit:
    return load_coco(*folder.write(), **options)


def assert_same(first: CocoSplit, second: CocoSplit) -> None:

    assert first.classes == second.classes
    assert tuple(first.unused) == tuple(second.unused)
    assert first.report == second.report
    for one, other in zip(first.records, second.records, strict=True):
        assert (one.image_id, one.path, one.width, one.height) == (
            other.image_id,
            other.path,
            other.width,
            other.height,
        )
        for name in ("boxes_xyxy", "labels", "crowd"):
            theirs = getattr(other, name)
            np.testing.assert_array_equal(getattr(one, name), theirs)
            assert getattr(one, name).dtype == theirs.dtype


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Grows by one entry each time that images are really looked at."""
    calls: list[Path] = []
    check = data.coco.records.check_images

    def counted(entries: Any, annotations: Path, **options: Any) -> dict[int, str]:
        calls.append(annotations)
        return check(entries, annotations, **options)

    monkeypatch.setattr("data.coco.records.check_images", counted)
    return calls


def test_second_run_reads_the_cache_and_gives_the_same(folder: Any, scans: list[Path]) -> None:
    folder.box(5, 7, [1 / 3, 0.1, 5, 5], iscrowd=1)
    folder.box(5, 7, [-1 / 3, 0.1, 5, 5])
    folder.box(5, 7, [0, 0, 0, 5])
    first = load(folder)
    assert_same(first, load(folder))
    assert len(scans) == 1
    assert_same(first, load(folder, cache=False))
    assert len(scans) == 2


def test_other_names_are_another_scan(folder: Any, scans: list[Path]) -> None:
    load(folder)
    assert load(folder, names=["cat"]).classes.names == ("cat",)
    assert load(folder).classes.names == ("dog", "cat")
    assert len(scans) == 2


def test_a_changed_annotation_invalidates(folder: Any, scans: list[Path]) -> None:
    load(folder)
    folder.document["annotations"][0]["bbox"] = [1, 1, 3, 3]
    np.testing.assert_array_equal(load(folder).records[1].boxes_xyxy, [[1, 1, 4, 4]])
    assert len(scans) == 2


def test_a_changed_image_invalidates(folder: Any, scans: list[Path]) -> None:
    load(folder)
    file = folder.images / "003.png"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match="truncated"):
        load(folder, strict=True)
    file.unlink()
    with pytest.raises(DataError, match="is not in"):
        load(folder)


def test_the_same_size_at_another_time_invalidates(folder: Any, scans: list[Path]) -> None:
    load(folder)
    os.utime(folder.images / "003.png", ns=(1, 1))
    load(folder)
    assert len(scans) == 2


def test_any_change_of_the_cache_is_noticed_and_it_is_made_anew(
    folder: Any, cache_folder: Path, scans: list[Path]
) -> None:
    folder.box(5, 7, [1, 1, 5, 5], iscrowd=1)
    first = load(folder)
    (file,) = (cache_folder / "scans").iterdir()
    whole = file.read_bytes()
    changed = [
        b"",
        whole[: len(whole) // 2],
        whole + b"0",
        b"{}",
        whole[::-1],
        whole.replace(b'"boxes": 4', b'"boxes": "4"'),
    ]
    positions = np.random.default_rng(0).integers(0, len(whole), 60).tolist()
    changed += [whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] for at in positions]
    for count, content in enumerate(changed, start=2):
        file.write_bytes(content)
        assert content != whole
        assert_same(first, load(folder))
        assert len(scans) == count, f"change {count} was not noticed"
        assert file.read_bytes() == whole


def test_records_of_a_cache_go_to_other_processes_as_the_name_of_the_file(folder: Any, cache_folder: Path) -> None:
    folder.image(77, 30, 30)
    folder.document["images"][-1]["file_name"] = "ä.png"
    (folder.images / "077.png").rename(folder.images / "ä.png")
    records = load(folder).records
    packed = pickle.dumps(records)
    assert len(packed) < 500
    assert b"005.png" not in packed
    received = pickle.loads(packed)  # noqa: S301 - our own, as spawning would
    assert [record.path for record in received] == [record.path for record in records]
    assert received[3].path.name == "ä.png"
    np.testing.assert_array_equal(received[0].boxes_xyxy, records[0].boxes_xyxy)
    (file,) = (cache_folder / "scans").iterdir()
    file.unlink()
    with pytest.raises(DataError, match=r"\.arrays: has been changed while it was in use; start again"):
        pickle.loads(packed)  # noqa: S301


def test_records_without_a_cache_go_to_other_processes_as_they_are(folder: Any) -> None:
    records = load(folder, cache=False).records
    received = pickle.loads(pickle.dumps(records))  # noqa: S301
    assert len(received) == len(records) == 3
    np.testing.assert_array_equal(received[-3].boxes_xyxy, records[0].boxes_xyxy)
    assert [record.image_id for record in received[1:]] == [3, 12]
    with pytest.raises(IndexError):
        received[3]


def test_nothing_else_is_left_in_the_cache_folder(folder: Any, cache_folder: Path) -> None:
    (cache_folder / "scans").mkdir()
    old, young = (cache_folder / "scans" / f".{name}.1.tmp.json" for name in ("old", "young"))
    for leftover in (old, young):
        leftover.write_text("")
    os.utime(old, (1, 1))
    held = lock(young)
    load(folder)
    load(folder)
    assert not old.exists()
    assert young.exists(), "perhaps another process is writing it"
    assert held is not None
    held.release()
    young.unlink()
    assert [file.suffix for file in (cache_folder / "scans").iterdir()] == [".arrays"]


def test_no_cache_where_the_folder_cannot_be_written(
    folder: Any, tmp_path: Path, scans: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv(VARIABLE, str(blocker / "cache"))
    assert_same(load(folder), load(folder))
    assert len(scans) == 2


def test_a_failed_scan_leaves_no_cache(folder: Any, cache_folder: Path) -> None:
    (folder.images / "003.png").unlink()
    with pytest.raises(DataError):
        load(folder)
    assert not (cache_folder / "scans").exists()


def test_progress_bar_goes_to_stderr_only(folder: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with bars_shown():
        load_coco(*folder.write())
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Checking train.json" in captured.err
