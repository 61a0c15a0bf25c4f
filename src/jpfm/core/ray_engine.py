"""Run jobs on a Ray cluster: one that runs already (by address), or one on this machine for as long as it is needed.

    for job, result in map_on_ray(run_shard, jobs, Engine("ray", workers=0, address="auto")): ...

A few more jobs than the cluster has CPUs are under way at any time, and the next is sent when one ends: slow and fast
nodes both stay busy, and nodes that come later are used. A job whose process or node dies is sent again, with a warning
that names it; what the function itself raises comes out with its own type, at the place where a local run raises it.

Every job carries its recipe: 2-9 kB and 0.1 ms beside a shard's seconds, so the object store is not used. Refused:
Ray's own retries, which say nothing; Ray Data, whose blocks are not our shards. Measured on two cores with Ray 2.60: a
local cluster takes 2.2 s to start and 1.3 s to stop, a job 1.2 ms on top of its work.
"""

import logging
import os
import pickle
import platform
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from jpfm.core.errors import EnvironmentProblem
from jpfm.core.log import log
from jpfm.core.ray_cluster import connected
from jpfm.core.shards import Engine

Job = TypeVar("Job")
Result = TypeVar("Result")

_TRIES = 4
_LOOK_SECONDS = 60.0  # without a result; then see whether there is a node at all
_STOP_SECONDS = 30.0
_THREADS = ("NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")  # Ray itself sets OMP_NUM_THREADS
_DECIDE_BYTES = (
    "jpfm", "fastwarc", "fugashi", "lxml", "numba", "numpy", "polars", "pyarrow", "pypdfium2", "resiliparse",
    "trafilatura", "unidic-lite",
)  # fmt: skip
_SHARE = "all nodes must see the same folders: put recipe, raw files and --out on a disk that every node mounts there"


def map_on_ray(function: Callable[[Job], Result], jobs: Sequence[Job], engine: Engine) -> Iterator[tuple[Job, Result]]:
    """Yield (job, function(job)) for each job, in order; see `map_shards`.

    Raises:
        EnvironmentProblem: no cluster, no node left, a job that kills its process each time, a node that has other
            packages or other folders.
    """
    if not jobs:
        return
    with connected(engine) as ray:
        flight = _Flight(ray, function, jobs, engine.workers)
        try:
            for index, job in enumerate(jobs):
                yield job, flight.result(index)
        finally:
            flight.cancel()


class _Flight:
    """The jobs of one call: waiting, under way, and done before their turn."""

    def __init__(self, ray: Any, function: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> None:
        self.ray, self.function, self.jobs, self.workers = ray, function, jobs, workers
        self.send = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_work).remote
        self.waiting = deque(range(len(jobs)))
        self.running: dict[Any, int] = {}
        self.results: dict[int, Any] = {}
        self.failures: dict[int, BaseException] = {}
        self.tries: Counter[int] = Counter()
        self.died = (  # what happens to a job from outside
            ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError, ray.exceptions.LocalRayletDiedError,
        )  # fmt: skip

    def result(self, index: int) -> Any:
        while index not in self.results:
            if index in self.failures:
                raise self.failures[index]
            self._fill()
            self._receive()
        return self.results.pop(index)

    def cancel(self) -> None:
        """End what is under way, and see it end: nothing may write once the caller goes on."""
        for reference in self.running:
            self.ray.cancel(reference, force=True)
        if self.running:
            self.ray.wait(list(self.running), num_returns=len(self.running), timeout=_STOP_SECONDS)

    def _fill(self) -> None:
        num_cpus = int(self.ray.cluster_resources().get("CPU", 0))
        room = self.workers or num_cpus + max(2, num_cpus // 8)  # some wait at the nodes: none is idle in between
        while self.waiting and len(self.running) < room:
            index = self.waiting.popleft()
            sent = pickle.dumps((self.function, self.jobs[index]))
            self.running[self.send(sent, os.getcwd(), _versions())] = index

    def _receive(self) -> None:
        ready, _ = self.ray.wait(list(self.running), num_returns=1, timeout=_LOOK_SECONDS)
        if not ready and not self.ray.cluster_resources().get("CPU", 0):
            raise EnvironmentProblem(
                f"the Ray cluster has had no CPU for {_LOOK_SECONDS:.0f} s; {len(self.running)} jobs wait",
                hint="see `ray status`; start its nodes and run the same command again, it resumes",
            )
        for reference in ready:
            index = self.running.pop(reference)
            try:
                self.results[index], told = self.ray.get(reference)
            except self.died as error:
                self._again(index, error)
            except self.ray.exceptions.RayTaskError as error:
                self._fail(index, _raised(error))
            else:
                for level, line in told:
                    log.log(level, "%s", line)

    def _again(self, index: int, error: Exception) -> None:
        self.tries[index] += 1
        name = f"{getattr(self.jobs[index], 'name', 'job')} ({index + 1} of {len(self.jobs)})"
        what = type(error).__name__.removesuffix("Error")
        if self.tries[index] < _TRIES:
            log.warning("%s: its process or node ended (%s); sent again, try %d of %d", name, what,
                        self.tries[index] + 1, _TRIES)  # fmt: skip
            self.waiting.appendleft(index)
            return
        self._fail(index, EnvironmentProblem(
            f"{name}: its process ended unexpectedly {_TRIES} times ({what}: killed, or out of memory)",
            hint="run the same command again, it resumes; if it recurs, use fewer --workers or nodes with more memory",
        ))  # fmt: skip

    def _fail(self, index: int, failure: BaseException) -> None:
        """Keep a failure for its turn, so that the same one is raised whatever was faster; send nothing after it."""
        self.failures[index] = failure
        self.waiting = deque(sorted(earlier for earlier in self.waiting if earlier < index))


def _raised(error: Any) -> BaseException:
    """What the function raised, from Ray's wrapping, which says where."""
    cause = error.cause
    if "failed to import on the worker" in str(cause):
        return EnvironmentProblem(
            f"a Ray node has no jpfm: {str(cause).strip().splitlines()[-1]}",
            hint="use one Python environment for all nodes; a shared folder that all see is best",
        )
    name = getattr(cause, "filename", None)
    if isinstance(cause, FileNotFoundError) and isinstance(name, str) and Path(name).exists():
        return EnvironmentProblem(f"{name} is not there on the Ray node that needed it, but it is here", hint=_SHARE)
    assert isinstance(cause, BaseException)
    cause.__cause__ = error
    return cause


@cache
def _versions() -> dict[str, str]:
    """What decides the bytes of a shard, so that no node may have another."""
    return {"Python": platform.python_version()} | {name: metadata.version(name) for name in _DECIDE_BYTES}


def _work(sent: bytes, folder: str, versions: dict[str, str]) -> tuple[Any, list[tuple[int, str]]]:
    """Run one job in a worker process of a node; returns its result and the warnings that it logged."""
    host = socket.gethostname()
    os.environ |= dict.fromkeys(_THREADS, "1")  # before numba and polars come in with the job
    if differ := [f"{name} {_versions()[name]}, not {there}" for name, there in versions.items()
                  if _versions()[name] != there]:  # fmt: skip
        raise EnvironmentProblem(
            f"the Ray node {host} has {'; '.join(differ)}: it would not make the same bytes",
            hint="use one Python environment for all nodes; a shared folder that all see is best",
        )
    try:
        os.chdir(folder)
    except OSError as error:
        raise EnvironmentProblem(
            f"the Ray node {host} has no folder {folder} ({error.strerror})", hint=_SHARE
        ) from error
    function, job = pickle.loads(sent)  # noqa: S301 - from the process that this one works for
    kept = _Kept()
    log.addHandler(kept)
    try:
        return function(job), kept.lines
    finally:
        log.removeHandler(kept)


class _Kept(logging.Handler):
    """Keeps what a job logs; Ray would leave it in a file of the node."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, record.getMessage()))
