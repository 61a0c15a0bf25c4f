"""The clock of an arm, and the line it ends with.

    clock = Clock(setting, spawned)
    for step in range(setting.steps): ...; clock.tick()
    print(json.dumps(clock.result(loss=...)))

On a GPU the arm is made to wait for the device at three moments only (first step, end of the warm steps, end), so that
an arm that never waits is not slowed; the time of a step is then the mean over the timed steps. On a CPU it is their
median. Processor seconds a step stand
beside it: with one thread they are hardly moved by what else the machine does.
"""

import contextlib
import itertools
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from benchmarks.train.setting import Setting


class Clock:
    """Counts steps of one arm."""

    def __init__(self, setting: Setting, spawned: float) -> None:
        """`spawned`: time.time() when the arm's process was started."""
        self.setting, self._spawned = setting, spawned
        self._cuda = setting.device == "cuda"
        self.start_seconds = float("nan")
        self._ticks: list[float] = []
        self.waits: int | None = None
        self._cpu = [float("nan")] * 2
        self._stack = contextlib.ExitStack()

    def tick(self) -> None:
        """A step is over."""
        done = len(self._ticks) + 1
        if self._cuda and done in (1, self.setting.warm, self.setting.steps):
            torch.cuda.synchronize()
        self._ticks.append(time.perf_counter())
        if done == 1:
            self.first_step()
        if done in (self.setting.warm, self.setting.steps):
            self.mark(last=done == self.setting.steps)
        if done == self.setting.warm and self.setting.audit and self._cuda:
            caught = self._stack.enter_context(count_waits())
            self._caught = caught
        if done == self.setting.steps:
            self._stack.close()
            if self.setting.audit and self._cuda:
                self.waits = len(self._caught)

    def first_step(self) -> None:
        """The first step is over."""
        self.start_seconds = time.time() - self._spawned

    def mark(self, *, last: bool) -> None:
        """The warm steps are over, or all of them."""
        self._cpu[last] = time.process_time()

    def result(self, **more: Any) -> dict[str, Any]:
        """What the arm says."""
        ticks = self._ticks
        durations = [later - before for before, later in itertools.pairwise(ticks)]
        return self.line(durations[self.setting.warm - 1 :], **more)

    def line(self, timed: list[float], **more: Any) -> dict[str, Any]:
        """The same for durations that were measured elsewhere; seconds of the timed steps."""
        typical = statistics.fmean if self._cuda else statistics.median
        return {
            "step_seconds": typical(timed),
            "steps": [round(seconds, 5) for seconds in timed],
            "processor_seconds": (self._cpu[1] - self._cpu[0]) / self.setting.timed,
            "start_seconds": self.start_seconds,
            "memory_bytes": peak_memory(cuda=self._cuda),
            "waits_a_step": None if self.waits is None else self.waits / self.setting.timed,
            **compiled(),
            **more,
        }


@contextlib.contextmanager
def count_waits() -> Iterator[list[Any]]:
    """Every wait of the host for the GPU, as torch's own warning says it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield caught
        finally:
            torch.cuda.set_sync_debug_mode(before)
            caught[:] = [one for one in caught if "synchroniz" in str(one.message)]


def peak_memory(*, cuda: bool) -> int:
    """Bytes: of the GPU, or of the process."""
    if cuda:
        return int(torch.cuda.max_memory_allocated())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) * (1 if sys.platform == "darwin" else 1024)


def compiled() -> dict[str, int]:
    """Graphs that torch.compile made in this process, and breaks between them."""
    from torch._dynamo.utils import counters

    return {
        "graphs": int(counters["stats"]["unique_graphs"]),
        "graph_breaks": int(sum(counters["graph_break"].values())),
    }
