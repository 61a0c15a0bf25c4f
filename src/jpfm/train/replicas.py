"""Do all copies of the weights agree, bit by bit? A broken link or memory cell shows here long before the loss does.

differing = check(model, mesh, device)          # names of parameters that differ, with the processes; [] when all agree

Each process adds up the bits of its part of each parameter (integers, each weighted by its place), and the sums of all
processes are compared: one number a parameter travels, not the weights.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from jpfm.train.mesh import Mesh

_PIECE = 1 << 22
"""Numbers that are summed at once: 64 MB of working memory."""


def check(model: Any, mesh: Mesh, device: torch.device) -> list[str]:
    """Compare the copies; a collective over all processes. The same answer on each.

    Returns:
        A sentence for each parameter that differs.
    """
    if mesh.replicate == 1:
        return []
    names, sums = [], []
    for name, parameter in model.named_parameters():
        own = parameter.to_local() if isinstance(parameter, DTensor) else parameter
        names.append(name)
        sums.append(_sum_of_bits(own.detach().contiguous().view(-1)))
    own_sums = torch.stack(sums).to(device)
    every = [torch.empty_like(own_sums) for _ in range(mesh.world)]
    dist.all_gather(every, own_sums)
    table = torch.stack(every).view(mesh.replicate, mesh.shard * mesh.tensor, -1).cpu()
    found = []
    for position, name in enumerate(names):
        column = table[:, :, position]
        if bool((column == column[:1]).all()):
            continue
        usual = column.mode(dim=0).values
        processes = torch.nonzero((column != usual).reshape(-1)).reshape(-1).tolist()
        which = "on process " + ", ".join(map(str, processes))
        if mesh.replicate == 2:  # nobody can say which of two is right
            other = [(rank + mesh.world // 2) % mesh.world for rank in processes]
            which = f"between processes {', '.join(map(str, sorted({*processes, *other})))}"
        found.append(f"{name} differs {which}")
    return found


def _sum_of_bits(values: torch.Tensor) -> torch.Tensor:
    """A 64-bit sum that changes with any bit and any exchange of two values; wraps around, the same everywhere."""
    total = torch.zeros((), dtype=torch.int64, device=values.device)
    for start in range(0, values.numel(), _PIECE):
        bits = values[start : start + _PIECE].view(torch.int32).to(torch.int64)
        total += (bits * (torch.arange(start + 1, start + 1 + bits.numel(), device=bits.device) % 65_521)).sum()
    return total
