"""One of two processes that train modules together: `data_parallel.py RANK FOLDER`.

`FOLDER/jobs.pt` maps a name to a module and its batches. `FOLDER/gradients{RANK}.pt` gets, for each name and each kind
of run, the gradients of each step by the parameter's name. Kinds: "train", ordinary training; "frozen", with the
statistics of BatchNorm as they are, because those of half a batch differ; "alone", the same in one process on whole
batches.
"""

from __future__ import annotations

import copy
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

PROCESSES = 2
PATIENCE = timedelta(seconds=120)


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    rendezvous = (folder / "rendezvous").as_uri()
    distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=PROCESSES, timeout=PATIENCE)
    results = {}
    for name, (module, batches) in torch.load(folder / "jobs.pt", weights_only=False).items():
        parts = [batch.chunk(PROCESSES)[rank] for batch in batches]
        results[name, "train"] = train(replicate(copy.deepcopy(module).train()), parts)
        frozen = freeze_statistics(module.train())
        results[name, "alone"] = train(copy.deepcopy(frozen), batches)
        results[name, "frozen"] = train(replicate(frozen), parts)
    torch.save(results, folder / f"gradients{rank}.pt")
    distributed.destroy_process_group()


def replicate(module: nn.Module) -> nn.Module:
    return DistributedDataParallel(module, find_unused_parameters=False)


def freeze_statistics(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    return module


def train(module: nn.Module, batches: list[Tensor]) -> list[dict[str, Tensor | None]]:
    """Gradients of each step of plain gradient descent on a loss that is a mean over the batch."""
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05)
    steps = []
    for batch in batches:
        optimiser.zero_grad()
        loss(module(batch)).backward()
        learned = ((name, p) for name, p in module.named_parameters() if p.requires_grad)
        steps.append({name.removeprefix("module."): copied(p.grad) for name, p in learned})
        optimiser.step()
    return steps


def loss(output: Any) -> Tensor:
    tensors = output if isinstance(output, list) else [output]
    return sum(((tensor - 0.5) ** 2).mean() for tensor in tensors)


def copied(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clone()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
