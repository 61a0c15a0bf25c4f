"""Tables of measured arms, and where results go.

markdown = heading("Training on a CPU", threads=2) + table(measured, peak_flops)
write("train_cpu", result, markdown)
"""

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.data.report import write
from benchmarks.train.runs import Measured

from jpfm.core import run

__all__ = ["Goal", "environment", "failures", "goals", "heading", "plain", "table", "write"]
_PEERS = ("torch", "transformers", "accelerate", "torchtitan", "liger-kernel", "numpy")


class Goal(NamedTuple):
    """Something the arms are measured for."""

    words: str
    found: float
    wanted: float
    at_least: bool = True

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted


def environment(threads: int) -> dict[str, Any]:
    """Hardware, versions and commit."""
    import torch

    versions = {}
    for name in _PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "hardware": run.hardware().model_dump(mode="json"), "threads": threads, "versions": versions,
        "commit": run.git_commit(), "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load_average": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def heading(title: str, facts: Mapping[str, Any]) -> str:
    """Title, hardware, commit, versions."""
    machine = facts["hardware"]
    where = ", ".join(machine["gpus"]) or f"{machine['cpu']} ({facts['cpu_capability']}), {facts['threads']} threads"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"# {title}\n\n{where}; {machine['cores']} cores, {machine['memory_gib']} GiB; {versions}; commit "
        f"{facts['commit']}; load average at the start {facts['load_average']}.\n\n"
    )


def table(measured: Mapping[str, Measured], peak_flops: float) -> str:
    """A line for each arm, the fastest first."""
    lines = [
        "| arm | tokens/s | seconds a step (fastest to slowest repeat) | processor seconds | first step after "
        "| peak memory | MFU | graphs, breaks |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in sorted(measured.values(), key=lambda one: one.step_seconds):
        low, high = one.spread
        mfu = one.tokens_per_second * one.setting.flops_per_token() / peak_flops
        lines.append(
            f"| {one.name} | {one.tokens_per_second:,.0f} | {one.step_seconds:.3f} ({low:.3f} to {high:.3f}) "
            f"| {one.median('processor_seconds'):.3f} "
            f"| {one.median('start_seconds'):.1f} s | {one.median('memory_bytes') / 1e9:.2f} GB | {mfu:.1%} "
            f"| {one.lines[0]['graphs']}, {one.lines[0]['graph_breaks']} |"
        )
    return "\n".join(lines) + "\n"


def goals(found: Sequence[Goal]) -> str:
    """A line for each goal."""
    if not found:
        return ""
    lines = ["", "| goal | wanted | measured | |", "|---|---:|---:|---|"]
    for goal in found:
        sign = ">=" if goal.at_least else "<="
        lines.append(
            f"| {goal.words} | {sign} {goal.wanted:g} | {goal.found:.3g} | {'reached' if goal.reached else 'missed'} |"
        )
    return "\n".join(lines) + "\n"


def failures(failed: Mapping[str, str]) -> str:
    """A line for each arm that ended with an error."""
    return "".join(f"\nNot measured: {words}\n" for words in failed.values())


def plain(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """For the JSON file: every repeat as its process said it."""
    return {
        name: {"step_seconds": one.step_seconds, "tokens_per_second": one.tokens_per_second, "repeats": one.lines}
        for name, one in measured.items()
    }
