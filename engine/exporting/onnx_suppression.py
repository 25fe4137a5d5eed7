"""Non-maximum suppression as ONNX operators, behind a graph that gives boxes and scores.

It keeps what `engine.postprocess.select_boxes` keeps as detect.py calls it: a box stands for its best class alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.exporting.network import FINISHED_OUTPUTS, OUTPUTS
from engine.options import ExportOptions

NO_CLASS = -1
"""Class of an entry that holds nothing; its score and its box are 0."""


def add_suppression(model: Any, options: ExportOptions, num_classes: int) -> None:
    """Changes a graph of boxes `(B, N, 4)` and scores `(B, N, nc)` in place.

    Its outputs are then `boxes (B, K, 4)` float32, `scores (B, K)` float32 and `classes (B, K)` int64, K the
    `--topk-all`, the highest score first; entries that hold nothing have score 0 and `NO_CLASS`.

    Args:
        model: an `onnx.ModelProto`.
        num_classes: nc.
    """
    from onnx import TensorProto, helper

    most = options.topk_all
    graph = _Graph(model.graph)
    boxes, scores = ("all_boxes", "all_scores")
    graph.rename(dict(zip(OUTPUTS, (boxes, scores), strict=True)))
    batch = model.graph.output[0].type.tensor_type.shape.dim[0]
    batch = batch.dim_value if batch.HasField("dim_value") else batch.dim_param

    best = graph.add("ReduceMax", scores, graph.ints([2]), keepdims=0)  # (B, N)
    label = graph.add("ArgMax", scores, axis=2, keepdims=0)  # (B, N)
    # One row a class: a box takes part in that of its best class, so that those of other classes do not touch it.
    if options.agnostic_nms:
        rows = graph.add("Unsqueeze", best, graph.ints([1]))  # (B, 1, N)
    else:
        hot = graph.add("OneHot", label, graph.ints([num_classes]), graph.floats([0, 1]), axis=1)  # (B, nc, N)
        rows = graph.add("Mul", hot, graph.add("Unsqueeze", best, graph.ints([1])))  # (B, nc, N)
    limits = (graph.ints([most]), graph.floats([options.iou_thres]), graph.floats([options.conf_thres]))
    selected = graph.add("NonMaxSuppression", boxes, rows, *limits)  # (S, 3): image, row, box

    # Scores of what is left, 0 elsewhere and in K entries more, so that there always are K.
    places = graph.add("Gather", selected, graph.ints([0, 2]), axis=1)  # (S, 2)
    nothing = graph.add("ConstantOfShape", graph.add("Shape", best))  # (B, N)
    left = graph.add("ScatterND", nothing, places, graph.add("GatherND", best, places))  # (B, N)
    more = graph.add("Concat", graph.add("Shape", best, start=0, end=1), graph.ints([most]), axis=0)  # (2,): B, K
    padded = graph.add("Concat", left, graph.add("ConstantOfShape", more), axis=1)  # (B, N + K)
    top, index = graph.add_two("TopK", padded, graph.ints([most]))  # (B, K) each
    last = graph.add("Sub", graph.add("Shape", best, start=1, end=2), graph.ints([1]))  # (1,)
    index = graph.add("Min", index, last)
    there = graph.add("Greater", top, graph.floats([0]))  # (B, K)

    where = graph.add("Unsqueeze", index, graph.ints([2]))  # (B, K, 1)
    taken = graph.add("GatherND", boxes, where, batch_dims=1)  # (B, K, 4)
    there_2 = graph.add("Unsqueeze", there, graph.ints([2]))  # (B, K, 1)
    names = FINISHED_OUTPUTS
    graph.add("Where", there_2, taken, graph.floats([0]), output=names[0])
    graph.add("Identity", top, output=names[1])
    labels = graph.add("GatherElements", label, index, axis=1)  # (B, K)
    graph.add("Where", there, labels, graph.ints([NO_CLASS]), output=names[2])
    del model.graph.output[:]
    kinds = (
        (TensorProto.FLOAT, (batch, most, 4)),
        (TensorProto.FLOAT, (batch, most)),
        (TensorProto.INT64, (batch, most)),
    )
    for name, (kind, shape) in zip(names, kinds, strict=True):
        model.graph.output.append(helper.make_tensor_value_info(name, kind, shape))


class _Graph:
    """Appends nodes to a graph; every value gets a name of its own."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._count = 0

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        name = output or self._name()
        self._append(operator, inputs, [name], attributes)
        return name

    def add_two(self, operator: str, *inputs: str) -> tuple[str, str]:
        """A node with two outputs."""
        first, second = self._name(), self._name()
        self._append(operator, inputs, [first, second], {})
        return first, second

    def ints(self, values: list[int]) -> str:
        """A constant `(n,)` int64."""
        return self._constant(np.array(values, np.int64))

    def floats(self, values: list[float]) -> str:
        """A constant `(n,)` float32."""
        return self._constant(np.array(values, np.float32))

    def rename(self, names: dict[str, str]) -> None:
        """Other names for values of the graph that is there, wherever they occur."""
        for node in self._graph.node:
            for values in (node.input, node.output):
                for index, name in enumerate(values):
                    values[index] = names.get(name, name)

    def _append(self, operator: str, inputs: tuple[str, ...], outputs: list[str], attributes: dict[str, Any]) -> None:
        from onnx import helper

        self._graph.node.append(helper.make_node(operator, list(inputs), outputs, name=self._name(), **attributes))

    def _constant(self, values: np.ndarray) -> str:
        from onnx import numpy_helper

        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _name(self) -> str:
        self._count += 1
        return f"suppression_{self._count}"
