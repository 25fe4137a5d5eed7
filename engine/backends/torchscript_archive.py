"""TorchScript files as archives: what lies in them, and whether it is no more than a network.

A TorchScript file holds a program, which torch compiles and runs. torch has no gate there: such a program can write
files by `torch.save`, map them by `torch.from_file`, and run while it is loaded. What `export.py` writes are traces:
assignments that call operators. So a file is handed on to torch only if its program names nothing else; and torch gets
a copy of what was looked at, so that nothing depends on how each reads archives.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from engine.errors import EngineError

METADATA = "extra/metadata.yaml"

MAX_UNFOLDED = 1 << 26
"""Bytes of all that is compressed in an archive, its program; a large network's has two million."""

Records = Mapping[str, bytes]
"""Content of an archive by name, without the folder that all lie in."""

_UNUSED = (".debug_pkl", "traced_inputs.pkl")  # paths of the author's machine; an input of zeros
_UNUSED_FOLDER = "traced_inputs/"
_NAMESPACES = frozenset({"aten", "prim", "torchvision"})
_FORBIDDEN = re.compile(
    # operators that touch files, run Python, start work elsewhere; what runs while a file is loaded; classes of C++
    r"\b(?:save|from_file|read_file|write_file|PythonOp|IgnoredPythonOp|rpc_\w+|fork|awaitable\w*|__setstate__"
    r"|__getstate__|__del__)\b|\btorch\s*\.\s*classes\b"
    # a name space that something else than a dot follows, such as `getattr`
    r"|\b(?:torch|__torch__)\b(?!\s*\.)"
)
_OPERATOR = re.compile(r"\bops\b(?:\s*\.\s*(\w+)\s*\.\s*\w+)?")
_PLAIN = re.compile(r"[\t\n\x20-\x7e]*")


def read_archive(file: Path) -> dict[str, bytes]:
    """What lies in a TorchScript file.

    Raises:
        EngineError: it is none, it is damaged, or its program names more than a network needs.
    """
    try:
        records = records_of(file)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeError):
        raise EngineError(f"{file}: damaged, or not TorchScript; export it again") from None
    except OSError as error:
        raise EngineError(f"{file}: cannot be read ({error.strerror}); check the path and its permissions") from None
    if not {"constants.pkl", "data.pkl", "version"} <= records.keys() or "model.json" in records:
        raise EngineError(f"{file}: not TorchScript; give what export.py --include torchscript wrote")
    for name, content in records.items():
        found = _not_of_networks(name, content)
        if found:
            raise EngineError(
                f"{file}: it is not loaded, since its program might do more than detect: it names {found}; export it "
                "again from its checkpoint"
            )
    return records


def records_of(archive: Path | io.BytesIO) -> dict[str, bytes]:
    """What lies in an archive that torch wrote.

    Raises:
        BadZipFile: it is none, or unfolds to more than a program needs.
    """
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        if sum(entry.file_size for entry in entries if entry.compress_type) > MAX_UNFOLDED:
            raise zipfile.BadZipFile
        records = {entry.filename.partition("/")[2]: file.read(entry) for entry in entries}
    if len(records) < len(entries):
        raise zipfile.BadZipFile  # two of a name
    return records


def archive_of(records: Records) -> bytes:
    """An archive of these contents, as torch reads it; what only serves debugging is left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in records.items():
            if not name.endswith(_UNUSED) and not name.startswith(_UNUSED_FOLDER):
                compression = zipfile.ZIP_DEFLATED if _is_code(name) else zipfile.ZIP_STORED
                archive.writestr(zipfile.ZipInfo(f"network/{name}"), content, compression)
    return buffer.getvalue()


def on_device(records: Records, device: str) -> dict[str, bytes]:
    """The same network, with the tensors that it makes itself on another device: a trace has the CPU written in."""
    old, new = b'torch.device("cpu")', f'torch.device("{device}")'.encode()
    return {name: content.replace(old, new) if _is_code(name) else content for name, content in records.items()}


def _is_code(name: str) -> bool:
    return name.endswith(".py")


def _not_of_networks(name: str, content: bytes) -> str:
    """What of a record no network needs; '' for nothing."""
    if name.endswith(".pkl"):
        return "torch.classes" if b"torch.classes" in content else ""
    if not _is_code(name):
        return ""
    text = content.decode("latin-1")
    if not _PLAIN.fullmatch(text) or "\\" in text:
        return f"letters in {name} that no trace has"
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        return forbidden[0]
    others = (use for use in _OPERATOR.finditer(text) if use[1] not in _NAMESPACES)
    return next((" ".join(use[0].split()) for use in others), "")
