"""ONNX: one file for every batch and size, computed by ONNX Runtime as torch computes it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from tests.modes.subjects import Subject

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TORCH < (2, 5), reason="torch 2.4's ONNX exporter takes no dynamic shapes"),
]
OPSET = 20  # from 19 on ONNX has deformable convolution
SIZES = [(2, 5, 6), (1, 1, 1), (3, 1, 7), (2, 2, 2), (1, 9, 3), (4, 4, 4)]  # batch, height, width


def session_of(program: Any) -> Any:
    """Runs a checked file on one thread."""
    import onnx
    import onnxruntime

    buffer = io.BytesIO()
    program.save(buffer)
    onnx.checker.check_model(onnx.load_from_string(buffer.getvalue()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])


def test_onnx_runtime_equals_torch(main_subject: Subject, fused: bool, make: Any, reference: Any, same: Any) -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    height, width = (main_subject.cell * torch.export.Dim(name, min=1, max=256) for name in ("height", "width"))
    program = torch.onnx.export(
        make(main_subject, fused),
        (main_subject.input(*SIZES[0]),),
        dynamo=True,
        opset_version=OPSET,
        input_names=["images"],
        dynamic_shapes=({0: batch, 2: height, 3: width},),
        verbose=False,
    )
    session = session_of(program)
    assert [opset.version for opset in program.model_proto.opset_import if opset.domain == ""] == [OPSET]
    for size in SIZES:
        x = main_subject.input(*size)
        decoded_or_y, *logits = (torch.from_numpy(np.asarray(y)) for y in session.run(None, {"images": x.numpy()}))
        same((decoded_or_y, logits) if logits else decoded_or_y, reference(main_subject, x, fused))
