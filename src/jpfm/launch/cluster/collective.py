"""The rate of an all-reduce among some processes, and whether its sums are right.

    rate = measure(meeting.store, "pair/3/n1-n2", place=0, size=2, network="gloo", ...)

Bus bandwidth is nccl-tests' figure, 2 (n - 1) / n x bytes / seconds: what each process sends, so that groups of
different sizes can be compared (https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md). Each process adds
its place to small whole numbers: every sum is exact in fp32 up to 16,000 processes, and a single wrong bit shows.

A group is made for one measurement and ended after it: 64 nodes would otherwise hold 63 communicators a GPU. A
collective that does not end: gloo has a time limit of its own; NCCL's kernel spins on the GPU for ever, so the event
behind it is asked whether it is over, and after the limit the communicator is aborted, which ends the kernel. What does
not even end then is left behind in its thread (`deadline`).
"""

import datetime
import os
import statistics
import time
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist

from jpfm.launch.cluster.deadline import within

Network = Literal["gloo", "nccl"]
_WARM_UP = 2


class Rate(NamedTuple):
    """Of one process."""

    gb_per_second: float
    wrong: int
    """Elements with a wrong sum, over all repeats."""


def measure(
    store: Any, name: str, place: int, size: int, *, network: Network, device: torch.device, num_bytes: int,
    repeats: int, seconds: float,
) -> Rate:  # fmt: skip
    """All-reduce `num_bytes` of fp32 some times. All processes of the group call this.

    Args:
        name: of the group, the same in all processes and never used twice.
        place: of this process in the group.
        device: of this process; gloo takes the CPU whatever it is.
        seconds: that the processes may take to find each other, and an all-reduce to end.
    Raises:
        Late: it does not end.
        RuntimeError: the processes do not find each other, or the network fails.
    """
    kind = _NcclGroup if network == "nccl" else _Group
    group = kind(dist.PrefixStore(name, store), place, size, device, seconds)
    return within(2 * seconds, lambda: _rate(group, place, size, num_bytes, repeats, seconds), group.give_up)


def _rate(group: "_Group", place: int, size: int, num_bytes: int, repeats: int, seconds: float) -> Rate:
    group.open()
    base = (torch.arange(num_bytes // 4, device=group.device, dtype=torch.int32) % 1021).to(torch.float32)
    expected = base * size + size * (size - 1) / 2
    tensor, one = torch.empty_like(base), torch.ones(1, device=group.device)
    times, wrong = [], 0
    for turn in range(_WARM_UP + repeats):
        torch.add(base, place, out=tensor)
        group.sum(one, seconds)  # all begin together
        start = time.perf_counter()
        group.sum(tensor, seconds)
        taken = time.perf_counter() - start
        wrong += int((tensor != expected).sum())
        if turn >= _WARM_UP:
            times.append(taken)
    group.close()
    return Rate(2 * (size - 1) / size * num_bytes / statistics.median(times) / 1e9, wrong)


class _Group:
    """Some processes over gloo."""

    def __init__(self, store: Any, place: int, size: int, device: torch.device, seconds: float) -> None:
        self._store, self._place, self._size, self._own = store, place, size, device
        self.device = torch.device("cpu")
        self._timeout = datetime.timedelta(seconds=seconds)
        self._group: Any = None

    def open(self) -> None:
        self._store.set_timeout(self._timeout)
        self._group = dist.ProcessGroupGloo(self._store, self._place, self._size, self._timeout)

    def sum(self, tensor: torch.Tensor, seconds: float) -> None:
        """Ends when the sum is there."""
        self._group.allreduce([tensor]).wait()

    def close(self) -> None:
        self._group = None

    def give_up(self) -> None:
        """End what hangs; gloo has its own limit."""


class _NcclGroup(_Group):
    """Some processes with a GPU each, over NCCL."""

    def open(self) -> None:
        # NCCL's own watchdog would end the process: here a group that hangs is a finding
        for name in ("ASYNC_ERROR_HANDLING", "ENABLE_MONITORING", "BLOCKING_WAIT"):
            os.environ[f"TORCH_NCCL_{name}"] = "0"
        self.device = self._own
        torch.cuda.set_device(self._own)  # a thread begins with the first GPU
        self._store.set_timeout(self._timeout)
        options = dist.ProcessGroupNCCL.Options()
        options._timeout = self._timeout
        self._group = dist.ProcessGroupNCCL(self._store, self._place, self._size, options)

    def sum(self, tensor: torch.Tensor, seconds: float) -> None:
        work = self._group.allreduce([tensor])
        work.wait()  # the current stream waits, not this thread
        over = torch.cuda.Event()
        over.record()
        end = time.monotonic() + seconds
        while not over.query():
            if time.monotonic() > end:
                self.give_up()
                raise RuntimeError(f"an all-reduce over NCCL did not end within {seconds:g} s")

    def close(self) -> None:
        self._group.shutdown()
        self._group = None

    def give_up(self) -> None:
        if self._group is not None:
            self._group.abort()
