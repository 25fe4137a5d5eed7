"""TorchScript: a file that says what it is runs as torch does; a program that does more than detect is not loaded."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.backends import open_backend
from engine.backends.metadata import FILE, Metadata
from engine.backends.torchscript_archive import archive_of, on_device, read_archive, records_of
from engine.errors import EngineError

CPU = torch.device("cpu")
METADATA = Metadata(names=("cat", "dog"), ids=(3, 5), imgsz=(64, 96), batch=2, stride=32)
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


class Means(nn.Module):
    """One box, always the same, and the means of two channels as scores."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        boxes = torch.arange(4, device=images.device).expand(images.shape[0], 1, 4) * 8.0
        return boxes, images.mean((2, 3))[:, None, :2]


class Saves(nn.Module):
    """What a stranger may write: torch.jit runs it."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        torch.save(images, self.file)
        return images, images


class Maps(nn.Module):
    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_file(self.file, shared=True, size=16)


def write(file: Path, module: nn.Module, metadata: Metadata | None = METADATA, *, script: bool = False) -> Path:
    example = torch.rand(2, 3, 64, 96)
    program = torch.jit.script(module) if script else torch.jit.trace(module, example, check_trace=False)
    torch.jit.save(program, file, _extra_files={FILE: metadata.as_yaml()} if metadata else {})
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "net.torchscript", Means())


def test_it_runs_as_torch_does(file: Path) -> None:
    backend = open_backend(file, device=CPU)
    assert (backend.classes.names, backend.classes.ids) == (("cat", "dog"), (3, 5))
    assert (backend.imgsz, backend.stride, backend.fixed_hw, backend.needs_suppression) == (96, 32, (64, 96), True)
    images = torch.randint(0, 256, (5, 3, 64, 96), dtype=torch.uint8, generator=torch.manual_seed(0))
    boxes, scores = backend(images)
    assert boxes.tolist() == [[[0, 8, 16, 24]]] * 5
    torch.testing.assert_close(scores, Means()(images / 255)[1])


def test_a_file_in_float16_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "net.torchscript", Means(), METADATA.model_copy(update={"precision": "fp16"}))
    assert open_backend(path, device=CPU).dtype == torch.float16


def test_what_torch_would_run_is_not_loaded(tmp_path: Path) -> None:
    written = tmp_path / "written"
    path = write(tmp_path / "net.torchscript", Saves(str(written)), script=True)
    torch.jit.load(path)(torch.rand(1, 3, 64, 96))
    assert written.exists()  # torch alone writes the file
    written.unlink()
    with pytest.raises(EngineError, match=r"net\.torchscript: it is not loaded.* names save; export it again"):
        open_backend(path, device=CPU)
    assert not written.exists()


def test_files_are_not_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "net.torchscript", Maps(str(tmp_path / "mapped")), script=True)
    with pytest.raises(EngineError, match="names from_file"):
        open_backend(path, device=CPU)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (b'getattr(torch, "add")(x)', "torch"),
        (b"getattr(__torch__.torch, 'classes')", "torch"),
        (b"torch . classes.thing.Thing()", "torch . classes"),
        (b"ops.image.read_jpeg(x)", "ops.image.read_jpeg"),
        (b"y = ops", "ops"),
        (b"ops.prim.PythonOp(x)", "PythonOp"),
        (b"def __setstate__(self): pass", "__setstate__"),
        (b'getattr(x, "\\x73ave")', "letters in code/net.py that no trace has"),
        ("s\N{COMBINING CEDILLA}".encode(), "letters in code/net.py that no trace has"),
        (b"x.save(y)", "save"),
    ],
)
def test_programs_that_are_no_traces(file: Path, code: bytes, found: str) -> None:
    records = read_archive(file)
    file.write_bytes(archive_of({**records, "code/net.py": code}))
    with pytest.raises(EngineError) as raised:
        open_backend(file, device=CPU)
    line = f"it is not loaded, since its program might do more than detect: it names {found}; export it again from its"
    assert str(raised.value) == f"{file}: {line} checkpoint"


def test_names_that_only_look_alike(file: Path) -> None:
    harmless = b"stops = torch.add(saved, ops.prim.NumToTensor(x))\nself.safe.forward(__torch__.torch.nn.x)\n"
    file.write_bytes(archive_of({**read_archive(file), "code/net.py": harmless}))
    assert read_archive(file)["code/net.py"] == harmless


def test_classes_of_other_libraries(file: Path) -> None:
    records = read_archive(file)
    file.write_bytes(archive_of({**records, "other.pkl": b"c__torch__.torch.classes.other\nThing\n"}))
    with pytest.raises(EngineError, match=r"it names torch\.classes"):
        open_backend(file, device=CPU)


def packed(records: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, content in records.items():
            archive.writestr(f"net/{name}", content)
    return buffer.getvalue()


def without(file: Path, name: str) -> bytes:
    return archive_of({key: value for key, value in read_archive(file).items() if key != name})


def test_bytes_that_are_no_torchscript(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    zeros = {f"{number}.py": bytes(1 << 25) for number in range(3)}
    cases = {
        b"": "damaged, or not TorchScript; export it again",
        b"nonsense": "damaged, or not TorchScript",
        whole[: len(whole) // 2]: "damaged, or not TorchScript",
        packed({"data.txt": b"1"}): "not TorchScript; give what",
        packed(zeros, compression=zipfile.ZIP_DEFLATED): "damaged, or not TorchScript",
        without(file, "constants.pkl"): "not TorchScript; give what",
        archive_of({**read_archive(file), "model.json": b"{}"}): "not TorchScript; give what",
        without(file, "extra/metadata.yaml"): "holds no metadata.yaml",
        archive_of({**read_archive(file), "data.pkl": b"\x80\x02K\x01."}): "damaged, or of another torch",
        archive_of({**read_archive(file), "extra/metadata.yaml": b"names: ["}): "line 1",
        archive_of({**read_archive(file), "extra/metadata.yaml": b"names: [a]"}): "its metadata: ",
    }
    for content, message in cases.items():
        (tmp_path / "bad.torchscript").write_bytes(content)
        with pytest.raises(EngineError) as raised:
            open_backend(tmp_path / "bad.torchscript", device=CPU)
        assert str(raised.value).startswith(f"{tmp_path}/bad.torchscript")
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_checkpoint_is_none(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "net.torchscript")
    with pytest.raises(EngineError, match="not TorchScript"):
        open_backend(tmp_path / "net.torchscript", device=CPU)


def test_what_is_written_has_no_paths_and_no_pictures(file: Path) -> None:
    folder = str(Path(__file__).parent).encode()
    assert any(folder in content for content in records_of(file).values())  # torch alone writes them
    clean = archive_of(records_of(file))
    assert folder not in clean
    assert not any("traced_inputs" in name for name in records_of(io.BytesIO(clean)))
    file.write_bytes(clean)
    images = torch.rand(2, 3, 64, 96)
    np.testing.assert_allclose(open_backend(file, device=CPU)(images).scores, Means()(images)[1], rtol=1e-6)


def test_on_another_device(file: Path) -> None:
    assert any(b'device=torch.device("cpu")' in content for content in read_archive(file).values())
    moved = on_device(read_archive(file), "meta")
    network = torch.jit.load(io.BytesIO(archive_of(moved)))
    assert network(torch.rand(2, 3, 64, 96))[0].device.type == "meta"
