"""The stages together: their hyperparameters, their order, and a further one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import Field

from data.augment import (
    Augmentation,
    Pipeline,
    Sample,
    check_hyperparameters,
    hyperparameter_fields,
    hyperparameter_names,
    register_augmentation,
)
from data.augment import base as registry
from data.augment.affine import Affine
from data.augment.flip import FlipLeftRight, FlipUpDown
from data.augment.hsv import Hsv
from data.augment.mixup import MixUp
from data.augment.mosaic import Mosaic
from data.errors import DataError
from tests.data.augment.pools import OneColour


def test_yolov5_keys_and_their_defaults() -> None:
    values = check_hyperparameters({})
    assert set(values) == set(hyperparameter_names())
    defaults = {
        "hsv_h": 0.015,
        "hsv_s": 0.7,
        "hsv_v": 0.4,
        "degrees": 0.0,
        "translate": 0.1,
        "scale": 0.5,
        "shear": 0.0,
    }
    defaults |= {"perspective": 0.0, "flipud": 0.0, "fliplr": 0.5, "mosaic": 1.0, "mixup": 0.0}
    assert {key: values.get(key) for key in defaults} == defaults
    assert hyperparameter_fields()["fliplr"].default == 0.5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"flip_lr": 0.5}, ["'flip_lr'", "did you mean 'fliplr'?"]),
        ({"zzz": 1}, ["'zzz'", "known are"]),
        ({"fliplr": 1.5}, ["fliplr: 1.5", "must be at most 1"]),
        ({"mosaic": -0.1}, ["mosaic: -0.1", "must be at least 0"]),
        ({"degrees": "many"}, ["degrees: 'many'", "number"]),
        ({"scale": float("nan")}, ["scale: nan"]),
        ({"translate": None}, ["translate: None"]),
    ],
)
def test_wrong_hyperparameters(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        check_hyperparameters(values)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_order_of_the_stages() -> None:
    kinds = [type(stage) for stage in Pipeline.build({}).stages]
    assert kinds == [Mosaic, Affine, MixUp, Hsv, FlipUpDown, FlipLeftRight]


def test_a_new_augmentation_is_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_AUGMENTATIONS", list(registry._AUGMENTATIONS))

    @register_augmentation
    class Black(Augmentation):
        after: ClassVar[str] = "MixUp"
        black: float = Field(default=0.0, ge=0, le=1)

        def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
            return replace(sample, image=sample.image * 0) if rng.random() < self.black else sample

    @register_augmentation
    class Last(Augmentation):
        last: float = 0.0

        def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
            return sample

    assert check_hyperparameters({"black": 1})["black"] == 1
    kinds = [type(stage) for stage in Pipeline.build({"black": 1, "last": 0}).stages]
    assert kinds == [Mosaic, Affine, MixUp, Black, Hsv, FlipUpDown, FlipLeftRight, Last]
    assert not {Black, Last} & {type(stage) for stage in Pipeline.build({}).stages}, "it is in nobody else's recipe"
    assert check_hyperparameters({}).keys() == hyperparameter_fields().keys() - {"black", "last"}
    sample = OneColour(64).make((64, 64), np.random.default_rng(0))
    assert not Pipeline.build({"black": 1, "mosaic": 0, "translate": 0, "scale": 0})(
        sample, np.random.default_rng(0)
    ).image.any()
    with pytest.raises(ValueError, match="black"):

        @register_augmentation
        class Again(Augmentation):
            black: float = 0.0


def test_no_boxes() -> None:
    sample = replace(
        OneColour(64).make((64, 40), np.random.default_rng(0)),
        boxes_xyxy=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
    )
    out = Pipeline.build({"degrees": 10, "perspective": 0.001, "mosaic": 0, "flipud": 1})(
        sample, np.random.default_rng(0)
    )
    assert out.boxes_xyxy.shape == (0, 4)
    assert out.labels.shape == (0,)


def test_mosaic_and_warp_together() -> None:
    """After the whole way to the input, boxes still lie on white."""
    pipeline = Pipeline.build({"mosaic": 1, "hsv_h": 0, "hsv_s": 0, "hsv_v": 0, "flipud": 0.5})
    pool, seen = OneColour(128), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sample = pipeline(pool.draw(rng), rng)
        assert sample.image.shape == (128, 128, 3)
        for left, top, right, bottom in sample.boxes_xyxy.round().astype(int):
            inner = sample.image[top + 1 : bottom - 1, left + 1 : right - 1]
            assert inner.size == 0 or inner.mean() > 250
            seen += 1
    assert seen > 20
