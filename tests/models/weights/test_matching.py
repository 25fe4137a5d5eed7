"""Row alignment against a search through all alignments."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.weights.matching import align_rows
from models.weights.units import Unit


def rows(sizes: dict[int, int]) -> dict[int, dict[str, Unit]]:
    """Rows with one vector each, of that many numbers."""
    return {row: {"": Unit({"weight": torch.zeros(size)})} for row, size in sizes.items()}


def alignments(left: list[int], right: list[int]) -> Iterator[dict[int, int]]:
    """Every choice of pairs, from left to right, that keeps the order on both sides."""
    if not left or not right:
        yield {}
        return
    yield from alignments(left[1:], right)
    for position, partner in enumerate(right):
        for rest in alignments(left[1:], right[position + 1 :]):
            yield {left[0]: partner, **rest}


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 6), st.integers(1, 3), max_size=5),
    st.dictionaries(st.integers(0, 6), st.integers(1, 3), max_size=5),
    st.dictionaries(st.integers(0, 6), st.sampled_from([2, 4])),
    st.dictionaries(st.integers(0, 6), st.sampled_from([2, 4])),
)
def test_no_alignment_brings_more(
    source: dict[int, int], target: dict[int, int], source_strides: dict[int, int], target_strides: dict[int, int]
) -> None:
    source, target = dict(sorted(source.items())), dict(sorted(target.items()))

    def score(pairs: dict[int, int]) -> tuple[int, int]:
        """Numbers that arrive, then rows at their own index; nothing where a pair is forbidden."""
        for mine, other in pairs.items():
            strides = source_strides.get(other), target_strides.get(mine)
            if source[other] != target[mine] or (None not in strides and strides[0] != strides[1]):
                return (-1, 0)
        return sum(target[mine] for mine in pairs), sum(mine == other for mine, other in pairs.items())

    found = align_rows(rows(source), rows(target), source_strides, target_strides)
    assert list(found.values()) == [found[mine] for mine in sorted(found, reverse=True)]
    assert sorted(found.values(), reverse=True) == list(found.values()), "in order"
    assert score(found) == max(map(score, alignments(list(target), list(source))))


def test_a_row_that_shares_little_is_no_match_unless_it_has_the_index() -> None:
    def row(own: int) -> dict[str, Unit]:
        return {"a.": Unit({"weight": torch.zeros(2)}), "b.": Unit({"weight": torch.zeros(own)})}

    assert align_rows({3: row(4)}, {5: row(5)}) == {}
    assert align_rows({3: row(4)}, {3: row(5)}) == {3: 3}
    assert align_rows({3: row(4)}, {5: row(4)}) == {5: 3}
