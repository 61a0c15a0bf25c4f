"""What the GPUs' own figures mean: broken ones, slow ones, busy ones, and nodes with other GPUs than the rest."""

import statistics
from collections.abc import Iterator

from jpfm.launch.cluster.facts import Facts, Gpu, Process
from jpfm.launch.cluster.telling import about, odd
from jpfm.launch.doctor import Finding

_SLOW_CARD = 0.9
_MUCH_CORRECTED = 1000
_LEFT_OVER_MIB = 2048
"""The driver itself takes some hundred MiB."""
_HOT = 85
_RESET = "leave the node out until its GPU was reset (nvidia-smi -r with no program on it, or a restart)"
_REPLACE = "leave the node out and have this GPU replaced"


def gpu_rules(facts: Facts) -> Iterator[Finding]:
    """All of them; one word where there are no GPUs."""
    if not any(machine.torch_gpus or machine.gpus for machine in facts.machines.values()):
        yield Finding("note", "GPUs", "none on any node: only the CPUs and the network were looked at")
        yield from _cpu_rate(facts)
        return
    kinds = {}
    for node, machine in facts.machines.items():
        names = sorted(gpu.name for gpu in _used(facts, node)) or sorted(_names_by_torch(facts, node))
        kinds[node] = f"{machine.torch_gpus} GPUs ({', '.join(dict.fromkeys(names)) or 'unknown'})"
        if machine.torch_gpus == 0 and machine.gpus:
            yield about(
                node, "problem", "GPUs", f"the driver sees {len(machine.gpus)}, torch none",
                "this torch is built for no GPU or for a newer driver: see `python -m torch.utils.collect_env`",
            )  # fmt: skip
        elif machine.gpus_unread is not None and machine.torch_gpus:
            yield about(
                node, "note", "GPUs", f"errors, clocks and links were not read: {machine.gpus_unread}",
                "give the job (or its container) the driver's library libnvidia-ml.so.1",
            )  # fmt: skip
        processes = len(facts.processes.get(node, ()))
        if 0 < processes < machine.torch_gpus:
            yield about(
                node, "note", "GPUs", f"{processes} of {machine.torch_gpus} were tried", "start one process a GPU",
            )  # fmt: skip
    yield from odd("GPUs", kinds, "problem", "nodes of one kind belong in one job; a missing GPU is in dmesg (Xid)")
    if len(set(kinds.values())) == 1:
        yield Finding("ok", "GPUs", f"{next(iter(kinds.values()))} on every node")
    for node in facts.machines:
        for gpu in _used(facts, node):
            yield from _health(node, gpu)
    yield from _links_of_gpus(facts)
    yield from _at_work(facts)


def _used(facts: Facts, node: str) -> list[Gpu]:
    """The GPUs that processes of the job work on; all where that is not known."""
    own = {process.uuid for process in facts.processes.get(node, ()) if process.uuid is not None}
    return [gpu for gpu in facts.machines[node].gpus if not own or gpu.uuid in own]


def _names_by_torch(facts: Facts, node: str) -> list[str]:
    return [process.name for process in facts.processes.get(node, ()) if process.device != "cpu"]


def _health(node: str, gpu: Gpu) -> Iterator[Finding]:
    what = "GPU errors"
    if gpu.ecc_uncorrected:
        yield about(node, "problem", what, f"{gpu.ecc_uncorrected} uncorrected memory errors on {gpu.uuid}", _RESET)
    if gpu.remap_failed:
        yield about(node, "problem", what, f"a bad memory row of {gpu.uuid} could not be remapped", _REPLACE)
    if gpu.reset_pending:
        yield about(node, "problem", what, f"a bad memory page or row of {gpu.uuid} waits for a reset", _RESET)
    if gpu.ecc_corrected is not None and gpu.ecc_corrected >= _MUCH_CORRECTED:
        yield about(node, "note", what, f"{gpu.ecc_corrected} corrected memory errors on {gpu.uuid}", "watch it")
    if gpu.retired_pages or gpu.remapped_rows:
        count = (gpu.retired_pages or 0) + (gpu.remapped_rows or 0)
        yield about(node, "note", what, f"{count} memory pages or rows of {gpu.uuid} are out of use", "watch it")
    if gpu.processes or (gpu.used_mib or 0) > _LEFT_OVER_MIB:
        yield about(
            node, "problem", "GPU memory",
            f"{gpu.used_mib or 0} MiB of {gpu.uuid} in use by {_processes(gpu)} before this began",
            "end what an earlier job left there (nvidia-smi shows it), or ask for whole nodes",
        )  # fmt: skip
    if gpu.power_limit_watts and gpu.power_default_watts and gpu.power_limit_watts < gpu.power_default_watts:
        yield about(
            node, "note", "GPU power", f"{gpu.uuid} may take {gpu.power_limit_watts:.0f} W, "
            f"by default {gpu.power_default_watts:.0f}", "it is slower for it, if the site did not mean that",
        )  # fmt: skip
    if gpu.temperature is not None and gpu.temperature >= _HOT:
        yield about(node, "note", "GPU heat", f"{gpu.uuid} has {gpu.temperature} degrees at rest", "look at cooling")


def _processes(gpu: Gpu) -> str:
    if gpu.processes is None:
        return "an unknown number of programs"
    return f"{gpu.processes} program{'' if gpu.processes == 1 else 's'}"


def _links_of_gpus(facts: Facts) -> Iterator[Finding]:
    """PCIe and NVLink, against the best of the same kind."""
    gpus = [(node, gpu) for node in facts.machines for gpu in _used(facts, node)]
    for node, gpu in gpus:
        alike = [other for _, other in gpus if other.name == gpu.name]
        lanes = max(other.pcie_width or 0 for other in alike)
        if gpu.pcie_width is not None and gpu.pcie_width < lanes:
            yield about(
                node, "problem", "PCIe", f"{gpu.uuid} has {gpu.pcie_width} lanes, others {lanes}",
                "have the card seated anew",
            )  # fmt: skip
        elif gpu.pcie_width is not None and gpu.pcie_max_width is not None and gpu.pcie_width < gpu.pcie_max_width:
            yield about(
                node, "note", "PCIe", f"{gpu.uuid} has {gpu.pcie_width} of {gpu.pcie_max_width} lanes",
                "if the slots have more, have the cards seated anew",
            )  # fmt: skip
        links = max(other.nvlinks or 0 for other in alike)
        if (gpu.nvlinks or 0) < links:
            yield about(
                node, "problem", "NVLink", f"{gpu.nvlinks or 0} links of {gpu.uuid} are up, others have {links}",
                "restart the fabric manager or the node; see nvidia-smi nvlink -s",
            )  # fmt: skip


def _at_work(facts: Facts) -> Iterator[Finding]:
    workers = [(node, process) for node, processes in facts.processes.items() for process in processes]
    for node, process in workers:
        if process.error is not None:
            yield about(
                node, "problem", "GPU at work", f"process {process.rank}, {process.device}: {process.error}", _RESET
            )
        if process.slowed_by:
            yield about(
                node, "problem", "GPU at work", f"{process.device} is slowed down by {', '.join(process.slowed_by)}",
                "look at cooling and power of this node",
            )  # fmt: skip
        yield from _generation(node, process, workers)
    for kind in sorted({process.name for _, process in workers if process.device != "cpu"}):
        rates = [process.flops for _, process in workers if process.name == kind and process.flops is not None]
        if not rates:
            continue
        usual = statistics.median(rates)
        yield Finding(
            "ok", "matrix products", f"{kind}: {usual / 1e12:.0f} TFLOP/s in bf16, median of {len(rates)} GPUs"
        )
        for node, process in workers:
            if process.name == kind and process.flops is not None and process.flops < _SLOW_CARD * usual:
                clock = "" if process.sm_mhz is None else f" at {process.sm_mhz} MHz"
                yield about(
                    node, "problem", "matrix products",
                    f"{process.device} reaches {process.flops / 1e12:.0f} TFLOP/s{clock}, most {usual / 1e12:.0f}",
                    "a slow card slows every step of all: leave the node out and look at its clocks and heat",
                )  # fmt: skip


def _generation(node: str, process: Process, workers: list[tuple[str, Process]]) -> Iterator[Finding]:
    """PCIe's generation drops at rest, so it is read at work."""
    best = max((other.pcie_generation or 0) for _, other in workers if other.name == process.name)
    if process.pcie_generation is not None and process.pcie_generation < best:
        yield about(
            node, "problem", "PCIe", f"{process.device} works at generation {process.pcie_generation}, "
            f"others at {best}",
            "have the card seated anew",
        )  # fmt: skip


def _cpu_rate(facts: Facts) -> Iterator[Finding]:
    rates = [process.flops for processes in facts.processes.values() for process in processes if process.flops]
    if rates:
        yield Finding(
            "ok", "matrix products", f"{statistics.median(rates) / 1e9:.0f} GFLOP/s a process in fp32, median"
        )
    for node, processes in facts.processes.items():
        for process in processes:
            if process.error is not None:
                yield about(node, "problem", "matrix products", f"process {process.rank}: {process.error}", _REPLACE)
