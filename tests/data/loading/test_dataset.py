from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from data.augment import Pipeline
from data.coco.records import load_coco
from data.errors import DataError
from data.letterbox import Letterbox
from data.loading.dataset import DetectionDataset, Failure, Item, ItemKey, _Pool
from data.media.image import read_image
from files.cache import VARIABLE


def make(folder: Any, **options: Any) -> DetectionDataset:
    split = load_coco(*folder.write())
    return DetectionDataset(split, imgsz=64, **options)


def test_plain_items_are_the_letterboxed_files(folder: Any) -> None:
    dataset = make(folder)
    for index, record in enumerate(dataset.records):
        item = dataset[ItemKey(0, index, 64, 64)]
        assert isinstance(item, Item)
        letterbox = Letterbox.fit((record.height, record.width), (64, 64))
        expected = letterbox.apply(read_image(record.path), cv2.INTER_LINEAR)  # enlarging, or of the right size
        np.testing.assert_array_equal(item.image.numpy(), expected[..., ::-1].transpose(2, 0, 1))
        assert item.image.is_contiguous()
        assert item.image.dtype == torch.uint8
        assert item.meta.letterbox == letterbox
        assert (item.meta.image_id, item.meta.height, item.meta.width) == (record.image_id, record.height, record.width)
        assert item.meta.preprocess_ms > 0
        cx, cy, w, h = (item.targets[:, 1:].numpy() * 64).T
        corners = np.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), 1)
        np.testing.assert_allclose(letterbox.boxes_to_image(corners), record.boxes_xyxy, atol=1e-3)
        assert item.targets[:, 0].tolist() == record.labels.tolist()


def test_pictures_shrink_as_they_do_in_detection_unless_areas_are_asked_for(folder: Any) -> None:
    """By a factor of three: by two, both rules give the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8)
    folder.image(20, 192, 192, pixels)
    still = dict.fromkeys(("mosaic", "translate", "scale", "fliplr", "hsv_h", "hsv_s", "hsv_v"), 0.0)
    linear, area = (cv2.resize(pixels, (64, 64), interpolation=how) for how in (cv2.INTER_LINEAR, cv2.INTER_AREA))
    assert (linear != area).any()
    for options, expected in (
        ({}, linear),
        ({"interpolation": "area"}, area),
        ({"augment": still, "interpolation": "area"}, linear),
    ):
        image = make(folder, **options)[ItemKey(0, 3, 64, 64)].image.numpy()
        np.testing.assert_array_equal(image, expected[..., ::-1].transpose(2, 0, 1))


def test_crowds_are_not_targets(folder: Any) -> None:
    folder.box(12, 30, [1, 1, 5, 5], iscrowd=1)
    folder.box(12, 7, [2, 2, 5, 5])
    for augment in (None, {"mosaic": 0.0, "translate": 0.0, "scale": 0.0}):
        item = make(folder, augment=augment)[ItemKey(0, 2, 64, 64)]
        assert isinstance(item, Item)
        assert item.targets[:, 0].tolist() == [0]


def test_items_depend_on_seed_epoch_and_index_only(folder: Any) -> None:
    one, same, other = make(folder, augment={}), make(folder, augment={}), make(folder, augment={}, seed=1)
    key = ItemKey(3, 1, 64, 64)
    one[ItemKey(0, 0, 64, 64)]  # what came before does not matter
    first = one[key].image
    assert torch.equal(first, same[key].image)
    assert torch.equal(first, pickle.loads(pickle.dumps(one))[key].image)  # noqa: S301 - our own, as spawning would
    for different in (other[key], one[key._replace(epoch=4)], one[key._replace(image=0)]):
        assert not torch.equal(first, different.image)


@pytest.mark.parametrize("augment", [None, {"mixup": 0.5}])
@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_caches_change_nothing(folder: Any, cache_folder: Path, cache: str, augment: dict[str, float] | None) -> None:
    folder.image(21, 150, 90)
    plain = make(folder, augment=augment)
    cached = [make(folder, augment=augment, cache=cache) for _ in range(2)]  # the second reads what the first wrote
    cached.append(pickle.loads(pickle.dumps(cached[0])))  # noqa: S301 - our own, as spawning would
    for index in range(len(plain)):
        expected = plain[ItemKey(1, index, 64, 64)]
        for dataset in cached:
            item = dataset[ItemKey(1, index, 64, 64)]
            assert torch.equal(item.image, expected.image)
            assert torch.equal(item.targets, expected.targets)
    if cache == "disk":
        (file,) = (cache_folder / "images").iterdir()
        assert file.stat().st_size == sum(np.prod(plain.resized_hw(index)) * 3 + 1 for index in range(len(plain)))


def test_a_cached_image_cannot_be_written_to(folder: Any) -> None:
    store = make(folder, cache="ram").store
    assert store is not None
    with pytest.raises(ValueError, match="read-only"):
        store[0][0] = 1


def test_a_cut_cache_file_is_rewritten(folder: Any, cache_folder: Path) -> None:
    expected = make(folder, cache="disk")[ItemKey(0, 1, 64, 64)].image
    (file,) = (cache_folder / "images").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(make(folder, cache="disk")[ItemKey(0, 1, 64, 64)].image, expected)


def test_cache_mistakes(folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="'tape': must be one of 'ram', 'disk'"):
        make(folder, cache="tape")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot write the image cache"):
        make(folder, cache="disk")
    monkeypatch.setattr("data.loading.store._free_memory", lambda: 1000)
    with pytest.raises(DataError, match="memory are free; use 'disk', or no cache"):
        make(folder, cache="ram")


def test_an_image_that_is_gone_while_caching_leaves_nothing(folder: Any, cache_folder: Path) -> None:
    split = load_coco(*folder.write())
    split.records[1].path.unlink()
    with pytest.raises(DataError, match="no such image"):
        DetectionDataset(split, imgsz=64, cache="disk")
    assert list((cache_folder / "images").iterdir()) == []


def test_images_that_broke_after_the_scan(folder: Any) -> None:
    dataset = make(folder)
    path = dataset.records[0].path
    cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))
    failure = dataset[ItemKey(0, 0, 64, 64)]
    assert isinstance(failure, Failure)
    assert failure.message == f"{path}: is 10x10 now, not 60x40; restore it"
    path.unlink()
    failure = dataset[ItemKey(0, 0, 64, 64)]
    assert isinstance(failure, Failure)
    assert "no such image" in failure.message


def test_unknown_hyperparameter(folder: Any) -> None:
    with pytest.raises(DataError, match="did you mean 'mosaic'"):
        make(folder, augment={"mosiac": 1.0})


def test_partners_are_drawn_from_the_whole_data_set(folder: Any) -> None:
    """Mosaic and mixup take any image beside the first one."""
    for number in range(20, 26):
        folder.image(number, 64, 64, np.full((64, 64, 3), 10 * number, np.uint8))
    dataset = make(folder, augment={})
    pool = _Pool(dataset, Pipeline.build({}), (64, 64), 0)
    rng = np.random.default_rng(0)
    seen = {int(pool.draw(rng).image[0, 0, 0]) for _ in range(100)}
    assert {10 * number for number in range(20, 26)} <= seen


def test_caches_of_linear_and_of_averaged_pictures_are_apart(folder: Any, cache_folder: Path) -> None:
    folder.image(20, 192, 192)
    make(folder, cache="disk")
    make(folder, cache="disk", interpolation="area")
    assert len(list((cache_folder / "images").iterdir())) == 2
