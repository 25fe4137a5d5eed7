"""YOLOv5's pickled checkpoints: what would run code is refused, and nothing runs; so is what is damaged."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from models.errors import WeightsError
from models.weights.source import load_source
from models.weights.unpickling import StandIn, read_foreign
from tests.models.weights.foreign_network import make_network, save_foreign
from tests.places import ROOT


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self.reduced


def _marker(tmp_path: Path) -> Path:
    return tmp_path / "ran"


def _evil(kind: str, foreign: Any, tmp_path: Path) -> Any:
    command = f"open({str(_marker(tmp_path))!r}, 'w')"
    shell = Calls(os.system, f"touch {_marker(tmp_path)}")
    network = make_network(foreign)
    if kind == "nested in a module":
        network.model[0].hidden = [{"deep": shell}]
        return network
    if kind == "forward hook":
        network._forward_hooks = OrderedDict({0: shell})
        return network
    inner = io.BytesIO()
    torch.save(shell, inner)
    return {
        "os.system": shell,
        "eval": Calls(eval, command),
        "exec": Calls(exec, command),
        "subprocess": Calls(subprocess.call, ["touch", str(_marker(tmp_path))]),
        "getattr": Calls(getattr, shell, "x"),
        "torch loader inside": Calls(torch.storage._load_from_bytes, inner.getvalue()),
        "foreign class called": Calls(foreign.Conv, shell),
        "foreign class called without arguments": Calls(foreign.Conv),
        "state": Calls(OrderedDict, state={"__setstate__": shell}),
        "numpy runs": Calls(np.testing.measure, command),
        "torch hub": Calls(torch.hub.load, "a/b", "c"),
    }[kind]


EVIL = (
    "os.system",
    "eval",
    "exec",
    "subprocess",
    "getattr",
    "torch loader inside",
    "foreign class called",
    "foreign class called without arguments",
    "state",
    "numpy runs",
    "torch hub",
    "nested in a module",
    "forward hook",
)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", EVIL)
def test_what_would_run_code_is_refused(
    kind: str, legacy: bool, foreign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Under "ema" too, where the file starts with a good model.
    content = {"model": make_network(foreign), "ema": _evil(kind, foreign, tmp_path)}
    path = save_foreign(content, tmp_path / "evil.pt", monkeypatch, legacy)
    with pytest.raises(WeightsError, match=r"evil\.pt: it is not loaded, since it might run code: it ") as caught:
        load_source(path)
    assert "\n" not in str(caught.value)
    assert not _marker(tmp_path).exists()
    assert "models.yolo" not in sys.modules


def test_the_evil_files_are_evil(foreign: Any, tmp_path: Path) -> None:
    """Read by plain pickle they do what the test above says that they did not."""
    for kind in ("os.system", "eval", "nested in a module"):
        pickle.loads(pickle.dumps(_evil(kind, foreign, tmp_path)))  # noqa: S301
        assert _marker(tmp_path).exists(), kind
        _marker(tmp_path).unlink()


def test_torch_functions_cannot_be_changed(foreign: Any, tmp_path: Path) -> None:
    """A pickle may set attributes on what it got by name; on torch's own functions it must not."""
    before = torch._utils._rebuild_tensor_v2.__defaults__
    data = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__K\x01\x85s\x86b."
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(WeightsError, match=r"a\.pt"):
        read_foreign(tmp_path / "a.pt")
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


def test_formats_with_other_readers_are_refused(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(1, 1)).save(tmp_path / "script.pt")
    with tarfile.open(tmp_path / "tar.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    for name, reason in (("script.pt", "TorchScript"), ("tar.pt", "tar archive")):
        with pytest.raises(WeightsError, match=reason):
            read_foreign(tmp_path / name)
        with pytest.raises(WeightsError, match=name) as caught:
            load_source(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_truncated(share: float, foreign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_foreign({"model": make_network(foreign)}, tmp_path / "a.pt", monkeypatch)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(WeightsError, match=r"a\.pt: .*damaged") as caught:
        load_source(path)
    assert "\n" not in str(caught.value)


def test_a_module_that_contains_itself() -> None:
    from models.weights.unpickling import module_content

    module = StandIn.__new__(StandIn)
    module.__setstate__({"_modules": {"again": module}})
    with pytest.raises(ValueError, match="contains itself"):
        module_content(module)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train.py", "val.py", "detect.py"])
def test_scripts_refuse_in_one_line(script: str, tmp_path: Path) -> None:
    torch.save({"model": Calls(os.system, f"touch {_marker(tmp_path)}")}, tmp_path / "evil.pt")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    source = ["--source", tmp_path / "a.png"] if script == "detect.py" else []
    done = subprocess.run(
        [sys.executable, ROOT / script, "--weights", tmp_path / "evil.pt", *source, "--project", tmp_path / "runs"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'evil.pt'}: it is not loaded, since it might run code: ")
    assert done.stderr.count("\n") == 1
    assert not _marker(tmp_path).exists()
    assert not (tmp_path / "runs").exists()


def test_a_text_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pt"
    path.write_text("nc: 2\ndepth_multiple: 0.33\n", encoding="utf-8")
    with pytest.raises(WeightsError) as caught:
        load_source(path)
    assert str(caught.value) == f"{path}: not a checkpoint, or damaged (it is no file of torch.save); get it again"
