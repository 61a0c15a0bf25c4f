"""The preflight as a person reads it: a line a node, then what was found, problems last, next to the prompt.

rich.console.Console().print(*tables(cluster), sep="\\n")
"""

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from jpfm.launch.cluster.examine import Cluster
from jpfm.launch.cluster.facts import Facts, Link
from jpfm.launch.doctor import Finding

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "bold red")}


def tables(cluster: Cluster) -> list[RenderableType]:
    """For rich, in the order of a page."""
    parts: list[RenderableType] = [] if cluster.facts is None else [_nodes(cluster.facts, cluster.bad_nodes)]
    return [*parts, _findings(cluster.findings), Text(verdict(cluster))]


def verdict(cluster: Cluster) -> str:
    """One sentence."""
    unsure = [finding for finding in cluster.problems if len(finding.nodes) != 1]
    if cluster.bad_nodes:
        return f"bad nodes: {', '.join(cluster.bad_nodes)}" + (
            f"; and {len(unsure)} problem(s) of no one node" if unsure else ""
        )
    return f"{len(unsure)} problem(s), of no node that can be named" if unsure else "no problems"


def _findings(findings: Sequence[Finding]) -> Table:
    table = Table("", "what", "found", box=None, pad_edge=False)
    for finding in sorted(findings, key=lambda one: list(_MARKS).index(one.level)):
        mark, style = _MARKS[finding.level]
        found = Text(finding.found)
        if finding.mend:
            found.append(f"\n-> {finding.mend}", style="dim")
        table.add_row(Text(mark, style=style), Text(finding.what), found)
    return table


def _nodes(facts: Facts, bad: Iterable[str]) -> Table:
    """Figures of each node; "-" where there is none."""
    networks = sorted({link.network for link in facts.pairs})
    titles = ["node", "GPUs", "TFLOP/s", "within GB/s", *(f"{name} to others GB/s" for name in networks)]
    table = Table(*titles, "disk write, read MB/s", "clock s", "", box=None, pad_edge=False)
    marked = set(bad)
    for node in facts.nodes:
        rates = [process.flops / 1e12 for process in facts.processes.get(node, ()) if process.flops]
        machine, disk, clock = facts.machines.get(node), facts.disks.get(node), facts.clocks.get(node)
        table.add_row(
            Text(node),
            "-" if machine is None else str(machine.torch_gpus),
            f"{min(rates):.3g}" if rates else "-",
            _range([link for link in facts.inside if node in link.nodes]),
            *(_range([link for link in facts.pairs if node in link.nodes and link.network == one]) for one in networks),
            "-" if disk is None else f"{_figure(disk.write_alone)}, {_figure(disk.read_alone)}",
            "-" if clock is None else f"{clock.ahead_seconds:+.3f}",
            Text("bad", style="bold red") if node in marked else "",
        )  # fmt: skip
    return table


def _range(links: Sequence[Link]) -> str:
    """Least and most, and how many failed."""
    rates = [link.gb_per_second for link in links if link.gb_per_second is not None]
    failed = len(links) - len(rates)
    parts = (
        [f"{min(rates):.2f}" if min(rates) == max(rates) else f"{min(rates):.2f} to {max(rates):.2f}"] if rates else []
    )
    parts += [f"{failed} failed"] if failed else []
    return ", ".join(parts) or "-"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
