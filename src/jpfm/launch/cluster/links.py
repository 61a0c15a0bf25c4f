"""All-reduces within nodes, between every pair of nodes, and over all: who takes part, and what they found.

Pairs meet as in a tournament: N nodes take N - 1 rounds (N when odd) of N / 2 pairs at once, each node in one pair of a
round. Refused: pairs one after the other (2016 turns for 64 nodes instead of 63), and one all-reduce over everything,
which is as slow as its slowest node and does not say which that is.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import torch

from jpfm.core.config import Settings
from jpfm.launch.cluster.collective import Network, measure
from jpfm.launch.cluster.deadline import Late
from jpfm.launch.cluster.facts import Link
from jpfm.launch.cluster.meeting import Meeting
from jpfm.launch.cluster.trial import Trial

_GIVE_UP_AFTER = 3
_GLOO_BYTES = 32 << 20


def rounds(nodes: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Every pair once, in rounds where no node is twice.

    >>> rounds(["a", "b", "c"])
    [[('b', 'c')], [('a', 'c')], [('a', 'b')]]
    """
    seats: list[str | None] = [*nodes] if len(nodes) % 2 == 0 else [*nodes, None]
    order = {node: place for place, node in enumerate(nodes)}
    found = []
    for _ in range(len(seats) - 1):
        half = len(seats) // 2
        sides = zip(seats[:half], reversed(seats[half:]), strict=True)
        pairs = [(left, right) for left, right in sides if left is not None and right is not None]
        found.append(sorted((min(pair, key=order.__getitem__), max(pair, key=order.__getitem__)) for pair in pairs))
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return found


class Plan(Settings):
    """What the main process decides about the all-reduces, from what all said about their devices."""

    cuda: bool
    num_bytes: int
    left_out: tuple[str, ...] = ()
    """Nodes with a device that does not work, or of another kind: an all-reduce with them would fail or hang."""


class Links:
    """The network part of a preflight, in one process. All processes call the same methods in the same order."""

    def __init__(
        self, meeting: Meeting, ranks: Mapping[str, Sequence[int]], device: torch.device, trial: Trial, plan: Plan
    ) -> None:
        self.meeting, self.device, self.trial, self.plan, self.ranks = meeting, device, trial, plan, ranks
        self.networks: tuple[Network, ...] = ("gloo", "nccl") if plan.cuda else ("gloo",)

    def inside(self) -> list[Link]:
        """Within each node that has several processes."""
        groups = [(node,) for node in self._living() if len(self._members((node,), self.networks[-1])) > 1]
        return self._together("all-reduce within nodes", groups, self.networks[-1:], 1)

    def pairs(self) -> tuple[list[Link], list[tuple[str, str]]]:
        """Between nodes; and the pairs that were left out."""
        found: list[Link] = []
        for number, pairs in enumerate(rounds(list(self.ranks)), 1):
            living = self._living()
            given_up = _given_up(found) if self.meeting.is_main else set()
            able = [node for node in living if node not in given_up]
            chosen = [pair for pair in pairs if set(pair) <= set(able)]
            found += self._together(f"all-reduce of pairs, round {number}", chosen, self.networks, 1)
        tried = {link.nodes for link in found}
        return found, [pair for pair in combinations(self.ranks, 2) if pair not in tried]

    def overall(self, able: Iterable[str]) -> list[Link]:
        """Over all processes of the nodes that the main process names."""
        nodes = tuple(able)
        groups = [nodes] if len(nodes) > 1 else []
        return self._together("all-reduce over all nodes", groups, self.networks[-1:], 4)

    def _living(self) -> list[str]:
        living = set(self.meeting.living)
        return [node for node, own in self.ranks.items() if living.issuperset(own) and node not in self.plan.left_out]

    def _members(self, nodes: Iterable[str], network: Network) -> list[int]:
        """gloo on a machine with GPUs carries control messages: one process a node is enough to try it."""
        one = network == "gloo" and self.plan.cuda
        return [rank for node in nodes for rank in self.ranks[node][: 1 if one else None]]

    def _together(
        self, stage: str, groups: Sequence[tuple[str, ...]], networks: Sequence[Network], patience: int
    ) -> list[Link]:
        """Groups without a common node, all at once. The main process's groups count."""
        meeting, seconds = self.meeting, self.trial.patience_seconds * patience
        limit = 2 * seconds * len(networks) + min(5.0, seconds)
        said = [tuple(group) for group in json.loads(meeting.announce(stage, json.dumps(groups), 2 * limit))]
        members = {(group, network): self._members(group, network) for group in said for network in networks}
        parts: dict[str, dict[str, object]] = {}
        for (_, network), chosen in members.items():
            if meeting.rank in chosen:
                parts[network] = self._part(f"{stage}/{network}/{chosen[0]}", chosen, network, seconds)
        answers = {rank: json.loads(text) for rank, text in meeting.collect(stage, json.dumps(parts), limit).items()}
        return [
            _joined(group, network, self._bytes(network), chosen, answers)
            for (group, network), chosen in members.items()
        ]

    def _bytes(self, network: Network) -> int:
        return _GLOO_BYTES if network == "gloo" and self.plan.cuda else self.plan.num_bytes

    def _part(self, name: str, members: Sequence[int], network: Network, seconds: float) -> dict[str, object]:
        try:
            rate = measure(
                self.meeting.store, name, members.index(self.meeting.rank), len(members), network=network,
                device=self.device, num_bytes=self._bytes(network), repeats=self.trial.repeats, seconds=seconds,
            )  # fmt: skip
        except (RuntimeError, OSError, Late) as error:
            return {"error": _plain(error)}
        return {"rate": rate.gb_per_second, "wrong": rate.wrong}


def _joined(
    nodes: tuple[str, ...],
    network: Network,
    num_bytes: int,
    members: Sequence[int],
    answers: Mapping[int, Mapping[str, dict[str, object]]],
) -> Link:
    """What the members say, as one: the slowest rate, and the error that says most."""
    parts = [answers[rank].get(network, {"error": "no figure"}) if rank in answers else None for rank in members]
    errors = sorted((str(part["error"]) for part in parts if part is not None and "error" in part), key=_says_little)
    if not errors and None in parts:
        errors = [f"no answer from process {members[parts.index(None)]}"]
    whole = [part for part in parts if part is not None and "rate" in part]
    return Link(
        nodes=nodes, network=network, processes=len(members), num_bytes=num_bytes, error=errors[0] if errors else None,
        gb_per_second=None if errors else round(min(float(str(part["rate"])) for part in whole), 4),
        wrong=sum(int(str(part["wrong"])) for part in whole),
    )  # fmt: skip


def _says_little(error: str) -> bool:
    """Who waits for a process that failed only says that it waited."""
    return "timeout" in error or "imed out" in error or "within" in error


def _given_up(found: Iterable[Link]) -> set[str]:
    """Nodes that failed with several others and worked with none: each more pair would only cost its time limit."""
    failed: dict[str, int] = {}
    worked: set[str] = set()
    for link in found:
        for node in link.nodes:
            if link.error is None:
                worked.add(node)
            else:
                failed[node] = failed.get(node, 0) + 1
    return {node for node, times in failed.items() if times >= _GIVE_UP_AFTER and node not in worked}


def _plain(error: Exception) -> str:
    """The last sentence of what torch says: it puts places in its sources before and traces behind."""
    line = str(error).split("\n", maxsplit=1)[0]
    return line.rpartition("] ")[2][:200] or type(error).__name__
