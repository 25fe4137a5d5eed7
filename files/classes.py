"""What is known about the classes of a data set or a detector, as one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Classes:
    """Classes in class order.

    Attributes:
        names: their names.
        ids: the data set's own id of each (COCO's `category_id`).

    Raises:
        ValueError: not as many ids as names.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.ids):
            raise ValueError(f"{len(self.names)} names but {len(self.ids)} ids of classes")

    @classmethod
    def of(cls, names: Iterable[str], ids: Iterable[int] | None = None) -> Classes:
        """Classes with these names; where no ids are given, the index of each is its id."""
        names = tuple(names)
        return cls(names, tuple(range(len(names)) if ids is None else ids))

    @classmethod
    def numbered(cls, count: int) -> Classes:
        """`count` classes without names of their own: `"0"`, `"1"`, ..."""
        return cls.of(str(index) for index in range(count))

    def __len__(self) -> int:
        return len(self.names)
