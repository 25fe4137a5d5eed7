"""Training and evaluation, NCHW and channels-last, float32 and autocast."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.modes.subjects import Subject, learned

FORMATS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="float16 autocast needs a CUDA device")


@pytest.fixture(params=FORMATS)
def memory_format(request: pytest.FixtureRequest) -> torch.memory_format:
    return FORMATS[request.param]


def gradients(module: nn.Module) -> dict[str, Tensor]:
    found = {name: parameter.grad for name, parameter in learned(module).items()}
    assert [name for name, gradient in found.items() if gradient is None] == []
    return found


def assert_finite(found: dict[str, Tensor]) -> None:
    assert [name for name, gradient in found.items() if not bool(gradient.isfinite().all())] == []


def under_autocast(
    module: nn.Module, x: Tensor, memory_format: torch.memory_format, dtype: torch.dtype
) -> tuple[Any, Any]:
    """What a module in that layout gives under autocast on its own device, and in float32 and NCHW before."""
    with torch.no_grad():
        expected = copy.deepcopy(module).cpu()(x)
    device = next(module.parameters()).device
    module.to(memory_format=memory_format)
    with torch.autocast(device.type, dtype):
        return module(x.to(device).to(memory_format=memory_format)), expected


def backward_as_scaled(module: nn.Module, loss: Tensor) -> None:
    """The backward pass at the first scale whose gradients are finite, of those that a GradScaler would come to."""
    for halved in range(13):
        module.zero_grad()
        (loss * 256 / 2**halved).backward(retain_graph=True)
        if all(bool(gradient.isfinite().all()) for gradient in gradients(module).values()):
            return


def freeze_statistics(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


def test_evaluation_in_either_layout(
    subject: Subject, fused: bool, memory_format: torch.memory_format, make: Any, reference: Any, same: Any
) -> None:
    x = subject.input(2, 5, 6)
    with torch.no_grad():
        y = make(subject, fused).to(memory_format=memory_format)(x.to(memory_format=memory_format))
    same(y, reference(subject, x, fused))
    if isinstance(y, Tensor):
        assert y.is_contiguous(memory_format=memory_format)


def test_training_in_either_layout(
    subject: Subject, memory_format: torch.memory_format, make: Any, same: Any, close: Any
) -> None:
    x = subject.input(3, 5, 6)
    plain = make(subject).train()
    ours = copy.deepcopy(plain).to(memory_format=memory_format)
    expected, actual = plain(x), ours(x.to(memory_format=memory_format))
    same(actual, expected)
    subject.loss(expected).backward()
    subject.loss(actual).backward()
    wanted = gradients(plain)
    for name, gradient in gradients(ours).items():
        close(gradient, wanted[name], 1e-3)
    for name, buffer in ours.named_buffers():
        close(buffer, plain.get_buffer(name))


def test_training_with_frozen_statistics_is_evaluation(subject: Subject, make: Any, close: Any) -> None:
    module = make(subject)
    x = subject.input(2, 5, 6)
    with torch.no_grad():
        expected = module(x)
    module.train()
    freeze_statistics(module)
    output, wanted = module(x), expected[1] if isinstance(expected, tuple) else expected
    for tensor, want in zip(subject.tensors(output), subject.tensors(wanted), strict=True):
        close(tensor, want)
    subject.loss(output).backward()
    assert [name for name, gradient in gradients(module).items() if not gradient.any()] == []


def test_training_lowers_the_loss_and_moves_the_statistics(subject: Subject, make: Any) -> None:
    module = make(subject).train()
    before = {name: buffer.clone() for name, buffer in module.named_buffers() if "running" in name}
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    x = subject.input(3, 5, 6)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        loss = subject.loss(module(x))
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True)
    assert before
    assert not any(torch.equal(module.get_buffer(name), value) for name, value in before.items())


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_bfloat16_autocast(
    subject: Subject, training: bool, memory_format: torch.memory_format, make: Any, same: Any
) -> None:
    module = make(subject).train(training)
    y, expected = under_autocast(module, subject.input(2, 5, 6), memory_format, torch.bfloat16)
    assert subject.tensors(y)[-1].dtype is torch.bfloat16
    same(y, expected, 5e-2)
    subject.loss([tensor.float() for tensor in subject.tensors(y)]).backward()
    assert_finite(gradients(module))


def test_bfloat16_autocast_of_the_inference_form(subject: Subject, make: Any, reference: Any, same: Any) -> None:
    x = subject.input(2, 5, 6)
    expected = reference(subject, x, fused=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        same(make(subject, fused=True)(x), expected, 5e-2)


@needs_cuda
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_float16_autocast_on_cuda(
    subject: Subject, training: bool, memory_format: torch.memory_format, make: Any, same: Any
) -> None:
    module = make(subject).train(training).cuda()
    y, expected = under_autocast(module, subject.input(2, 5, 6), memory_format, torch.float16)
    outputs = subject.tensors(y)
    assert outputs[-1].dtype is torch.float16
    same([tensor.cpu() for tensor in outputs], subject.tensors(expected), 2e-2)
    backward_as_scaled(module, subject.loss([tensor.float() for tensor in outputs]))
    assert_finite(gradients(module))


@needs_cuda
def test_float16_autocast_of_the_inference_form_on_cuda(subject: Subject, make: Any, reference: Any, same: Any) -> None:
    x = subject.input(2, 5, 6)
    expected = reference(subject, x, fused=True)
    with torch.no_grad(), torch.autocast("cuda", torch.float16):
        y = make(subject, fused=True).cuda()(x.cuda())
    same([tensor.cpu() for tensor in subject.tensors(y)], subject.tensors(expected), 2e-2)
