"""Do all copies of the weights agree, bit by bit? A broken link or memory cell shows here long before the loss does.

differing = check(model, mesh, device)          # names of parameters that differ, with the processes; [] when all agree

Each process adds up the bits of its part of each parameter (exact integers), and the copies compare largest and
smallest sum: two numbers a parameter travel, not the weights.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from jpfm.train.mesh import Mesh


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
        bits = own.detach().contiguous().view(torch.int32).to(torch.int64)
        weights = torch.arange(1, bits.numel() + 1, device=bits.device).view(bits.shape) % 65_521
        names.append(name)
        sums.append((bits * weights).sum())  # wraps around; the same everywhere
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
        found.append(f"{name} differs on process {', '.join(map(str, processes))}")
    return found
