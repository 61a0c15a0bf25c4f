"""What the facts of a cluster mean: findings, each with the node it is about and the mend. Pure; nothing is measured.

    findings = judge(facts)
    bad_nodes(facts, findings)        # those that a problem names for certain

Two nodes that differ do not say which is wrong: such a finding names both ("n1 or n2"), and neither is left out of the
next job for it.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

from jpfm.launch.cluster.facts import Facts
from jpfm.launch.cluster.rules_gpus import gpu_rules
from jpfm.launch.cluster.rules_links import link_rules
from jpfm.launch.cluster.telling import about, each, odd, one_of
from jpfm.launch.doctor import Finding, Level

_CLOCK_NOTE, _CLOCK_PROBLEM = 1.0, 60.0
_MIN_FILES, _GOOD_FILES = 1024, 16_384
_MIN_SHM_GIB, _MIN_SCRATCH_GIB = 1.0, 1.0
_SLOW_DISK, _VERY_SLOW_DISK = 0.5, 0.25
_SURE_SECONDS = 0.05
"""A disk that took less is not compared: a turn of the scheduler weighs as much."""
_LITTLE_MEMORY = 0.5
_SHM = "/dev/shm"  # noqa: S108  (a name in a sentence)
_HARMLESS = ("kernel",)
"""Versions that may differ."""


def judge(facts: Facts) -> list[Finding]:
    """All rules over all facts, in the order in which a person would look."""
    rules: Sequence[Callable[[Facts], Iterator[Finding]]] = (
        _presence, _versions, _names, _limits, _clocks, gpu_rules, link_rules, _disks, _folder,
    )  # fmt: skip
    return [finding for rule in rules for finding in rule(facts)]


def bad_nodes(facts: Facts, findings: Iterable[Finding]) -> tuple[str, ...]:
    """Nodes that a problem names for certain, in order; also those that never came."""
    named = {finding.nodes[0] for finding in findings if finding.level == "problem" and len(finding.nodes) == 1}
    return tuple(node for node in (*facts.nodes, *facts.absent) if node in named)


def _presence(facts: Facts) -> Iterator[Finding]:
    count = sum(len(processes) for processes in facts.processes.values())
    yield Finding("ok", "nodes", f"{len(facts.nodes)} with {count} processes: {', '.join(facts.nodes)}")
    for node in facts.absent:
        yield about(node, "problem", "nodes", "never spoke", "look at it, or leave it out with --exclude")
    if facts.absent_ranks:
        ranks = ", ".join(map(str, facts.absent_ranks))
        yield Finding(
            "problem", "processes", f"process {ranks} of {facts.processes_expected} never came",
            "see the job's log for how they ended",
        )  # fmt: skip
    for node, stage in facts.silent.items():
        yield about(
            node, "problem", "answers", f"fell silent: {stage}",
            "look at its kernel log (dmesg): a hung disk, GPU or network stops a process",
        )  # fmt: skip


def _versions(facts: Facts) -> Iterator[Finding]:
    names = sorted({name for machine in facts.machines.values() for name in machine.versions})
    equal = []
    for name in names:
        values = {node: machine.versions.get(name, "missing") for node, machine in facts.machines.items()}
        level: Level = "note" if name in _HARMLESS else "problem"
        found = list(odd(name, values, level, "make the environments equal: one folder or image for all nodes"))
        yield from found
        equal += [] if found else [f"{name} {next(iter(values.values()))}"]
    drivers = {node: machine.driver for node, machine in facts.machines.items() if machine.driver is not None}
    yield from odd("GPU driver", drivers, "note", "ask for one driver on all nodes")
    if equal:
        yield Finding("ok", "versions", ", ".join(equal))


def _names(facts: Facts) -> Iterator[Finding]:
    hosts = {machine.hostname for machine in facts.machines.values()}
    for node, machine in facts.machines.items():
        for name, answer in sorted(machine.names.items()):
            if answer.address is None:
                yield about(
                    node, "problem", "names", f"'{name}' does not resolve: {answer.error}",
                    "add it to DNS or to /etc/hosts of this node",
                )  # fmt: skip
            elif _loopback(answer.address) and len(hosts) > 1:
                if name != machine.hostname and name in hosts:
                    yield about(
                        node, "problem", "names", f"'{name}', another node, resolves to {answer.address}",
                        "mend /etc/hosts of this node",
                    )  # fmt: skip
                elif name == machine.hostname and machine.gloo_interface is None:
                    yield about(
                        node, "problem", "names", f"its own name '{name}' resolves to {answer.address}, "
                        "which gloo gives to the other nodes as its address",
                        "set GLOO_SOCKET_IFNAME to the network between nodes, or mend /etc/hosts of this node",
                    )  # fmt: skip


def _loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _limits(facts: Facts) -> Iterator[Finding]:
    memory = {node: machine.memory_gib for node, machine in facts.machines.items()}
    usual = statistics.median(memory.values()) if memory else 0.0
    for node, machine in facts.machines.items():
        files = [machine.open_files, *(process.open_files for process in facts.processes.get(node, ()))]
        if min(files) < _GOOD_FILES:
            level: Level = "problem" if min(files) < _MIN_FILES else "note"
            yield about(
                node, level, "open files", f"a process may open {min(files)}",
                f"ulimit -n {_GOOD_FILES} in the job (the site file's setup), or raise the node's hard limit",
            )  # fmt: skip
        if machine.infiniband and machine.locked_memory_kib is not None:
            yield about(
                node, "problem", "locked memory", f"limited to {machine.locked_memory_kib} KiB: InfiniBand needs more",
                "ulimit -l unlimited; under Slurm PropagateResourceLimitsExcept=MEMLOCK",
            )  # fmt: skip
        if machine.shm_gib is not None and machine.shm_gib < _MIN_SHM_GIB:
            yield about(
                node, "problem" if machine.torch_gpus else "note", "shared memory",
                f"{machine.shm_gib:g} GiB free in {_SHM}",
                "NCCL and data workers share memory there: start the container with more, or remove files",
            )  # fmt: skip
        if machine.scratch_gib is None:
            yield about(
                node, "problem", "scratch", f"{machine.scratch}: {machine.scratch_error or 'no such folder'}",
                "mend it, or name another folder as scratch in the site file",
            )  # fmt: skip
        elif machine.scratch_gib < _MIN_SCRATCH_GIB:
            yield about(
                node, "problem", "scratch", f"{machine.scratch}: {machine.scratch_gib:g} GiB free",
                "remove what earlier jobs left there",
            )  # fmt: skip
        if machine.memory_gib < _LITTLE_MEMORY * usual:
            yield about(
                node, "note", "memory", f"{machine.memory_gib:g} GiB available, {usual:g} on most",
                "look for programs left over",
            )  # fmt: skip


def _clocks(facts: Facts) -> Iterator[Finding]:
    """Against the median, so that the first node's clock may be the wrong one."""
    if len(facts.clocks) < 2:
        return
    middle = statistics.median_low(clock.ahead_seconds for clock in facts.clocks.values())
    off = {node: clock.ahead_seconds - middle for node, clock in facts.clocks.items()}
    worst = max(off.values()) - min(off.values())
    mend = "start a time service (chronyd) there"
    if worst <= _CLOCK_NOTE:
        yield Finding("ok", "clocks", f"within {worst:.3f} s of each other")
    elif len(off) == 2:
        level: Level = "problem" if worst > _CLOCK_PROBLEM else "note"
        yield one_of(tuple(off), level, "clock", f"their clocks are {worst:.1f} s apart", mend)
    else:
        for node, seconds in off.items():
            if abs(seconds) > _CLOCK_NOTE:
                level = "problem" if abs(seconds) > _CLOCK_PROBLEM else "note"
                words = "ahead of" if seconds > 0 else "behind"
                yield about(node, level, "clock", f"{abs(seconds):.1f} s {words} the others", mend)


def _disks(facts: Facts) -> Iterator[Finding]:
    for node, disk in facts.disks.items():
        if disk.error is not None:
            yield about(node, "problem", "disk", disk.error, "mount the shared folder there, with the right to write")
    for field, words in (
        ("write_alone", "writes {} alone"), ("read_alone", "reads {} alone"),
        ("write_together", "writes {} while all do"), ("read_together", "reads {} while all do"),
    ):  # fmt: skip
        rates = {node: rate for node, disk in facts.disks.items() if (rate := getattr(disk, field)) is not None}
        if not rates:
            continue
        usual = statistics.median(rates.values())
        mib = max(disk.mib for disk in facts.disks.values())
        if mib / usual < _SURE_SECONDS:
            continue
        for node, rate in rates.items():
            if rate < _SLOW_DISK * usual:
                yield about(
                    node, "problem" if rate < _VERY_SLOW_DISK * usual else "note", "disk",
                    f"{words.format(f'{rate:.0f} MB/s')}; most nodes {usual:.0f}",
                    "look at its network to the storage and at its mount options",
                )  # fmt: skip
    if any(disk.write_together for disk in facts.disks.values()):
        write, read = (
            sum(getattr(disk, field) or 0.0 for disk in facts.disks.values())
            for field in ("write_together", "read_together")
        )
        yield Finding("ok", "disk", f"all nodes at once write {write:.0f} MB/s and read {read:.0f} MB/s")


def _folder(facts: Facts) -> Iterator[Finding]:
    """Whether it is one folder, and locked as one."""
    living = {
        node: disk for node, disk in facts.disks.items()
        if disk.error is None and (disk.unseen or disk.seen_after_seconds is not None) and node not in facts.silent
    }  # fmt: skip
    silent = {node for node in facts.nodes if node not in living}
    unseen = {node: set(disk.unseen) - silent for node, disk in living.items()}
    pairs = [(a, b) for place, a in enumerate(living) for b in list(living)[place + 1 :]]
    bad = [(a, b) for a, b in pairs if b in unseen[a] or a in unseen[b]]
    yield from each(
        bad, pairs, "shared folder", "files of the other nodes are not seen there",
        "the folder is not the same one: give --out a folder on the shared disk, or mount it on this node",
    )  # fmt: skip
    late = max((disk.seen_after_seconds or 0.0 for disk in living.values()), default=0.0)
    if len(living) > 1 and not bad:
        yield Finding("ok", "shared folder", f"a file is seen by all nodes within {late:.1f} s")
    locks: dict[str, str] = {node: disk.lock for node, disk in living.items() if disk.lock is not None}
    taken = [node for node, answer in locks.items() if answer == "taken twice"]
    if taken and len(taken) == len(locks):
        yield Finding(
            "problem", "locks", "two nodes hold the same flock: two jobs could write one run",
            "mount the shared disk with flock across nodes (Lustre: -o flock, not localflock)",
        )  # fmt: skip
    else:
        for node in taken:
            yield about(
                node, "problem", "locks", "takes a flock that another node holds",
                "mount the shared disk as the other nodes do (Lustre: -o flock)",
            )  # fmt: skip
    if locks and not taken:
        yield Finding("ok", "locks", "flock holds across nodes")
