"""The one internal form of a model configuration: top-level keys, and rows `[from, number, module, args]`.

A fifth element of a row, where present, is a map of keyword arguments. Nothing here knows what a block is: names are
looked up by the parser. What a file may write instead is the affair of the dialects.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from files.hints import did_you_mean
from files.problems import Problem, first_problem, short
from files.strict_yaml import Document, plain_copy
from models.errors import ConfigError

ROW_SHAPE = "[from, number, module, args] or [from, number, module, args, {keyword: value}]"

# What a wrong entry should have been, by the last name in its location.
EXPECTED = {
    "nc": "a whole number of classes from 1",
    "depth_multiple": "a positive number",
    "width_multiple": "a positive number",
    "channel_multiple": "a whole number from 1",
    "max_channels": "a whole number from 1",
    "scale": "the name of a size, such as n",
    "ch": "a whole number of image channels from 1",
    "anchors": "a number of anchors per level, or for each level a list w0, h0, w1, h1, ... in pixels",
    "activation": "the name of an activation, such as nn.SiLU()",
    "inplace": "true or false",
    "backbone": f"a list of rows {ROW_SHAPE}",
    "head": f"a list of rows {ROW_SHAPE}",
    "row": f"a list {ROW_SHAPE}",
    "from": "a row number, a negative offset, or a list of them",
    "number": "a whole number of repeats from 1 to 1000",
    "module": "the name of a block",
    "args": "a list of arguments",
    "kwargs": "a map of keyword arguments",
}

LABELS = {"row": "a row", "kwargs": "the fifth element"}


class RowSpec(BaseModel):
    """One row as written: no name resolved, no multiple applied."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: int | list[int] = Field(alias="from")
    number: int = Field(ge=1, le=1000)
    module: str = Field(min_length=1)
    args: list[Any]
    kwargs: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_the_elements(cls, row: Any) -> Any:
        if not isinstance(row, list) or len(row) not in (4, 5):
            raise PydanticCustomError("row", "a row of another shape")
        return dict(zip(("from", "number", "module", "args", "kwargs"), row, strict=False))


class ModelConfig(BaseModel):
    """A checked model configuration.

    Attributes:
        nc: number of classes.
        depth_multiple: factor for the repeats of rows that say more than 1.
        width_multiple: factor for output channels, rounded up to `channel_multiple`.
        max_channels: what output channels are cut to before the factor; None: they are not.
        scale: name of the size of its family, such as `n`, for blocks that are built otherwise in some sizes; None: it
            has none.
        ch: channels of the input image.
        anchors: per level `w0, h0, w1, h1, ...` in input pixels; or their number per level; or none, for heads
            without anchors.
        activation: default activation of the convolutions, such as `nn.LeakyReLU(0.1)`.
        inplace: accepted because YOLOv5's files may have it; without effect.
        backbone, head: the rows, numbered through.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    nc: int = Field(ge=1)
    depth_multiple: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    width_multiple: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    channel_multiple: int = Field(default=8, ge=1)
    max_channels: int | None = Field(default=None, ge=1)
    scale: str | None = Field(default=None, min_length=1)
    ch: int = Field(default=3, ge=1)
    anchors: int | list[list[float]] | None = None
    activation: str | None = None
    inplace: bool = True
    backbone: list[RowSpec] = Field(min_length=1)
    head: list[RowSpec] = Field(min_length=1)

    # What the values came from: the content in this very form, with the lines of a file that has one.
    _document: Document = PrivateAttr(default_factory=lambda: Document("model configuration", {}))
    _remarks: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _check_anchors(self) -> ModelConfig:
        if isinstance(self.anchors, int):
            if self.anchors < 1:
                raise PydanticCustomError("anchors", "not a number of anchors")
        elif self.anchors is not None:
            lengths = {len(level) for level in self.anchors}
            if len(lengths) != 1 or lengths & {0} or lengths.pop() % 2:
                raise PydanticCustomError("anchors", "levels of other lengths")
        return self

    @classmethod
    def from_document(cls, document: Document, remarks: tuple[str, ...] = ()) -> ModelConfig:
        """Checks a document whose content has the keys of this class.

        Args:
            remarks: see the property.

        Raises:
            ConfigError: an entry is wrong; the message names file, line and entry.
        """
        for key in document.content:
            if not isinstance(key, str):
                known = ", ".join(cls.model_fields)
                raise ConfigError(f"{document.where(str(key))}: unknown key {key!r}; known keys: {known}")
        try:
            config = cls.model_validate(document.content)
        except ValidationError as error:
            raise ConfigError(_describe(first_problem(error), document)) from error
        config._document = document
        config._remarks = remarks
        return config

    @property
    def rows(self) -> list[RowSpec]:
        """Backbone and head, in order."""
        return [*self.backbone, *self.head]

    @property
    def origin(self) -> str:
        """The file that the configuration came from, or what stands for it."""
        return self._document.origin

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of how the file was read, such as the size that was taken: one sentence each."""
        return self._remarks

    def locate(self, index: int) -> str:
        """Where row `index` stands: file, line (where known), row number and block name."""
        first = len(self.backbone)
        where = self._document.where(*(("backbone", index) if index < first else ("head", index - first)))
        return f"{where}, row {index} ({' '.join(self.rows[index].module.split())})"

    def locate_key(self, key: str) -> str:
        """Where a top-level key stands: file and line (where known)."""
        return self._document.where(key)

    def plain(self) -> dict[str, Any]:
        """The configuration as plain dicts, lists, strings and numbers; reading it again gives an equal one."""
        return dict(plain_copy(self._document.content))

    def with_classes(self, num_classes: int) -> ModelConfig:
        """The same configuration for another number of classes.

        Raises:
            ConfigError: `num_classes` is not a whole number from 1.
        """
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise ConfigError(
                f"{self.origin}: the number of classes must be a whole number from 1, not {num_classes!r}"
            )
        changed = self.model_copy(update={"nc": num_classes})
        changed._document = self._document.with_content({**self._document.content, "nc": num_classes})
        return changed


def _describe(problem: Problem, document: Document) -> str:
    """The mistake as one line that says what was expected."""
    location, value = problem.location, problem.value
    if problem.is_unknown:
        known = f"known keys: {', '.join(ModelConfig.model_fields)}"
        text = f"unknown key {location[-1]!r}; {did_you_mean(str(location[-1]), ModelConfig.model_fields, known)}"
    elif problem.is_missing:
        *location_of_map, key = location
        location = tuple(location_of_map)
        text = f"the key {key!r} is missing; it must be {EXPECTED[str(key)]}"
    else:
        # pydantic appends the member of a union that it tried, which has no place in the file
        named = [str(name) for name in location if name in EXPECTED]
        key = problem.kind if problem.kind in EXPECTED else named[-1]
        if not location:  # found by a check of the whole configuration
            location, value = (key,), document.content[key]
        text = f"{LABELS.get(key, repr(key))} must be {EXPECTED[key]}, not {short(value)}"
    return f"{_where(location, document)}: {text}"


def _where(location: tuple[int | str, ...], document: Document) -> str:
    """File, line and, inside of one, the number of the row."""
    where = document.where(*location)
    if len(location) > 1 and location[0] in ("backbone", "head"):
        first = len(document.content["backbone"]) if location[0] == "head" else 0
        where += f", row {first + int(location[1])}"
    return where
