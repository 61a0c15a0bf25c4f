"""Forward and backward passes of one process: a step's gradients, and the score of held-out rows.

    compute = Compute(config, inputs, mesh, built, accelerator)
    report = compute.gradients(data_step, rows, wishes, phase)      # gradients are clipped and summed over processes
    nats = compute.score(rows, targets)

The loss of a step is the sum over all its target tokens, on all processes and micro-batches, over their global count.
Data parallel wrappers average gradients over processes, so each process scales its sum by world / count. One exchange
carries the loss, the processes' wishes to stop or save, and their energy; reading it is the step's only wait for the
device. Refused: a mean of micro-batch means (another loss when rows are padded).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from jpfm.train.build import Built
from jpfm.train.config import TrainConfig
from jpfm.train.inputs import Inputs
from jpfm.train.loss.loss import IGNORE
from jpfm.train.mesh import Mesh
from jpfm.train.meter import Span

Ids = npt.NDArray[np.uint32]
Phase = Callable[[Span], AbstractContextManager[Any]]


class Report(NamedTuple):
    """What a step's passes say; the same on all processes."""

    loss: float
    """Mean over the targets, nats."""
    grad_norm: float
    """Before clipping."""
    stop: bool
    """Whether some process was asked to stop."""
    save: bool
    """Whether some process wants a checkpoint."""
    joules: float
    """Energy of all processes since they started; NaN: unknown."""


@dataclass(frozen=True)
class Compute:
    """What one process computes with."""

    config: TrainConfig
    inputs: Inputs
    mesh: Mesh
    built: Built
    accelerator: Accelerator

    def gradients(
        self, data_step: int, rows: Ids, *, stop: bool, save: bool, joules: float | None, phase: Phase
    ) -> Report:
        """Fill the gradients of a step.

        Args:
            rows: this process's part of the batch, shape (rows, seq_len + 1).
            stop: whether this process was asked to stop; save: whether it wants a checkpoint.
            joules: its energy so far; None: unknown.
        """
        config, mesh, built, device = self.config, self.mesh, self.built, self.accelerator.device
        ids = torch.from_numpy(rows.view(np.int32)).to(device, non_blocking=True)
        count = rows.shape[0] * config.seq_len * mesh.data_world  # all rows are full: no exchange for the global count
        real = None
        if config.packing == "best_fit":  # where they are not, the order knows the rows of all processes
            real = self.inputs.order.targets(data_step, mesh.data_rank, mesh.data_world)
            count = int(self.inputs.order.targets(data_step).sum())
        built.optimizer.zero_grad(set_to_none=True)
        own = [0.0, float(stop), float(save), float("nan") if joules is None else joules, 0.0]
        sums = torch.tensor(own, dtype=torch.float64).to(device, non_blocking=True)
        micro = min(config.micro_batch_rows, len(rows))
        starts = range(0, len(rows), micro)
        with phase("forward_backward"):
            for start in starts:
                last = start == starts[-1]
                built.set_last(last, mesh)
                alone = mesh.data_world == 1 or mesh.device_mesh is not None or last
                with nullcontext() if alone else self.accelerator.no_sync(built.forward):
                    part = slice(start, start + micro)
                    objective, nats = self._loss(rows[part], ids[part], None if real is None else real[part])
                    self.accelerator.backward(objective * (mesh.data_world / count))
                sums[0] += nats
        with phase("reduce"):
            norm = self.accelerator.clip_grad_norm_(built.model.parameters(), config.clip_norm)
            sums = self.accelerator.reduce(sums, reduction="sum")
            sums[4] = norm.full_tensor() if isinstance(norm, DTensor) else norm
            nats_sum, stops, saves, all_joules, norm_value = sums.tolist()  # the step's only wait for the device
        return Report(nats_sum / mesh.tensor / count, norm_value, stops > 0, saves > 0, all_joules)

    def _loss(self, rows: Ids, ids: Tensor, real: Any) -> tuple[Tensor, Tensor]:
        """Objective and nats, summed over the targets.

        Args:
            rows: token ids in main memory, shape (rows, seq_len + 1).
            ids: the same on the device, int32.
            real: how many targets of each row count, from the left; None: all.
        """
        device = self.accelerator.device
        targets = ids[:, 1:].long()
        if real is not None:
            place = torch.arange(targets.shape[1], device=device)
            targets = targets.masked_fill(place >= torch.from_numpy(real).to(device)[:, None], IGNORE)
        arguments = self.built.attention.arguments(rows[:, :-1], device)
        with self.accelerator.autocast():
            return self.built.forward(ids[:, :-1].long(), targets, arguments)

    def score(self, rows: Ids, real: npt.NDArray[np.int64]) -> float:
        """Nats of held-out rows; each process takes its share, in forward passes of equal shape on all of them."""
        config, mesh = self.config, self.mesh
        micro = config.micro_batch_rows
        per_turn = micro * mesh.data_world
        total = torch.zeros((), dtype=torch.float64, device=self.accelerator.device)
        for start in range(0, len(rows), per_turn):
            own = slice(start + mesh.data_rank * micro, start + (mesh.data_rank + 1) * micro)
            part = np.full((micro, config.seq_len + 1), self.inputs.store.eos, dtype=np.uint32)
            counts = np.zeros(micro, dtype=np.int64)
            part[: len(rows[own])], counts[: len(real[own])] = rows[own], real[own]
            with torch.no_grad():
                _, nats = self._loss(part, torch.from_numpy(part.view(np.int32)).to(total.device), counts)
            total += nats
        for module in self.built.forward.modules():  # without a backward pass nobody frees what was gathered
            if isinstance(module, FSDPModule):
                module.reshard()
        return float(self.accelerator.reduce(total, reduction="sum")) / mesh.tensor


def pinned(shape: tuple[int, int]) -> Ids:
    """A buffer that a GPU reads while the processor goes on."""
    return torch.empty(shape, dtype=torch.int32, pin_memory=True).numpy().view(np.uint32)
