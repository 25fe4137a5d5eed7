"""YOLOv5's dialect, which the internal form follows: `depth_multiple`, `width_multiple`, rows of four elements.

Beyond YOLOv5, a file may describe a family, and has `scales` in place of the two factors:

    scales:
      n: {depth_multiple: 0.33, width_multiple: 0.25}
      s: {depth_multiple: 0.33, width_multiple: 0.50}
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from files.hints import did_you_mean
from files.problems import Problem, first_problem, short
from files.strict_yaml import Document
from models.config.heads import Expanded
from models.config.sizes import SCALE, SCALES, checked_sizes, choose_size
from models.errors import ConfigError

_FORM = "{depth_multiple: 0.33, width_multiple: 0.50}"


class Scale(BaseModel):
    """The factors of one size; see `ModelConfig`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    depth_multiple: float = Field(gt=0, allow_inf_nan=False)
    width_multiple: float = Field(gt=0, allow_inf_nan=False)


def expand(document: Document, stem: str) -> Expanded:
    """The internal form of a file but for its head: the factors of its size in place of `scales`, where it has those.

    Args:
        stem: the name that the file was asked for by, without ending.

    Raises:
        ConfigError: `scales` is wrong, or it is not clear which size is meant.
    """
    content = document.content
    if SCALES not in content:
        if SCALE in content and "max_channels" not in content:  # with it, the file is one of the internal form
            raise ConfigError(f"{document.where(SCALE)}: 'scale' chooses one of 'scales', which are missing; delete it")
        return Expanded(document)
    for key in Scale.model_fields:
        if key in content:
            raise ConfigError(f"{document.where(key)}: {key!r} stands in each of 'scales'; delete this line")
    scales = _checked_scales(document)
    chosen = scales[choose_size(document, stem)]
    expanded: dict[Any, Any] = {}
    for key, value in content.items():
        # in the place of `scales`, so that a checkpoint's configuration has YOLOv5's order
        expanded.update(chosen if key == SCALES else {} if key == SCALE else {key: value})
    return Expanded(document.with_content(expanded))


def _checked_scales(document: Document) -> dict[str, dict[str, float]]:
    scales = dict(checked_sizes(document, f"n: {_FORM}"))
    for size, factors in scales.items():
        where = document.where(SCALES, size)
        if not isinstance(factors, dict):
            raise ConfigError(f"{where}: size {size!r} must be {_FORM}, not {short(factors)}")
        try:
            Scale.model_validate(factors)
        except ValidationError as error:
            problem = first_problem(error)
            where = document.where(SCALES, size, *problem.location)
            raise ConfigError(f"{where}: size {size!r}: {_describe(problem)}") from None
    return scales


def _describe(problem: Problem) -> str:
    if problem.is_unknown:
        known = f"known keys: {', '.join(Scale.model_fields)}"
        return f"unknown key {problem.entry!r}; {did_you_mean(problem.entry, Scale.model_fields, known)}"
    if problem.is_missing:
        return f"the key {problem.entry!r} is missing; write {_FORM}"
    return f"{problem.entry!r} must be a positive number, not {short(problem.value)}"
