"""Run a function over shards: in this process, in local worker processes, on a Ray cluster, or a slice `I/N` of them.

    for job, result in map_shards(build_one, jobs, Engine(workers=2)): ...

`function` is a module-level function and each job pickles; results come in the order of the jobs whatever the engine
and the number of workers. Workers are spawned, not forked: pyarrow and numba run threads, and a fork of those can hang.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Literal, TypeVar

from jpfm.core.errors import EnvironmentProblem, UsageError

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Slice:
    """Part `index` (from 0) of `count`: the shards one array task takes."""

    index: int = 0
    count: int = 1

    @property
    def is_whole(self) -> bool:
        """True when this slice is all of the work."""
        return self.count == 1

    @classmethod
    def parse(cls, text: str) -> "Slice":
        """Read `I/N` with 0 <= I < N.

        >>> Slice.parse("2/4")
        Slice(index=2, count=4)
        """
        index, slash, count = text.partition("/")
        if not slash or not index.isdecimal() or not count.isdecimal() or int(index) >= int(count):
            raise UsageError(f"--slice {text}: expected I/N with 0 <= I < N", hint="e.g. --slice 0/4 ... --slice 3/4")
        return cls(int(index), int(count))

    def take(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs of this slice: every `count`-th one."""
        return list(jobs[self.index :: self.count])


@dataclass(frozen=True)
class Engine:
    """What works on shards. It never changes a result."""

    kind: Literal["local", "ray"] = "local"
    workers: int = 1
    """local: processes on this machine. ray: tasks at once; 0 takes all CPUs of the cluster."""
    address: str | None = None
    """ray: address of a cluster that runs (`auto` finds it); None starts one on this machine."""

    def few(self) -> "Engine":
        """This engine for work that is not worth starting processes."""
        return Engine() if self.kind == "local" else self


LOCAL = Engine()
"""One process: this one."""


def map_shards(
    function: Callable[[Job], Result], jobs: Sequence[Job], engine: Engine = LOCAL
) -> Iterator[tuple[Job, Result]]:
    """Yield (job, function(job)) for each job, in order.

    Raises:
        EnvironmentProblem: a worker process died (out of memory, or killed from outside).
    """
    if engine.kind == "ray":
        from jpfm.core.ray_engine import map_on_ray

        yield from map_on_ray(function, jobs, engine)
        return
    if engine.workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, function(job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(engine.workers, len(jobs)), mp_context=context, initializer=_begin_worker) as pool:
        futures = [pool.submit(function, job) for job in jobs]
        try:
            for job, future in zip(jobs, futures, strict=True):
                yield job, future.result()
        except BrokenProcessPool as error:
            raise EnvironmentProblem(
                "a worker process ended unexpectedly (killed, or out of memory)",
                hint="run the same command again, it resumes; if it recurs, use fewer --workers",
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """After kill -9 of the parent a pool's workers would wait for ever, and write beside the process that resumes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
