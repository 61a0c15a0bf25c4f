"""A look at all nodes of a job before a long run: `jpfm doctor --cluster --out DIR`, one process a GPU.

    cluster = examine_cluster(Path("out/preflight"), disk=Path("out"))      # in every process
    if cluster.is_main: print(show.tables(cluster))
    cluster.bad_nodes                                                        # ("n3",)

Starts under torchrun or srun; on a CPU one process a node is enough. The first process writes DIR/cluster.json (all
figures and findings) and DIR/bad_nodes, a name a line, for `jpfm submit --exclude DIR/bad_nodes`. No stage waits for a
node longer than its limit: who does not answer is named, and the others go on.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from jpfm.core.errors import EnvironmentProblem
from jpfm.core.run import hardware
from jpfm.launch.cluster import machine
from jpfm.launch.cluster.blame import bad_ends
from jpfm.launch.cluster.deadline import Late, within
from jpfm.launch.cluster.disks import Disks
from jpfm.launch.cluster.facts import Clock, Facts, Link, Machine, Process
from jpfm.launch.cluster.gpus import Watching
from jpfm.launch.cluster.links import Links, Plan
from jpfm.launch.cluster.meeting import Meeting
from jpfm.launch.cluster.rules import bad_nodes, judge
from jpfm.launch.cluster.trial import Trial
from jpfm.launch.doctor import Finding
from jpfm.train.mesh import adopt_slurm
from jpfm.train.peak import matmul_rate

_PINGS = 5
_PING_SECONDS = 2.0
_CPU_MIB, _SMALL_GPU_MIB, _LARGE_GPU_MIB = 32, 256, 1024


@dataclass(frozen=True)
class Cluster:
    """What was found, the same in every process; the facts only in the first."""

    is_main: bool
    findings: tuple[Finding, ...]
    bad_nodes: tuple[str, ...]
    facts: Facts | None = None

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings for which the preflight fails; the exit code is 5 when there is one."""
        return tuple(finding for finding in self.findings if finding.level == "problem")


class _Hello(pydantic.BaseModel):
    node: str
    host: str


def examine_cluster(
    out: Path, *, disk: Path, scratch: Path = Path("/tmp"),  # noqa: S108  (the site file names another)
    nodes: Sequence[str] = (), trial: Trial | None = None,
) -> Cluster:  # fmt: skip
    """Look at the cluster, judge it, and write down what was found.

    Args:
        out: folder of the report; the first process makes it.
        disk: the shared folder in which the run will be; it must exist.
        scratch: a folder on each node's own disk.
        nodes: what the scheduler calls the nodes of the job, so that one that never speaks can be named.
    Raises:
        EnvironmentProblem: the processes cannot meet, or the first one no longer answers.
    """
    trial = trial or Trial()
    adopt_slurm(os.environ)
    meeting = Meeting.join(os.environ, trial.join_seconds)
    if meeting.is_main:
        out.mkdir(parents=True, exist_ok=True)
    return _Examination(meeting, trial).run(out, disk, scratch, nodes)


class _Examination:
    """The stages, in one process."""

    def __init__(self, meeting: Meeting, trial: Trial) -> None:
        import torch

        self.meeting, self.trial = meeting, trial
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        there = torch.cuda.device_count()
        self.device = torch.device("cuda", self.local_rank) if there else torch.device("cpu")
        self.device_missing = (
            f"there is no GPU {self.local_rank}: torch sees {there}" if 0 < there <= self.local_rank else None
        )

    def run(self, out: Path, disk: Path, scratch: Path, expected: Sequence[str]) -> Cluster:
        """All stages, in order."""
        meeting, trial = self.meeting, self.trial
        people = self._greet()
        self.ranks: dict[str, list[int]] = {}
        for rank, who in people.items():
            self.ranks.setdefault(who.node, []).append(rank)
        self.node = people[meeting.rank].node
        self.leads = self.ranks[self.node][0] == meeting.rank
        machines = self._stage("nodes at rest", lambda: self._machine(people, scratch) if self.leads else None)
        processes = self._stage("devices at work", self._process)
        gpus = [Process.model_validate_json(text) for text in processes.values()]
        plan = meeting.announce("plan", lambda: self._plan(gpus).model_dump_json(), 2 * trial.patience_seconds)
        links = Links(meeting, self.ranks, self.device, trial, Plan.model_validate_json(plan))
        inside = links.inside()
        pairs, untried = links.pairs()
        overall = links.overall(self._able(inside, pairs, links.plan) if meeting.is_main else ())
        disks = Disks(meeting, disk, self.node if self.leads else None, trial).look(self._living())
        clocks = self._clocks()
        if not meeting.is_main:
            return self._heard(meeting.announce("findings", "", 2 * trial.patience_seconds))
        where = {rank: node for node, ranks in self.ranks.items() for rank in ranks}
        came = set(self.ranks)
        facts = Facts(
            processes_expected=meeting.world,
            absent=tuple(node for node in expected if node not in came),
            absent_ranks=tuple(rank for rank in range(meeting.world) if rank not in people),
            silent={where[rank]: stage for rank, stage in sorted(meeting.lost.items()) if rank in where},
            nodes=tuple(self.ranks),
            machines={
                where[rank]: Machine.model_validate_json(text) for rank, text in machines.items() if text != "null"
            },
            processes={node: tuple(one for one in gpus if where[one.rank] == node) for node in self.ranks},
            inside=tuple(inside), pairs=tuple(pairs), untried=tuple(untried), overall=tuple(overall),
            disks={where[rank]: seen for rank, seen in disks.items()}, clocks=clocks,
        )  # fmt: skip
        findings = judge(facts)
        cluster = Cluster(True, tuple(findings), bad_nodes(facts, findings), facts)
        write(cluster, out)
        meeting.announce("findings", _said(cluster), 2 * trial.patience_seconds)
        self._part()
        return cluster

    def _greet(self) -> dict[int, _Hello]:
        """Who is here."""
        own = _Hello(node=machine.node_name(os.environ), host=socket.gethostname())
        seconds = self.trial.join_seconds
        came = self.meeting.collect("joining", own.model_dump_json(), seconds)
        everybody = self.meeting.announce("names", lambda: json.dumps(came), 2 * seconds)
        return {
            int(rank): _Hello.model_validate_json(text)
            for rank, text in sorted(json.loads(everybody).items(), key=_by_rank)
        }

    def _stage(self, stage: str, act: Callable[[], pydantic.BaseModel | None]) -> dict[int, str]:
        """Everybody acts at once and hands in what it found; a stage begins when the one before is over."""
        seconds = self.trial.patience_seconds
        self.meeting.announce(stage, "", 2 * seconds)
        found = act()
        return self.meeting.collect(stage, "null" if found is None else found.model_dump_json(), seconds + 5)

    def _machine(self, people: Mapping[int, _Hello], scratch: Path) -> Machine:
        hosts = {who.host for who in people.values()}
        if self.meeting.world > 1:
            hosts.add(os.environ["MASTER_ADDR"])
        return machine.look(scratch, hosts, self.trial.patience_seconds / 3)

    def _process(self) -> Process:
        """The device of this process under load."""
        import torch

        plain = Process(
            rank=self.meeting.rank, device=str(self.device), name=hardware().cpu, open_files=machine.open_files()
        )  # fmt: skip
        if self.device_missing is not None:
            return plain.model_copy(update={"error": self.device_missing})

        def work() -> Process:
            if self.device.type == "cpu":
                return plain.model_copy(update={"flops": matmul_rate("cpu", torch.float32)})
            torch.cuda.set_device(self.device)
            properties = torch.cuda.get_device_properties(self.device)
            uuid = f"GPU-{properties.uuid}" if hasattr(properties, "uuid") else None
            with Watching(uuid or "") as watching:
                flops = matmul_rate(str(self.device), torch.bfloat16)
            return plain.model_copy(update={
                "name": properties.name, "uuid": uuid, "flops": flops, "sm_mhz": watching.sm_mhz,
                "pcie_generation": watching.pcie_generation, "slowed_by": watching.slowed_by,
            })  # fmt: skip

        try:
            return within(self.trial.patience_seconds, work)
        except (RuntimeError, Late) as error:  # torch's errors of CUDA are RuntimeErrors
            return plain.model_copy(update={"error": str(error).split("\n", maxsplit=1)[0][:200]})

    def _plan(self, processes: Sequence[Process]) -> Plan:
        """By what most devices are; the first process may sit on a bad node itself."""
        import torch

        kinds = [process.device == "cpu" for process in processes]
        cuda = sum(kinds) * 2 < len(kinds)
        broken = {one.rank for one in processes if one.error is not None or (one.device == "cpu") == cuda}
        left_out = tuple(node for node, ranks in self.ranks.items() if broken & set(ranks))
        mib = self.trial.message_mib or _CPU_MIB
        if cuda and self.trial.message_mib is None:
            memory = torch.cuda.get_device_properties(0).total_memory if self.device.type == "cuda" else 0
            mib = _LARGE_GPU_MIB if memory > 30 << 30 else _SMALL_GPU_MIB
        return Plan(cuda=cuda, num_bytes=mib << 20, left_out=left_out)

    def _able(self, inside: Sequence[Link], pairs: Sequence[Link], plan: Plan) -> list[str]:
        """Nodes on which an all-reduce over all would neither hang nor go wrong."""
        living = [node for node in self._living() if node not in plan.left_out]
        tried = [(link.nodes[0], link.nodes[1]) for link in pairs if set(link.nodes) <= set(living)]
        blame = bad_ends(
            [(link.nodes[0], link.nodes[1]) for link in pairs if link.error is not None or link.wrong], tried
        )
        failed = {node for link in inside if link.error is not None or link.wrong for node in link.nodes}
        failed |= {*blame.nodes, *(node for nodes in blame.unsure for node in nodes)}
        return [node for node in living if node not in failed]

    def _living(self) -> list[str]:
        """Nodes of which every process answers."""
        living = set(self.meeting.living)
        return [node for node, ranks in self.ranks.items() if living.issuperset(ranks)]

    def _clocks(self) -> dict[str, Clock]:
        """A ping through the store and back; the fastest of a few says most."""
        meeting, found = self.meeting, dict[str, Clock]()
        seconds = self.trial.patience_seconds
        meeting.announce("clocks", "", 2 * seconds)
        for node in self._living():
            rank = self.ranks[node][0]
            if rank == 0:
                found[node] = Clock(ahead_seconds=0.0, uncertain_seconds=0.0)
            elif meeting.is_main and (clock := _ping(meeting, rank)) is not None:
                found[node] = clock
            elif rank == meeting.rank:
                _pong(meeting, seconds)
        meeting.collect("clocks", "", seconds)
        return found

    def _part(self) -> None:
        """The first process keeps the store until all have read the last word."""
        self.meeting.collect("leaving", "", 5.0)
        self.meeting.leave()

    def _heard(self, text: str) -> Cluster:
        self._part()
        said: dict[str, Any] = json.loads(text)
        findings = tuple(Finding(**one | {"nodes": tuple(one["nodes"])}) for one in said["findings"])
        return Cluster(False, findings, tuple(said["bad_nodes"]))


def _by_rank(item: tuple[str, str]) -> int:
    return int(item[0])


def _ping(meeting: Meeting, rank: int) -> Clock | None:
    """The other node's time at the middle of the way there and back."""
    best: Clock | None = None
    for number in range(_PINGS):
        sent = time.time()
        meeting.set(f"ping/{rank}/{number}", "")
        if not meeting.wait_for([f"pong/{rank}/{number}"], _PING_SECONDS, busy=True):
            return best
        back = time.time()
        there = float(meeting.get(f"pong/{rank}/{number}", 0.0) or "nan")
        clock = Clock(ahead_seconds=there - (sent + back) / 2, uncertain_seconds=(back - sent) / 2)
        if best is None or clock.uncertain_seconds < best.uncertain_seconds:
            best = clock
    return best


def _pong(meeting: Meeting, seconds: float) -> None:
    for number in range(_PINGS):
        if not meeting.wait_for(
            [f"ping/{meeting.rank}/{number}"], _PING_SECONDS if number else seconds, busy=number > 0
        ):
            return
        meeting.set(f"pong/{meeting.rank}/{number}", repr(time.time()))


def _said(cluster: Cluster) -> str:
    return json.dumps({"findings": [finding._asdict() for finding in cluster.findings], "bad_nodes": cluster.bad_nodes})


def write(cluster: Cluster, out: Path) -> None:
    """`cluster.json` and `bad_nodes`.

    Raises:
        EnvironmentProblem: nothing can be written there.
    """
    assert cluster.facts is not None
    page = {
        "bad_nodes": cluster.bad_nodes,
        "findings": [finding._asdict() for finding in cluster.findings],
        "facts": cluster.facts.model_dump(mode="json"),
    }
    text = json.dumps(page, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    try:
        (out / "cluster.json").write_text(text, encoding="utf-8", newline="\n")
        (out / "bad_nodes").write_text(
            "".join(f"{node}\n" for node in cluster.bad_nodes), encoding="utf-8", newline="\n"
        )
    except OSError as error:
        raise EnvironmentProblem(
            f"{out}: {error.strerror}", hint="write the report to another folder (--out)"
        ) from error
