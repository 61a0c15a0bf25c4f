"""What this machine can do, and what to mend."""

import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from jpfm.core import run
from jpfm.train.peak import matmul_rate

Level = Literal["ok", "note", "problem"]
_MIN_PYTHON = (3, 11)
_NEEDED_GIB = 4.0
_NEEDED_DISK_GB = 5.0
_IMPORTS = ("torch", "transformers", "accelerate", "sentencepiece", "fugashi", "unidic_lite", "datasets", "numba")


class Finding(NamedTuple):
    """One thing looked at. `mend` is what to do about a problem."""

    level: Level
    what: str
    found: str
    mend: str = ""
    nodes: tuple[str, ...] = ()
    """Of a cluster: the node it is about; several: it is one of them, and cannot be told which."""


def examine(folder: Path) -> Iterator[Finding]:
    """Look at the machine as it is.

    Args:
        folder: where runs will be written; its disk is the one that is measured.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info[:2] >= _MIN_PYTHON
    yield Finding("ok" if fine else "problem", "Python", version, "" if fine else "install Python 3.11 or newer")
    yield from _packages()
    machine = run.hardware()
    yield Finding("ok", "processor", f"{machine.cpu}, {machine.cores} cores")
    enough = machine.memory_gib >= _NEEDED_GIB
    yield Finding(
        "ok" if enough else "problem", "memory", f"{machine.memory_gib} GiB",
        "" if enough else f"the smallest runs need {_NEEDED_GIB} GiB; stop other programs",
    )  # fmt: skip
    yield from _disk(folder)
    yield from _compute()
    yield from _programs()


def _packages() -> Iterator[Finding]:
    for name in _IMPORTS:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            yield Finding("problem", name, f"cannot be imported: {error}", "run `make install`")
        else:
            yield Finding("ok", name, str(getattr(module, "__version__", "present")))


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free / 1e9
    enough = free >= _NEEDED_DISK_GB
    yield Finding(
        "ok" if enough else "problem", "disk", f"{free:.0f} GB free in {folder.resolve()}",
        "" if enough else "free some space, or write runs to another disk with --out",
    )  # fmt: skip
    block = os.urandom(1 << 24)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        start = time.perf_counter()
        for _ in range(4):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        speed = 4 * len(block) / 1e6 / (time.perf_counter() - start)
    yield Finding("ok", "disk write", f"{speed:.0f} MB/s with fsync")


def _compute() -> Iterator[Finding]:
    import torch

    yield Finding("ok", "threads", f"{torch.get_num_threads()} for torch")
    rate = matmul_rate("cpu", torch.float32)
    yield Finding("ok", "matrix products", f"{rate / 1e9:.0f} GFLOP/s in fp32 on the CPU")
    flags = _cpu_flags()
    if "avx512_bf16" in flags or "amx_bf16" in flags:
        yield Finding("ok", "bfloat16", "the CPU has instructions for it")
    else:
        yield Finding("note", "bfloat16", "the CPU has no instructions for it", "train with precision=fp32 on this CPU")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            rate = matmul_rate(f"cuda:{index}", torch.bfloat16)
            name = torch.cuda.get_device_name(index)
            yield Finding("ok", f"GPU {index}", f"{name}, {rate / 1e12:.0f} TFLOP/s in bf16")
    else:
        yield Finding("note", "GPU", "none seen", "small models train on the CPU; larger ones need a GPU machine")
    distributed = torch.distributed.is_available() and torch.distributed.is_gloo_available()
    yield Finding("ok" if distributed else "problem", "gloo", "present" if distributed else "missing from this torch",
                  "" if distributed else "install the torch build that constraints.txt names")  # fmt: skip


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()  # not Linux: unknown, reported as absent
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _programs() -> Iterator[Finding]:
    for program, purpose in (("sbatch", "Slurm jobs"), ("qsub", "PBS or AGE jobs"), ("chromium", "browser tests")):
        path = shutil.which(program)
        yield Finding("ok" if path else "note", program, "found" if path else f"not installed (for {purpose})")
