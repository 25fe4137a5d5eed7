"""One wire to cut."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """A change of one file that tests have to notice.

    Attributes:
        file: path from the project's root.
        old, new: what stands in the file exactly once, and what takes its place.
        tests: pytest's names of the fewest and fastest tests that have to fail.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        """One line."""
        return f"{self.file}: {' '.join(self.old.split())!r} -> {' '.join(self.new.split())!r}"


def cut(file: str, test: str, *changes: tuple[str, str]) -> tuple[Mutation, ...]:
    """Mutations of one file that the same test notices; a change is `(old, new)`."""
    return tuple(Mutation(file, old, new, (test,)) for old, new in changes)
