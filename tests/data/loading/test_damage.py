"""Images whose damage shows only when they are decoded: replaced, named once, remembered, limited in number."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from data.coco.records import CocoSplit, load_coco
from data.errors import DataError
from data.loading.loader import Batch, Loader, build_loader

AUGMENT = {"mosaic": 0.5, "mixup": 0.3, "degrees": 5.0}


def damage(file: Path) -> None:
    """Zeros amid a JPEG: its header and its end stay whole."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    file.write_bytes(content)


@pytest.fixture
def folder(folder: Any) -> Any:
    """Twelve JPEGs of noise with one box each, the fifth of which is damaged."""
    folder.document["images"], folder.document["annotations"] = [], []
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (48 + 2 * number, 60, 3), np.uint8)
        file = folder.images / f"{number}.jpg"
        cv2.imwrite(str(file), pixels)
        entry = {"id": number, "file_name": file.name, "width": 60, "height": pixels.shape[0]}
        folder.document["images"].append(entry)
        folder.box(number, 7, [2, 3, 20, 10 + number])
    damage(folder.images / "4.jpg")
    return folder


@pytest.fixture
def split(folder: Any) -> CocoSplit:
    return load_coco(*folder.write())


def epochs(loader: Loader, count: int = 2) -> list[Batch]:
    batches = []
    for epoch in range(count):
        loader.set_epoch(epoch)
        batches += list(loader)
    return batches


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)


def test_the_scan_does_not_see_it(split: CocoSplit) -> None:
    assert len(split.records) == 12
    assert "broken" not in split.report.summary()


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"cache": "ram"}, {"cache": "disk"}, {"rect": True}])
def test_in_training_another_takes_its_place_and_it_is_named_once(
    split: CocoSplit, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], options: Any
) -> None:
    loader = build_loader(split, imgsz=64, batch_size=5, augment=AUGMENT, seed=3, **options)
    batches = epochs(loader)
    (message,) = [line for line in caplog.messages if "damaged" in line]
    assert message.startswith(f"{split.records[4].path}: the image is damaged (Corrupt JPEG data: ")
    assert message.endswith("Another image takes its place")
    assert "Corrupt" not in capfd.readouterr().err
    assert sum(len(batch) for batch in batches) == 24
    if "rect" not in options:
        assert_equal(batches, epochs(build_loader(split, imgsz=64, batch_size=5, augment=AUGMENT, seed=3)))


def test_the_one_that_takes_its_place_follows_from_seed_epoch_and_index(split: CocoSplit) -> None:
    plain = {"mosaic": 0.0, "fliplr": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "translate": 0.0, "scale": 0.0}

    def substitute(seed: int, epoch: int) -> int:
        """Number of the record that stands in the place of the damaged one."""
        loader = build_loader(split, imgsz=64, batch_size=12, augment=plain, seed=seed)
        loader.set_epoch(epoch)
        (batch,) = loader
        (which,) = [i for i in range(12) if i != 4 and torch.equal(batch.images[i], batch.images[4])]
        assert torch.equal(batch.targets[batch.targets[:, 0] == which, 1:], batch.targets[batch.targets[:, 0] == 4, 1:])
        return which

    drawn = {(seed, epoch): substitute(seed, epoch) for seed in (0, 1) for epoch in range(4)}
    for (seed, epoch), which in drawn.items():
        candidates = np.random.default_rng((seed, epoch, 4, 1)).integers(12, size=100).tolist()
        assert which == next(other for other in candidates if other != 4)
    assert len({*drawn.values()}) > 2


def test_in_validation_it_is_grey_and_has_nothing(split: CocoSplit, caplog: pytest.LogCaptureFixture) -> None:
    loader = build_loader(split, imgsz=64, batch_size=5, rect=True)
    for _ in range(2):
        for batch in loader:
            for position, meta in enumerate(batch.metas):
                assert meta.damaged == (meta.image_id == 4)
                if meta.damaged:
                    assert batch.images[position].unique().tolist() == [114]
                    assert not (batch.targets[:, 0] == position).any()
    (message,) = caplog.messages
    assert message.endswith("It counts as an image without detections")


def test_it_is_remembered(split: CocoSplit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    expected = epochs(build_loader(split, imgsz=64, batch_size=5, augment=AUGMENT))
    decoded: list[Path] = []
    read = data_loading_dataset().read_picture

    def counted(path: Path, limit: int | None) -> Any:
        decoded.append(path)
        return read(path, limit)

    monkeypatch.setattr("data.loading.dataset.read_picture", counted)
    caplog.clear()
    assert_equal(expected, epochs(build_loader(split, imgsz=64, batch_size=5, augment=AUGMENT)))
    assert split.records[4].path not in decoded
    assert split.records[3].path in decoded
    assert len([line for line in caplog.messages if "damaged" in line]) == 1, "a run that knows it says it too"


def data_loading_dataset() -> Any:
    import data.loading.dataset

    return data.loading.dataset


def test_a_repaired_file_is_used_again(folder: Any, split: CocoSplit) -> None:
    loader = build_loader(split, imgsz=64, batch_size=12)
    (batch,) = loader
    assert batch.metas[4].damaged
    cv2.imwrite(str(split.records[4].path), np.zeros((56, 60, 3), np.uint8))
    (batch,) = build_loader(split, imgsz=64, batch_size=12)
    assert not batch.metas[4].damaged


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[:30],
        lambda text: "[]",
        lambda text: text.replace("4.jpg", "3.jpg"),
        lambda text: json.dumps({**json.loads(text), "files": {}}),
        lambda text: json.dumps({**json.loads(text), "files": 3}),
    ],
)
def test_a_memory_that_is_not_right_is_made_anew(
    split: CocoSplit, cache_folder: Path, spoil: Callable[[str], str]
) -> None:
    list(build_loader(split, imgsz=64, batch_size=12))
    file = cache_folder / "damaged.json"
    whole = file.read_text()
    file.write_text(spoil(whole))
    (batch,) = build_loader(split, imgsz=64, batch_size=12)
    assert [meta.image_id for meta in batch.metas if meta.damaged] == [4]
    assert file.read_text() == whole


@pytest.mark.parametrize("augment", [None, AUGMENT])
def test_strict_makes_it_an_error(split: CocoSplit, augment: Any) -> None:
    for _ in range(2):  # found, then known
        with pytest.raises(DataError, match=r"4\.jpg: the image is damaged.*--strict") as error:
            list(build_loader(split, imgsz=64, batch_size=5, augment=augment, strict=True))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_many_are_an_error(folder: Any, split: CocoSplit, workers: int) -> None:
    for number in (1, 6):
        damage(folder.images / f"{number}.jpg")
    list(build_loader(split, imgsz=64, batch_size=5, workers=workers))
    damage(folder.images / "7.jpg")
    with pytest.raises(DataError, match=r"7\.jpg: the image is damaged.*3 more of the 12 images"):
        list(build_loader(split, imgsz=64, batch_size=5, workers=workers))


def test_those_that_the_scan_left_out_count_too(folder: Any) -> None:
    for number in (0, 1, 2):
        (folder.images / f"{number}.jpg").write_bytes(b"")
    split = load_coco(*folder.write())
    assert len(split.records) == 9
    with pytest.raises(DataError, match=r"4\.jpg: the image is damaged.*3 more of the 12 images"):
        list(build_loader(split, imgsz=64, batch_size=5))


def test_a_file_that_is_gone_is_no_damage(split: CocoSplit) -> None:
    split.records[2].path.unlink()
    with pytest.raises(DataError, match=r"2\.jpg: no such image file"):
        list(build_loader(split, imgsz=64, batch_size=5))


def test_complaints_that_leave_the_pixels_whole_are_named_a_few_times(
    folder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder.document["images"], folder.document["annotations"] = [], []
    for number in range(20, 26):
        file = folder.image(number, 30, 40)
        content = file.read_bytes()
        broken_profile = b"\0\0\0\x06iCCPx\0\0abc\xbe\xc4\xa6\xd3"
        file.write_bytes(content[:33] + broken_profile + content[33:])
    split = load_coco(*folder.write())
    with caplog.at_level(logging.INFO):
        loader = build_loader(split, imgsz=64, batch_size=5)
        epochs(loader)
    named = [line for line in caplog.messages if "libpng warning: iCCP" in line]
    assert len(named) == 3
    assert named[0].startswith(f"{split.records[0].path}: ")
    assert sum("are not named" in line for line in caplog.messages) == 1
