"""Slices, order of results, and what happens when a worker or its parent dies. Real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.core.shards import Engine, Slice, map_shards


@given(st.integers(1, 9), st.integers(0, 40))
def test_slices_take_every_job_once(count: int, num_jobs: int) -> None:
    jobs = list(range(num_jobs))
    taken = [job for index in range(count) for job in Slice.parse(f"{index}/{count}").take(jobs)]
    assert sorted(taken) == jobs


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "0/0", "a/b", "1/2/3", "0.5/2", " 0/2", "²/4"])
def test_a_slice_that_is_none_is_explained(text: str) -> None:
    with pytest.raises(UsageError, match="expected I/N with 0 <= I < N"):
        Slice.parse(text)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    jobs = [7, 3, 9, 1, 5]
    assert list(map_shards(float, jobs, Engine(workers=workers))) == [(job, float(job)) for job in jobs]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_users_error_arrives_with_its_hint(workers: int) -> None:
    with pytest.raises(UsageError) as caught:
        list(map_shards(Slice.parse, ["0/2", "2/2", "1/2"], Engine(workers=workers)))
    assert "--slice 2/2" in caught.value.message
    assert "e.g." in caught.value.hint


def test_a_worker_that_dies_is_one_sentence() -> None:
    with pytest.raises(EnvironmentProblem, match="worker process ended unexpectedly"):
        list(map_shards(os._exit, [9, 9], Engine(workers=2)))


def _workers_of(process: int) -> list[int]:
    """Pool workers below a process (its resource tracker is not one)."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_end_with_a_killed_parent() -> None:
    lines = [
        "import time; from jpfm.core.shards import Engine, map_shards",
        "list(map_shards(time.sleep, [60, 60], Engine(workers=2)))",
    ]
    code = "\n".join(lines)
    parent = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while len(workers := _workers_of(parent.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1.0)  # past the workers' own start
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(map(_runs, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(workers) == 2
    assert not any(map(_runs, workers))
