"""A network that predicts the truth: the truth must come out again, through letterbox and suppression."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from data.coco.records import load_coco
from data.loading.loader import build_loader
from engine.metrics.coco import CocoEvaluator
from engine.metrics.evaluate import evaluate
from models.heads.base import Predictions
from tests.places import BCCD

CPU = torch.device("cpu")
SIZES = ((61, 200), (200, 61), (100, 100), (37, 90), (150, 149))  # height, width


@pytest.fixture
def split(tmp_path):
    """Five pictures of various shapes, a crowd, an image without boxes, and ids that do not begin at 0 or 1."""
    images, annotations = [], []
    for number, (height, width) in enumerate(SIZES):
        name = f"{number}.png"
        cv2.imwrite(str(tmp_path / name), np.full((height, width, 3), 40 * number, np.uint8))
        images.append({"id": 900 - number, "file_name": name, "height": height, "width": width})
        boxes = [(9, 7.5, 17, 20.25), (0, 0, 13, 11)] if number != 2 else []
        for k, box in enumerate(boxes):
            annotations.append({"image_id": 900 - number, "category_id": (7, 3)[k], "bbox": box})
    annotations.append({"image_id": 896, "category_id": 7, "bbox": (60, 60, 80, 80), "iscrowd": 1})
    content = {
        "images": images,
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations)],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return load_coco(path, tmp_path, cache=False)


class Oracle(nn.Module):
    """Predicts the targets of the batch that its loader handed out last."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.num_classes = num_classes
        self.targets = torch.zeros(0, 6)
        self.seen = []

        self.head = SimpleNamespace(decode=self.decode, needs_suppression=True)

    def logits(self, images):
        features = self.conv(images)
        self.seen.append((images, features.dtype, self.training, self.norm.training))
        return [features]

    def decode(self, logits):
        images = self.seen[-1][0]
        height, width = images.shape[2:]
        rows = max(len(self.targets), 1)
        boxes, scores = torch.zeros(len(images), rows, 4), torch.zeros(len(images), rows, self.num_classes)
        for row, (image, label, cx, cy, w, h) in enumerate(self.targets.tolist()):
            sides = torch.tensor([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
            boxes[int(image), row] = sides * torch.tensor([width, height, width, height])
            scores[int(image), row, int(label)] = 0.81
        return Predictions(boxes, scores)


def whispering(loader, model):
    for batch in loader:
        model.targets = batch.targets
        yield batch


def run(split, model=None, *, imgsz=96, batch_size=2, rect=True, **options):
    model = model or Oracle(len(split.classes))
    loader = build_loader(split, imgsz=imgsz, batch_size=batch_size, rect=rect)
    options = {"device": CPU, **options}
    return evaluate(model, whispering(loader, model), CocoEvaluator(split), **options), model


@pytest.mark.parametrize("rect", [False, True])
@pytest.mark.parametrize("imgsz", [96, 352])
def test_the_truth_comes_back_with_its_ids_and_in_original_pixels(split, rect, imgsz):
    result, _ = run(split, rect=rect, imgsz=imgsz)
    assert result.metrics.ap == pytest.approx(1)
    expected = {}
    for record in split.records:
        for (x1, y1, x2, y2), label, crowd in zip(record.boxes_xyxy, record.labels, record.crowd, strict=True):
            if not crowd:
                expected[record.image_id, split.classes.ids[label]] = [x1, y1, x2 - x1, y2 - y1]
    found = {(d["image_id"], d["category_id"]): d["bbox"] for d in result.detections}
    assert found.keys() == expected.keys()
    assert {image for image, _ in found} == {900, 899, 897, 896}
    for key, box in expected.items():
        assert found[key] == pytest.approx(box, abs=1e-3)
    assert json.loads(json.dumps(result.detections)) == result.detections


def test_confusion_matrix_samples_and_timings(split):
    result, _ = run(split, keep_batches=2)
    assert result.confusion.counts.tolist() == [[4, 0, 0], [0, 4, 0], [0, 0, 0]]
    assert len(result.samples) == 2
    for sample in result.samples:
        assert [len(boxes) for boxes in sample.predictions] == sample.batch.targets[:, 0].long().bincount(
            minlength=2
        ).tolist()
    assert set(result.speed_ms) == {"pre-process", "inference", "NMS"}
    assert all(ms > 0 for ms in result.speed_ms.values())
    assert result.speed_line().startswith("Speed: ")


def test_images_are_channels_last_floats_in_0_to_1(split):
    _, model = run(split)
    for images, dtype, _, _ in model.seen:
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.dtype == dtype == torch.float32
        assert images.min() >= 0
        assert 0.05 < images.max() <= 1


def test_precision_is_that_of_autocast_and_weights_stay(split):
    result, model = run(split, precision=torch.bfloat16)
    assert {dtype for _, dtype, _, _ in model.seen} == {torch.bfloat16}
    assert model.conv.weight.dtype == torch.float32
    assert result.metrics.ap == pytest.approx(1)


def test_losses_are_means_over_images(split):
    calls = []

    def criterion(logits, targets):
        calls.append(len(logits[0]))
        assert logits[0].dtype == torch.float32
        assert targets.boxes.shape[1] == 6
        assert targets.input_hw[0] % 32 == targets.input_hw[1] % 32 == 0
        return {name: torch.tensor(value) * len(calls) for name, value in (("one", 1.0), ("two", 2.0), ("three", 3.0))}

    result, _ = run(split, criterion=criterion, precision=torch.bfloat16)
    assert calls == [2, 2, 1]
    mean = (2 * 1 + 2 * 2 + 1 * 3) / 5
    assert result.losses == pytest.approx({"one": mean, "two": 2 * mean, "three": 3 * mean})
    assert run(split)[0].losses == {}


@pytest.mark.parametrize("fails", [False, True])
def test_every_module_returns_to_its_mode(split, fails):
    model = Oracle(2)
    model.train()
    model.norm.eval()

    def criterion(logits, targets):
        raise RuntimeError("stop")

    if fails:
        with pytest.raises(RuntimeError, match="stop"):
            run(split, model, criterion=criterion)
    else:
        run(split, model)
    assert {(training, norm) for _, _, training, norm in model.seen} == {(False, False)}
    assert (model.training, model.conv.training, model.norm.training) == (True, True, False)


def test_predictions_in_the_grey_border_are_no_detections(split):
    class Border(Oracle):
        def decode(self, logits):
            boxes, scores = super().decode(logits)
            stray = torch.tensor([0.0, 0.0, 2.0, 2.0, 0.98, 0.0]).expand(len(boxes), 1, 6)
            return Predictions(torch.cat((boxes, stray[..., :4]), 1), torch.cat((scores, stray[..., 4:]), 1))

    result, _ = run(split, Border(2), rect=False, imgsz=96)
    # the square picture (900 - 2) fills its input; in the others the corner is border, or picture for a part of a pixel
    with_area = {d["image_id"] for d in result.detections if d["score"] > 0.95}
    assert 898 in with_area
    assert not {900, 899, 897} & with_area
    assert all(min(d["bbox"][2:]) > 0 for d in result.detections)


def test_every_class_of_a_box_above_the_threshold_counts(split):
    """AP wants them all: a box that is a cat and, less likely, a dog makes two detections."""

    class TwoMinds(Oracle):
        def decode(self, logits):
            boxes, scores = super().decode(logits)
            return Predictions(boxes, torch.where(scores > 0, scores, 0.3 * scores.amax(2, keepdim=True)))

    boxes = len(run(split)[0].detections)
    result, _ = run(split, TwoMinds(2))
    assert len(result.detections) == 2 * boxes
    scores = sorted({round(detection["score"], 4) for detection in result.detections})
    assert scores == pytest.approx([0.3 * 0.81, 0.81], abs=1e-3)
    # What a person sees is one box.
    assert sum(len(boxes) for sample in result.samples for boxes in sample.predictions) == boxes


def test_what_a_person_sees_is_above_a_quarter(split):
    """Pictures and confusion matrix show what detect.py would draw, the figures count everything."""

    class Shy(Oracle):
        def decode(self, logits):
            boxes, scores = super().decode(logits)
            return Predictions(boxes, 0.3 * scores)

    result, _ = run(split, Shy(2))
    assert len(result.detections) == 8
    assert sum(len(boxes) for sample in result.samples for boxes in sample.predictions) == 0
    assert result.confusion.counts[:, :-1].sum() == 0


@pytest.mark.slow
@pytest.mark.skipif(not BCCD.is_dir(), reason="shared/datasets/bccd is not here")
def test_the_truth_of_real_annotations_scores_as_such():
    split = load_coco(BCCD / "annotations" / "instances_val.json", BCCD / "images" / "val", cache=False)
    result, _ = run(split, imgsz=320, batch_size=32)
    # one annotation has no area: it is no part of the truth, but of the file
    assert result.metrics.figures["AR100"] == pytest.approx(1, abs=2e-3)
    assert CocoEvaluator(split, as_filed=True).measure(result.detections).figures["AR100"] == pytest.approx(
        (967 / 968 + 2) / 3, abs=2e-3
    )
    assert result.metrics.ap > 0.99
    assert result.confusion.counts[:-1].trace() >= 1130


def test_a_head_that_needs_no_suppression_gets_none(split):
    class Twice(Oracle):
        def decode(self, logits):
            boxes, scores = super().decode(logits)
            return Predictions(torch.cat((boxes, boxes), 1), torch.cat((scores, scores), 1))

    counts = []
    for needs_suppression in (True, False):
        model = Twice(2)
        model.head.needs_suppression = needs_suppression
        counts.append(len(run(split, model)[0].detections))
    assert counts == [8, 16]


def test_a_damaged_picture_counts_as_one_without_detections(split):
    """The network sees grey there, and whatever it finds in it is nothing."""
    file = split.records[0].path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)

    class Everywhere(Oracle):
        def decode(self, logits):
            count = len(self.seen[-1][0])
            return Predictions(torch.tensor([[[1.0, 1, 30, 30]]]).expand(count, 1, 4), torch.full((count, 1, 2), 0.9))

    result, _ = run(split, Everywhere(2), keep_batches=9)
    assert {d["image_id"] for d in result.detections} == {899, 898, 897, 896}
    assert result.metrics.images == 5
    assert result.confusion.counts[:, -1].sum() + result.confusion.counts[-1].sum() >= 2, "its two boxes are missed"
    for sample in result.samples:
        for meta, boxes in zip(sample.batch.metas, sample.predictions, strict=True):
            assert bool(len(boxes)) != meta.damaged
