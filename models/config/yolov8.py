"""The dialect of YOLOv8, 10, 11, 12 and 26: sizes as lists, and a head without anchors.

    nc: 80
    scales:
      n: [0.50, 0.25, 1024]   # depth, width, most channels
    reg_max: 1                # keys of the head; see `models.config.heads`
    end2end: true
    backbone: ...
    head:
      - [[16, 19, 22], 1, Detect, [nc]]

Rows, arguments and blocks are those of YOLOv5's dialect. A file that names no size is read at its first one, as that
dialect's users know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from files.hints import did_you_mean
from files.problems import first_problem, short
from files.strict_yaml import Document
from models.config import heads
from models.config.heads import Expanded, has_anchor_free_head
from models.config.sizes import SCALE, SCALES, asked_size, checked_sizes, name_a_size, refuse_usual_size, sizes_of
from models.errors import ConfigError

_FORM = "[depth, width, max_channels], such as [0.33, 0.25, 1024]"

# Keys that such files, and the configurations in such checkpoints, carry without saying anything of the network.
_WITHOUT_EFFECT = ("yaml_file", "inplace", "task")

_CHANNELS = ("ch", "channels")  # of the image: two names for one thing

_FACTORS = ("depth_multiple", "width_multiple", "max_channels")

_KNOWN = (
    *("nc", SCALES, SCALE, *heads.KEYS, "activation", *_CHANNELS, *_FACTORS, "channel_multiple", "anchors"),
    *("backbone", "head", *_WITHOUT_EFFECT),
)


class Scale(BaseModel):
    """The numbers of one size, in the order in which a file lists them; see `ModelConfig`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    depth_multiple: float = Field(gt=0, allow_inf_nan=False)
    width_multiple: float = Field(gt=0, allow_inf_nan=False)
    max_channels: int = Field(ge=1)


_WANTED = {
    "depth_multiple": "the first number, depth, must be a positive number",
    "width_multiple": "the second number, width, must be a positive number",
    "max_channels": "the third number, max_channels, must be a whole number from 1",
}


def recognises(content: Mapping[Any, Any]) -> bool:
    """Whether a file is written in this dialect: its first size is a list, or it has none and such a head."""
    scales = content.get(SCALES)
    first = next(iter(scales.values()), None) if isinstance(scales, dict) else None
    return isinstance(first, list) or (has_anchor_free_head(content) and not isinstance(first, dict))


def expand(document: Document, stem: str) -> Expanded:
    """The internal form of a file but for its head: the numbers of its size in place of `scales`, known keys only.

    Args:
        stem: the name that the file was asked for by, without ending.

    Raises:
        ConfigError: a key is unknown, `scales` is wrong, or no size has the name that is asked for.
    """
    content = document.content
    for key in content:
        if key not in _KNOWN:
            known = f"known keys: {', '.join(_KNOWN)}"
            raise ConfigError(
                f"{document.where(str(key))}: unknown key {key!r}; {did_you_mean(str(key), _KNOWN, known)}"
            )
    size, remarks = _size(document, stem)
    expanded: dict[Any, Any] = {}
    for key, value in content.items():
        if key == SCALES:  # in its place, so that the keys keep their order
            expanded.update(size)
        elif key not in (SCALE, *_CHANNELS, *_WITHOUT_EFFECT):
            expanded[key] = value
    if SCALES not in content:
        expanded.update(size)
    return Expanded(document.with_content({**expanded, **_image_channels(document)}), remarks)


def _size(document: Document, stem: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The keys that the file's size gives the internal form, and a sentence where nobody named one."""
    content = document.content
    if content.get(SCALE) == "":  # checkpoints of a file whose name says no size have this
        document = document.with_content({key: value for key, value in content.items() if key != SCALE})
    if SCALES not in content:
        return _written_size(document), ()
    for key in _FACTORS:
        if key in content:
            raise ConfigError(f"{document.where(key)}: {key!r} stands in each of 'scales'; delete this line")
    sizes = {size: _checked(document, size, numbers) for size, numbers in checked_sizes(document, f"n: {_FORM}")}
    size = asked_size(document, stem)
    if size is not None:
        return {**sizes[size], SCALE: size}, ()
    refuse_usual_size(document, stem)
    size = sizes_of(document)[0]
    remark = f"{document.where(SCALES)}: no size is named, so it is {size}, the first of {', '.join(sizes)}"
    return {**sizes[size], SCALE: size}, (f"{remark}; {name_a_size(document, stem, sizes_of(document)[-1])}",)


def _written_size(document: Document) -> dict[str, Any]:
    """Without `scales`, factors may stand at the top, and in the internal form the size's name beside them."""
    if SCALE not in document.content:
        return {}
    if "max_channels" not in document.content:
        raise ConfigError(f"{document.where(SCALE)}: 'scale' chooses one of 'scales', which are missing; delete it")
    return {SCALE: document.content[SCALE]}


def _checked(document: Document, size: str, numbers: Any) -> dict[str, Any]:
    if not isinstance(numbers, list) or len(numbers) != len(Scale.model_fields):
        where = document.where(SCALES, size)
        raise ConfigError(f"{where}: size {size!r} must be {_FORM}, not {short(numbers)}")
    named = dict(zip(Scale.model_fields, numbers, strict=True))
    try:
        Scale.model_validate(named)
    except ValidationError as error:
        problem = first_problem(error)
        where = document.where(SCALES, size, list(named).index(problem.entry))
        raise ConfigError(f"{where}: size {size!r}: {_WANTED[problem.entry]}, not {short(problem.value)}") from None
    return named


def _image_channels(document: Document) -> dict[str, Any]:
    """`ch` of the internal form, which this dialect also calls `channels`."""
    given = {key: document.content[key] for key in _CHANNELS if key in document.content}
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(
                f"{document.where(key)}: {key!r} must be a whole number of image channels from 1, not {short(value)}"
            )
    if len(set(given.values())) > 1:
        raise ConfigError(f"{document.where('channels')}: 'channels' and 'ch' differ; delete one of them")
    return {"ch": next(iter(given.values()))} if given else {}
