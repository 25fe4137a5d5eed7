from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.coco.records import CocoSplit, ImageRecord, ScanReport, load_coco
from data.errors import DataError
from data.loading.loader import Batch, build_loader, rectangular_shapes
from data.media.image import read_image
from files.classes import Classes

AUGMENT = {"mixup": 0.3, "degrees": 5.0}


def fake_split(sizes_hw: list[tuple[int, int]]) -> CocoSplit:
    none = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))
    records = tuple(ImageRecord(i, Path(f"{i}.png"), w, h, *none) for i, (h, w) in enumerate(sizes_hw))
    return CocoSplit(
        records, Classes(("thing",), (1,)), Path("a.json"), ScanReport(len(records), 0, len(records), 0, 0)
    )


@pytest.fixture
def split(folder: Any) -> CocoSplit:
    for number in range(100, 107):
        folder.image(number, 30 + number % 5 * 9, 50)
        folder.box(number, 7, [3, 4, 20, 20])
    return load_coco(*folder.write())


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
        assert [meta.image_id for meta in one.metas] == [meta.image_id for meta in other.metas]


def test_batches(split: CocoSplit) -> None:
    loader = build_loader(split, imgsz=64, batch_size=4)
    batches = list(loader)
    assert len(loader) == 3
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert [meta.image_id for batch in batches for meta in batch.metas] == [r.image_id for r in split.records]
    for batch in batches:
        assert batch.images.shape == (len(batch), 3, 64, 64)
        assert batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous()
        assert batch.targets.dtype == torch.float32
        assert batch.targets.shape[1] == 6
        for position, meta in enumerate(batch.metas):
            (record,) = [record for record in split.records if record.image_id == meta.image_id]
            mine = batch.targets[batch.targets[:, 0] == position]
            assert mine[:, 1].tolist() == record.labels.tolist()
            assert (mine[:, 2:] >= 0).all()
            assert (mine[:, 2:] <= 1).all()


def test_any_number_of_workers_gives_the_same_batches(split: CocoSplit) -> None:
    def two_epochs(workers: int) -> list[Batch]:
        loader = build_loader(
            split,
            imgsz=64,
            batch_size=4,
            augment=AUGMENT,
            shuffle=True,
            workers=workers,
            seed=7,
            cache="ram",
        )
        batches = []
        for epoch in (0, 1):
            loader.set_epoch(epoch)
            batches += list(loader)
        return batches

    alone = two_epochs(0)
    assert_equal(alone, two_epochs(1))
    assert_equal(alone, two_epochs(2))
    assert [m.image_id for b in alone[:3] for m in b.metas] != [m.image_id for b in alone[3:] for m in b.metas]


def test_epochs_and_seeds_differ_and_epochs_can_be_repeated(split: CocoSplit) -> None:
    loader = build_loader(split, imgsz=64, batch_size=4, augment={}, shuffle=True, seed=1)
    epochs = []
    for epoch in (5, 6, 5):
        loader.set_epoch(epoch)
        epochs.append(list(loader))
    assert_equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0][0].images, epochs[1][0].images)
    other = build_loader(split, imgsz=64, batch_size=4, augment={}, shuffle=True, seed=2)
    other.set_epoch(5)
    assert not torch.equal(epochs[0][0].images, next(iter(other)).images)


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"rect": True}, {"rect": True, "shuffle": True}])
def test_every_image_once_per_epoch(split: CocoSplit, options: dict[str, bool]) -> None:
    loader = build_loader(split, imgsz=64, batch_size=3, **options)
    seen = Counter(meta.image_id for batch in loader for meta in batch.metas)
    assert seen == Counter(record.image_id for record in split.records)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(480, 640)], (256, 320)),  # 0.75 * 10 -> 8 strides
        ([(640, 480)], (320, 256)),
        ([(640, 640)], (320, 320)),
        ([(100, 640), (480, 640)], (256, 320)),  # the tallest decides
        ([(640, 480), (480, 640)], (320, 320)),
        ([(2, 3000)], (32, 320)),
        ([(1, 1)], (320, 320)),
    ],
)
def test_shape_of_rectangular_batches(sizes: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    _, shapes = rectangular_shapes(fake_split(sizes), 320, 8, 32)
    assert {tuple(shape) for shape in shapes.tolist()} == {expected}


def test_rectangular_batches_hold_similar_shapes_and_the_whole_image(split: CocoSplit) -> None:
    loader = build_loader(split, imgsz=96, batch_size=3, rect=True)
    aspects = []
    for batch in loader:
        height, width = batch.images.shape[2:]
        assert height % 32 == width % 32 == 0
        for meta in batch.metas:
            aspects.append(meta.height / meta.width)
            assert meta.letterbox.input_hw == (height, width)
            assert max(meta.letterbox.resized_hw) == 96
    assert aspects == sorted(aspects)


def test_boxes_of_a_batch_lie_on_the_image(folder: Any) -> None:
    """A white object on black, through file, JSON, rectangular batch and back."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[30:90, 40:100] = 255
    folder.image(50, 120, 200, pixels)
    folder.box(50, 7, [40, 30, 60, 60])
    split = load_coco(*folder.write())
    for options in ({"rect": True}, {}):
        for batch in build_loader(split, imgsz=96, batch_size=2, **options):
            for position, meta in enumerate(batch.metas):
                if meta.image_id != 50:
                    continue
                height, width = batch.images.shape[2:]
                (target,) = batch.targets[batch.targets[:, 0] == position].numpy()
                cx, cy, w, h = target[2:] * [width, height, width, height]
                ys, xs = np.nonzero(batch.images[position, 0].numpy() > 200)
                found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                np.testing.assert_allclose(found, [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], atol=1)


def test_colours_are_rgb(folder: Any) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 2] = 200  # OpenCV writes BGR
    folder.image(50, 64, 64, red)
    split = load_coco(*folder.write())
    (batch,) = build_loader(split, imgsz=64, batch_size=8)
    image = batch.images[[meta.image_id for meta in batch.metas].index(50)]
    assert image.float().mean((1, 2)).tolist() == [200, 0, 0]


def test_no_targets_at_all(folder: Any) -> None:
    folder.document["annotations"] = []
    split = load_coco(*folder.write())
    for augment in (None, {}):
        (batch,) = build_loader(split, imgsz=64, batch_size=8, augment=augment)
        assert batch.targets.shape == (0, 6)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_broke_is_one_line(split: CocoSplit, workers: int) -> None:
    path = split.records[4].path
    path.write_bytes(path.read_bytes()[:-40])
    loader = build_loader(split, imgsz=64, batch_size=4, workers=workers, strict=True)
    with pytest.raises(DataError) as error:
        list(loader)
    assert str(error.value).startswith(f"{path}: the image is truncated")
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_spawned_workers(split: CocoSplit) -> None:
    loader = build_loader(split, imgsz=64, batch_size=5, augment=AUGMENT, workers=1, seed=3)
    loader.multiprocessing_context = "spawn"
    assert_equal(list(loader), list(build_loader(split, imgsz=64, batch_size=5, augment=AUGMENT, seed=3)))


def test_bccd(bccd: Path, cache_folder: Path) -> None:
    file = bccd / "annotations" / "instances_val.json"
    split = load_coco(file, bccd / "images" / "val")
    loader = build_loader(split, imgsz=320, batch_size=32, rect=True)
    batches = list(loader)
    assert sum(len(batch) for batch in batches) == len(split.records)
    assert sum(len(batch.targets) for batch in batches) == split.report.boxes - split.report.crowd
    # 640 x 480 at half size: each pixel is the mean of four
    image = read_image(split.records[0].path)
    halved = image.reshape(240, 2, 320, 2, 3).mean((1, 3))[..., ::-1].transpose(2, 0, 1)
    meta, pixels = batches[0].metas[0], batches[0].images[0].numpy()
    assert meta.image_id == split.records[0].image_id
    left, top = meta.letterbox.pad_left, meta.letterbox.pad_top
    assert np.abs(pixels[:, top : top + 240, left : left + 320] - halved).max() <= 1


def test_images_are_put_together_until_an_epoch(folder: Any) -> None:
    for number in range(20, 28):
        folder.image(number, 64, 64)
        folder.box(number, 7, [16, 16, 32, 32])
    split = load_coco(*folder.write())
    augment = {**AUGMENT, "mosaic": 1.0, "mixup": 1.0}
    loader = build_loader(split, imgsz=64, batch_size=16, augment=augment, mix_until=1)
    most = []
    for epoch in (0, 1, 2):
        loader.set_epoch(epoch)
        (batch,) = loader
        most.append(torch.bincount(batch.targets[:, 0].long()).max().item())
    assert most[0] > 2
    assert most[1:] == [2, 2], "one image of this set has two boxes, the others one or none"


def test_shuffling_is_the_seeded_permutation(split: CocoSplit) -> None:
    """The order follows from seed and epoch alone, by NumPy's generator: a resumed training sees the same batches."""
    ids = np.array([record.image_id for record in split.records])

    def order(epoch: int, **options: bool) -> list[list[int]]:
        loader = build_loader(split, imgsz=64, batch_size=4, seed=9, shuffle=True, **options)
        loader.set_epoch(epoch)
        return [[meta.image_id for meta in batch.metas] for batch in loader]

    for epoch in (0, 3):
        expected = ids[np.random.default_rng((9, epoch)).permutation(len(ids))].tolist()
        assert order(epoch) == [expected[start : start + 4] for start in range(0, len(ids), 4)]
    by_aspect, _ = rectangular_shapes(split, 64, 4, 32)
    for epoch in (0, 3):
        starts = np.random.default_rng((9, epoch)).permutation(np.arange(0, len(ids), 4))
        assert order(epoch, rect=True) == [ids[by_aspect[start : start + 4]].tolist() for start in starts]
