"""Running a command and watching it from outside: seconds, processor time, and memory of all its processes together.

    told = watch([sys.executable, "-m", "benchmarks.data.band_join", ...], one_core=True)
    told.seconds, told.processor_seconds, told.resident_gb, told.output

Memory is a sum over the command and its descendants, read from /proc ten times a second: resident (RSS, which counts a
page that two share twice) and proportional (PSS, which does not). Refused: ru_maxrss of wait4, which is that of the
largest process alone and, after a fork, that of the parent before the command has begun (3.3 GB for all, here).
"""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]
_GONE = (FileNotFoundError, ProcessLookupError)  # it ended meanwhile
_PAUSE = 0.1  # seconds


class Watched(NamedTuple):
    """What a command took."""

    seconds: float
    processor_seconds: float
    resident_gb: float
    proportional_gb: float
    processes: int
    """Most at one time."""
    output: str


def processes_of(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except _GONE:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def memory_of(process: int) -> tuple[int, int]:
    """Bytes (resident, proportional) of a process; zeros when it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    except _GONE:
        return 0, 0
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kilobytes.get("Rss", 0) * 1024, kilobytes.get("Pss", 0) * 1024


class _Sampler(threading.Thread):
    def __init__(self, process: int) -> None:
        super().__init__()
        self.process = process
        self.done = threading.Event()
        self.resident = self.proportional = self.most = 0

    def run(self) -> None:
        while not self.done.wait(_PAUSE):
            now = [memory for memory in map(memory_of, processes_of(self.process)) if memory[0]]
            self.resident = max(self.resident, sum(resident for resident, _ in now))
            self.proportional = max(self.proportional, sum(proportional for _, proportional in now))
            self.most = max(self.most, len(now))


def watch(command: Sequence[str], *, one_core: bool = False, env: Mapping[str, str] | None = None) -> Watched:
    """Run a command from the root of the checkout.

    Args:
        one_core: bind it and its children to one processor.
        env: variables besides those of this process.
    Raises:
        SystemExit: it failed; with the end of what it said.
    """
    processors = os.sched_getaffinity(0)
    begun = time.perf_counter()
    if one_core:
        os.sched_setaffinity(0, {max(processors)})  # the child inherits it
    try:
        process = subprocess.Popen(
            command, env=os.environ | dict(env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=_ROOT
        )
    finally:
        os.sched_setaffinity(0, processors)
    sampler = _Sampler(process.pid)
    sampler.start()
    said: list[bytes] = []
    assert process.stdout is not None
    assert process.stderr is not None
    errors = threading.Thread(target=lambda stream: said.append(stream.read()), args=(process.stderr,))
    errors.start()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.done.set()
    for thread in (sampler, errors):
        thread.join()
    if process.returncode:
        tail = b"".join(said).decode(errors="replace")[-4000:]
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")
    return Watched(
        seconds, usage.ru_utime + usage.ru_stime, sampler.resident / 1e9, sampler.proportional / 1e9, sampler.most,
        output.decode(),
    )  # fmt: skip
