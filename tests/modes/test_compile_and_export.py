"""torch.compile and torch.export: one graph, and one graph for every batch and size.

A map of one cell is another graph to torch itself, which asks at every convolution, a plain one too, whether the map
has more than one. A compiled module makes that graph when it is needed; an exported program is for more than one cell.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from tests.modes.subjects import BLOCKS, Subject, learned

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
SIZES = [(2, 5, 6), (4, 9, 3), (3, 4, 7)]  # batch, height, width


@pytest.fixture
def counter() -> Any:
    """A back end that traces forward and backward pass and counts the graphs."""
    torch._dynamo.reset()
    yield CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()


def assert_no_further(graphs: set[int]) -> None:
    """The count of graphs is the same after each size; torch 2.4 makes one for odd and one for even sizes."""
    assert len(graphs) == 1 or TORCH < (2, 5)


@pytest.mark.slow
def test_compiles_to_one_graph(main_subject: Subject, fused: bool, counter: Any, make: Any, same: Any) -> None:
    module = make(main_subject, fused)
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend=counter)
    with torch.no_grad():
        graphs = set()
        for size in SIZES:
            x = main_subject.input(*size)
            same(compiled(x), module(x))
            graphs.add(counter.frame_count)
        assert_no_further(graphs)
        # Another graph for torch each time, which for a whole detector takes half a minute.
        for size in [(1, 1, 1), (1, 1, 7)] if main_subject in BLOCKS else []:
            x = main_subject.input(*size)
            same(compiled(x), module(x))


@pytest.mark.slow
def test_trains_in_one_graph(main_subject: Subject, counter: Any, make: Any, same: Any, close: Any) -> None:
    ours = make(main_subject).train()
    plain = copy.deepcopy(ours)
    compiled = torch.compile(ours, fullgraph=True, dynamic=True, backend=counter)
    graphs = set()
    for size in SIZES:
        x = main_subject.input(*size)
        expected, actual = plain(x), compiled(x)
        same(actual, expected)
        plain.zero_grad()
        ours.zero_grad()
        main_subject.loss(expected).backward()
        main_subject.loss(actual).backward()
        wanted = learned(plain)
        for name, parameter in learned(ours).items():
            close(parameter.grad, wanted[name].grad, 1e-3)
        graphs.add(counter.frame_count)
    assert_no_further(graphs)
    for name, buffer in ours.named_buffers():
        close(buffer, plain.get_buffer(name))


@pytest.mark.skipif(TORCH < (2, 5), reason="torch 2.4's export does not follow sizes through strides")
def test_exports_with_dynamic_batch_and_size(
    main_subject: Subject, fused: bool, make: Any, reference: Any, same: Any
) -> None:
    module = make(main_subject, fused)
    batch = torch.export.Dim("batch", min=1, max=64)
    # More than one cell, see above: three pixels where a block halves its map.
    least = 2 if main_subject.cell > 1 else 3
    height, width = (main_subject.cell * torch.export.Dim(name, min=least, max=256) for name in ("height", "width"))
    shapes = ({0: batch, 2: height, 3: width},)
    with torch.no_grad():
        program = torch.export.export(module, (main_subject.input(*SIZES[0]),), dynamic_shapes=shapes)
        for size in [*SIZES, (1, 3, 3)]:
            x = main_subject.input(*size)
            same(program.module()(x), reference(main_subject, x, fused))
