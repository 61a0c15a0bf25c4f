"""Who ran what, where and for how long: the part of a manifest that is not part of its id."""

import os
import platform
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import pydantic

_PACKAGES = ("jpfm", "torch", "transformers", "accelerate", "sentencepiece", "tokenizers", "pyarrow", "numba", "numpy")


class Hardware(pydantic.BaseModel):
    """The machine: processor, cores, memory in GiB, accelerators by name."""

    model_config = pydantic.ConfigDict(frozen=True)
    cpu: str
    cores: int
    memory_gib: float
    gpus: tuple[str, ...] = ()


class RunInfo(pydantic.BaseModel):
    """How an artifact came to be on this machine."""

    model_config = pydantic.ConfigDict(frozen=True)
    started: str
    seconds: float
    """Wall time of the last process; an earlier, interrupted one is not counted."""
    command: str
    host: str
    python: str
    versions: dict[str, str]
    git_commit: str | None
    hardware: Hardware
    gpu_hours: float
    energy_joules: float | None
    """Package energy by the processor's own counter (RAPL); None where the machine reports none."""
    inputs: dict[str, str]
    """Parent id -> its place when this was made, relative to the artifact. A hint; lineage goes by id."""


@dataclass(frozen=True)
class Started:
    """The clock, time stamp and energy counter when a stage began."""

    clock: float
    stamp: str
    energy: float | None
    inputs: dict[str, str]


def owner() -> str:
    """Words that name this process for a person who meets its lock."""
    return f"process {os.getpid()} on {socket.gethostname()} since {_stamp()} ({_command()})"


def start(inputs: dict[str, str]) -> Started:
    """Begin to measure a stage."""
    return Started(time.perf_counter(), _stamp(), _energy(), inputs)


def finish(started: Started) -> RunInfo:
    """What the stage took, on which machine, with which versions."""
    seconds = time.perf_counter() - started.clock
    energy = _energy()
    machine = hardware()
    return RunInfo(
        started=started.stamp,
        seconds=round(seconds, 3),
        command=_command(),
        host=socket.gethostname(),
        python=platform.python_version(),
        versions=versions(),
        git_commit=git_commit(),
        hardware=machine,
        gpu_hours=round(seconds / 3600 * len(machine.gpus), 4),
        energy_joules=None
        if energy is None or started.energy is None or energy < started.energy
        else round(energy - started.energy, 1),
        inputs=started.inputs,
    )


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide results. Reads metadata, imports nothing."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def git_commit() -> str | None:
    """Commit of the source tree jpfm runs from, with `+changes` when files differ; None for an installed package."""
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


@cache
def hardware() -> Hardware:
    """This machine. Accelerators are asked of torch only where a stage has imported it already."""
    torch = sys.modules.get("torch")
    gpus: tuple[str, ...] = ()
    if torch is not None and torch.cuda.is_available():
        gpus = tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Hardware(cpu=_cpu_name(), cores=os.cpu_count() or 1, memory_gib=round(memory, 1), gpus=gpus)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: platform knows less but something
    return platform.processor() or platform.machine()


def _energy() -> float | None:
    total, found = 0.0, False
    for counter in sorted(Path("/sys/class/powercap").glob("intel-rapl:?/energy_uj")):
        try:
            total += int(counter.read_text()) / 1e6
            found = True
        except OSError:
            return None  # the counter is there but not readable for this user
    return total if found else None


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
