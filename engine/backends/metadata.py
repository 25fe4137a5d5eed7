"""What an exported file says of itself: all that is needed to use it.

The texts of `as_texts` go where a format keeps texts by key (ONNX), `as_yaml` into a `metadata.yaml` for the others.
Keys that other programs write as well (`names`, `stride`, `imgsz`, `batch`, `task`) have the same form here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from importlib import metadata as packages
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.errors import EngineError
from files.classes import Classes
from files.places import CONFIGS
from files.problems import first_problem
from files.strict_yaml import parse_yaml, read_yaml

FILE = "metadata.yaml"
"""Its name in a folder, and beside a file the ending that replaces the file's own."""

PRODUCER = "saconv-yolo"
_FORM = "it is what export.py writes beside a network"
_ROOT = CONFIGS.parent
LETTERBOX = (
    "resize with the aspect kept to whole pixels (bilinear), centre (the odd pixel right and below), pad with grey "
    "114, RGB, divide by 255"
)


Side = Annotated[int, Field(gt=0, le=65_536)]
"""Pixels."""


class Metadata(BaseModel):
    """See the module.

    Attributes:
        producer, version, commit: of the program that wrote the file; the commit is '' where it is not known.
        task: what the network does.
        names, ids: of the classes, in class order; the ids are the data set's own.
        imgsz: height and width of the input, pixels; a default where `dynamic` is set.
        batch: images per call, likewise.
        dynamic: whether the file takes any batch, and any size that `stride` divides.
        stride: what height and width are multiples of, pixels.
        letterbox: how a picture becomes an input.
        precision: fp32, fp16 or int8.
        needs_suppression: whether several boxes may stand for one object.
        finished: whether the file suppresses itself, at `conf_thres` and `iou_thres`, to `max_det` boxes.
        simplify_blocks: the tolerance within which blocks were replaced by simpler ones, where that was asked for.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    producer: str = PRODUCER
    version: str = ""
    commit: str = ""
    task: str = "detect"
    names: tuple[str, ...] = Field(min_length=1)
    ids: tuple[int, ...]
    imgsz: tuple[Side, Side]
    batch: int = Field(1, gt=0)
    dynamic: bool = False
    stride: Side
    letterbox: str = LETTERBOX
    precision: str = "fp32"
    needs_suppression: bool = True
    finished: bool = False
    conf_thres: float | None = None
    iou_thres: float | None = None
    max_det: int | None = None
    simplify_blocks: float | None = None

    @field_validator("names", mode="before")
    @classmethod
    def _in_class_order(cls, names: Any) -> Any:
        if isinstance(names, Mapping):
            if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
                raise ValueError("are not numbered 0, 1, 2, ...")
            by_number = {int(number): name for number, name in names.items()}
            return tuple(by_number[index] for index in range(len(by_number)))
        return names

    @property
    def num_classes(self) -> int:
        """How many classes."""
        return len(self.names)

    @property
    def classes(self) -> Classes:
        """Names and ids as one value."""
        return Classes(self.names, self.ids)

    def plain(self) -> dict[str, Any]:
        """Plain values; names as a map from the class index; without what says nothing."""
        content = self.model_dump(mode="json", exclude_none=True)
        return {**content, "names": dict(enumerate(self.names))}

    def as_texts(self) -> dict[str, str]:
        """A text for each key: texts as they are, all else as JSON, but for `names`, `{0: "cat", 1: "dog"}`."""
        texts = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in self.plain().items()
            if key != "names"
        }
        names = ", ".join(f"{index}: {json.dumps(name, ensure_ascii=False)}" for index, name in enumerate(self.names))
        return {**texts, "names": f"{{{names}}}"}

    def as_yaml(self) -> str:
        """The content of a `metadata.yaml`."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)


def metadata_of(content: Mapping[str, Any], origin: str) -> Metadata:
    """Checks plain values.

    Args:
        origin: file as messages name it.

    Raises:
        EngineError: one is missing, or of another kind.
    """
    try:
        found = Metadata.model_validate(content)
        found.classes  # noqa: B018 (checks that there are as many ids as names)
    except ValidationError as error:
        raise EngineError(f"{origin}: its metadata: {first_problem(error).sentence()}; export it again") from None
    except ValueError as error:
        raise EngineError(f"{origin}: its metadata: {error}; export it again") from None
    return found


def read_metadata(file: Path) -> Metadata:
    """Reads a `metadata.yaml`.

    Raises:
        EngineError: it is missing, damaged or of something else.
    """
    return metadata_of(read_yaml(file, EngineError, _FORM).content, str(file))


def parse_metadata(content: bytes, origin: str) -> Metadata:
    """`read_metadata` for a `metadata.yaml` that lies in another file.

    Raises:
        EngineError: it is damaged or of something else.
    """
    return metadata_of(parse_yaml(content, EngineError, _FORM, origin).content, origin)


def version() -> str:
    """Of this project, as its distribution or its `pyproject.toml` says; '' where neither is there."""
    try:
        return packages.version(PRODUCER)
    except packages.PackageNotFoundError:
        pass
    try:
        lines = (_ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    found = [line.partition("=")[2].strip().strip('"') for line in lines if line.startswith("version")]
    return found[0] if found else ""


def commit() -> str:
    """Of the working copy that this code lies in; '' where there is none."""
    if not (_ROOT / ".git").exists():
        return ""
    try:
        result = subprocess.run(
            ["git", "-C", str(_ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
