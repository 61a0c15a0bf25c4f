"""One node at rest: versions, limits, memory, what names resolve to. Nothing here touches a GPU's memory.

facts = look(Path("/scratch"), hosts=["node1", "node2"], seconds=20)
"""

import os
import platform
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from jpfm.core import run
from jpfm.launch.cluster import gpus
from jpfm.launch.cluster.deadline import Late, within
from jpfm.launch.cluster.facts import Address, Machine

_RESOLVERS = 16
_SCRATCH_MIB = 64


def node_name(environment: Mapping[str, str]) -> str:
    """What the scheduler calls this node; its hostname where nobody says."""
    return environment.get("JPFM_NODE") or environment.get("SLURMD_NODENAME") or socket.gethostname()


def look(scratch: Path, hosts: Iterable[str], seconds: float) -> Machine:
    """Everything about this node but its GPUs at work, its disk and its network.

    Args:
        scratch: a folder on the node's own disk.
        hosts: names of all nodes and of the meeting point, which must resolve.
        seconds: that a disk, the driver or a name server may take.
    """
    import torch

    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    try:
        rate, free, error = within(seconds, lambda: _scratch(scratch))
    except Late as late:
        rate, free, error = None, None, f"writing {late}"
    try:
        seen = within(seconds, gpus.read)
    except Late as late:
        seen = gpus.Seen(None, (), f"the driver {late}")
    return Machine(
        hostname=socket.gethostname(),
        versions=_versions(),
        memory_gib=round(_available_gib(), 1),
        shm_gib=_free_gib(Path("/dev/shm")),  # noqa: S108  (looked at, not written)
        scratch=str(scratch),
        scratch_gib=free,
        scratch_write_mb=rate,
        scratch_error=error,
        open_files=open_files(),
        locked_memory_kib=None if locked == resource.RLIM_INFINITY else locked // 1024,
        infiniband=any(Path("/sys/class/infiniband").glob("*")),
        gloo_interface=os.environ.get("GLOO_SOCKET_IFNAME"),
        torch_gpus=torch.cuda.device_count(),
        driver=seen.driver,
        gpus=seen.gpus,
        gpus_unread=seen.problem,
        names=_resolve(sorted(set(hosts)), seconds),
    )


def open_files() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _versions() -> dict[str, str]:
    import torch

    found = {"python": platform.python_version(), "kernel": platform.release(), **run.versions()}
    found["jpfm source"] = run.git_commit() or "installed"
    found["CUDA"] = str(torch.version.cuda or torch.version.hip or "none")
    if torch.cuda.is_available():
        found["NCCL"] = ".".join(map(str, torch.cuda.nccl.version()))
    return found


def _available_gib() -> float:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    except OSError:
        pass  # not Linux: what the machine has, then
    return run.hardware().memory_gib


def _free_gib(folder: Path) -> float | None:
    try:
        space = os.statvfs(folder)
    except OSError:
        return None
    return round(space.f_bavail * space.f_frsize / 2**30, 1)


def _scratch(folder: Path) -> tuple[float | None, float | None, str | None]:
    """MB/s and GiB free, or why nothing can be written there."""
    block = os.urandom(1 << 20)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".jpfm-") as file:
            start = time.perf_counter()
            for _ in range(_SCRATCH_MIB):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            rate = round(_SCRATCH_MIB * len(block) / 1e6 / (time.perf_counter() - start), 1)
            return rate, _free_gib(folder), None
    except OSError as error:
        return None, None, error.strerror or str(error)


def _resolve(names: list[str], seconds: float) -> dict[str, Address]:
    """A name server that does not answer takes 10 s a name, so names are asked for side by side."""
    left, found = list(names), dict[str, Address]()

    def ask() -> None:
        while left:
            try:
                name = left.pop()
            except IndexError:  # another thread took the last one
                return
            found[name] = _address(name)

    threads = [threading.Thread(target=ask, name="resolving names", daemon=True) for _ in range(_RESOLVERS)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = Address(address=None, error=f"no answer within {seconds:g} s")
    return {name: found.get(name, late) for name in names}


def _address(name: str) -> Address:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return Address(address=None, error=error.strerror or str(error))
    return Address(address=str(found[0][4][0]))
