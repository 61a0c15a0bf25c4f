"""What Slurm itself says about its partitions: a site file may be older than the cluster, or know nothing of it.

there = ask_slurm("gpu")                 # Queue(gpus_per_node=8, cpus_per_node=112, max_nodes=65, max_hours=None)
"""

import shutil
from typing import NamedTuple

from jpfm.core.errors import UsageError
from jpfm.launch.schedulers import ask
from jpfm.launch.site import Queue

DEFAULT = "default"
"""The name that stands for the partition which Slurm takes where none is asked for."""
_FORMAT = "--format=%R|%P|%D|%c|%G|%l"


class _Group(NamedTuple):
    """Nodes of one kind in a partition."""

    partition: str
    is_default: bool
    nodes: int
    cpus: int
    gpus: int
    hours: float | None


def is_here() -> bool:
    """Whether Slurm can be asked."""
    return shutil.which("sinfo") is not None


def ask_slurm(name: str) -> Queue:
    """Nodes, cores, GPUs and hours of a partition; where its nodes differ, those of the largest group of alike ones.

    Raises:
        UsageError: there is no such partition.
        EnvironmentProblem: Slurm does not answer.
    """
    every = [_group(line) for line in ask(["sinfo", "--noheader", _FORMAT]).splitlines() if line.strip()]
    own = [group for group in every if (group.is_default if name == DEFAULT else group.partition == name)]
    if not own:
        known = ", ".join(sorted({group.partition for group in every}))
        raise UsageError(f"Slurm has no partition '{name}'", hint=f"--queue one of: {known}")
    kinds = {(group.gpus, group.cpus) for group in own}
    nodes = {kind: sum(group.nodes for group in own if (group.gpus, group.cpus) == kind) for kind in sorted(kinds)}
    gpus, cpus = max(nodes, key=lambda kind: nodes[kind])
    return Queue(
        gpus_per_node=gpus, cpus_per_node=cpus, max_nodes=nodes[gpus, cpus],
        max_hours=next((group.hours for group in own if group.hours is not None), None),
    )  # fmt: skip


def _group(line: str) -> _Group:
    partition, marked, nodes, cpus, gres, limit = line.split("|")
    return _Group(
        partition, marked.endswith("*"), int(nodes), int(cpus.rstrip("+")), gpus_in(gres), hours_in(limit)
    )  # fmt: skip


def gpus_in(gres: str) -> int:
    """GPUs of a node in Slurm's words.

    >>> gpus_in("gpu:h200:8(S:0-1),nvme:1"), gpus_in("gpu:4"), gpus_in("gpu"), gpus_in("(null)")
    (8, 4, 1, 0)
    """
    total = 0
    for item in gres.split(","):
        parts = item.split("(")[0].split(":")
        if parts[0] == "gpu":
            total += int(parts[-1]) if parts[-1].isdigit() else 1
    return total


def hours_in(limit: str) -> float | None:
    """Hours of a time limit in Slurm's words; None for no limit.

    >>> hours_in("7-00:00:00"), hours_in("1:30:00"), hours_in("30:00"), hours_in("infinite")
    (168.0, 1.5, 0.5, None)
    """
    if not limit[:1].isdigit():
        return None
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + part
    return int(days or 0) * 24 + seconds / 3600
