"""ultralytics' checkpoints: what they may name beyond YOLOv5's runs no code, and what is damaged is one line."""

from __future__ import annotations

import datetime
import os
import types
from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models import build_model
from models.errors import WeightsError
from models.weights.load import load_detector
from models.weights.source import load_source
from tests.models.weights import ultralytics_files as files
from tests.models.weights.test_foreign_refused import Calls
from tests.models.weights.ultralytics_files import TINY

NAMES = ["cat", "dog"]


class CalledCalls(Calls):
    """Pickles as a call, and as something that can be called."""

    def __call__(self) -> None: ...


def _content(classes: files.Classes, **attributes: Any) -> dict[str, Any]:
    model = files.described(files.mirrored(build_model(TINY), classes, "DetectionModel"), TINY, NAMES)
    for name, value in attributes.items():
        setattr(model, name, value)
    return files.stripped(model)


@pytest.mark.parametrize(
    "kind", ["namespace", "getattr of a function", "getattr of a container", "constant called", "method called"]
)
def test_what_would_run_code_is_refused(kind: str, tmp_path: Path) -> None:
    classes, ran = files.Classes(), tmp_path / "ran"
    namespace = classes("IterableSimpleNamespace", types.SimpleNamespace)
    conv = classes("Conv")
    conv.forward_fuse = lambda self, x: x
    evil = {
        "namespace": Calls(namespace, str(ran)),
        "getattr of a container": Calls(getattr, dict, "fromkeys"),
        "constant called": Calls(CalledCalls(getattr, conv, "forward_fuse"), str(ran)),
        "getattr of a function": Calls(getattr, torch._utils._rebuild_tensor_v2, "__globals__"),
        "method called": Calls(CalledCalls(getattr, conv(), "forward_fuse"), str(ran)),
    }[kind]
    path = classes.save(_content(classes, args=evil), tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match=r"evil\.pt: (it is not loaded, since it might|not a checkpoint)") as caught:
        load_source(path)
    assert "\n" not in str(caught.value)


def test_what_models_keep_beside_their_weights_is_harmless(tmp_path: Path) -> None:
    """Methods of objects and constants of classes, which are looked up by name."""
    classes = files.Classes()
    conv = classes("Conv")
    conv.forward_fuse = lambda self, x: x
    looked_up = [Calls(getattr, conv, "forward_fuse"), Calls(getattr, conv(), "forward_fuse")]
    assert load_source(classes.save(_content(classes, callbacks=looked_up), tmp_path / "a.pt")).state


KEPT: dict[str, Any] = {
    "defaultdict": defaultdict(list, a=[1]),
    "Counter": Counter("ab"),
    "deque": deque([1, 2], 3),
    "datetime": datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc),
    "timedelta": datetime.timedelta(1),
    "builtins": [slice(1), range(2), 1j, bytearray(b"a"), int, float, str],
}


@pytest.mark.parametrize("kind", sorted(KEPT))
def test_plain_values_beside_the_weights_are_harmless(kind: str, tmp_path: Path) -> None:
    classes = files.Classes()
    content = {**_content(classes, callbacks=KEPT[kind]), "extra": KEPT[kind]}
    assert load_source(classes.save(content, tmp_path / "a.pt")).state


def test_tensors_may_have_attributes(tmp_path: Path) -> None:
    classes = files.Classes()
    content = _content(classes)
    without = load_source(classes.save(content, tmp_path / "a.pt")).state
    for parameter in content["model"].parameters():
        parameter.rule = "muon"
    content["model"].model[0].bn.running_mean.rule = "none"
    state = load_source(classes.save(content, tmp_path / "b.pt")).state
    assert state.keys() == without.keys()
    assert all(torch.equal(state[key], without[key]) for key in state)


def test_other_ways_to_rebuild_a_tensor_are_refused(tmp_path: Path) -> None:
    classes = files.Classes()
    evil = Calls(torch._tensor._rebuild_from_type_v2, classes("Conv"), torch.Tensor, (1,), {})
    path = classes.save(_content(classes, args=evil), tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="it makes a tensor in an unknown way"):
        load_source(path)


def test_nothing_of_the_options_runs(tmp_path: Path) -> None:
    classes, ran = files.Classes(), tmp_path / "ran"
    options = classes("IterableSimpleNamespace", types.SimpleNamespace)(imgsz=Calls(os.mkdir, str(ran)))
    with pytest.raises(WeightsError, match=r"it names posix\.mkdir"):
        load_source(classes.save(_content(classes, args=options), tmp_path / "evil.pt"))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ({"yaml": None}, "does not say which architecture it is for; name it with --cfg"),
        ({"yaml": {**TINY, "scale": "q"}}, "its configuration cannot be built here"),
        ({"yaml": {**TINY, "scales": torch.ones(2)}}, "its configuration cannot be built here"),
        ({"yaml": {**TINY, "reg_max": 10**30}}, "its configuration cannot be built here"),
        ({"yaml": {**TINY, "scale": "s"}}, "its weights do not fit its configuration"),
        ({"names": {0: "cat", "b": "dog"}}, "holds no weights of a detector (2 classes have names, but none has the "),
        ({"names": {0: "cat", 2: "dog"}}, "holds no weights of a detector (2 classes have names, but none has the "),
        ({"names": ["cat"]}, "its weights do not fit its configuration (it has the names of 1 classes, and its "),
        ({"names": {0: nn.Identity(), 1: "dog"}}, "holds no weights of a detector"),
        ({"args": {"imgsz": 10**9}}, "holds no weights of a detector"),
    ],
)
def test_what_is_wrong_beside_the_weights_is_one_line(attributes: dict[str, Any], line: str, tmp_path: Path) -> None:
    classes = files.Classes()
    content = {**_content(classes, **attributes), "train_args": None}
    path = classes.save(content, tmp_path / "a.pt")
    with pytest.raises(WeightsError) as caught:
        load_detector(path)
    assert str(caught.value).startswith(f"{path}: {line}")
    assert "\n" not in str(caught.value)
