"""What the facts of a cluster mean, rule by rule."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from jpfm.launch.cluster.blame import bad_ends, odd_ones, slow_ends
from jpfm.launch.cluster.examine import Cluster
from jpfm.launch.cluster.facts import Address, Clock, Disk, Facts, Gpu, Link, Machine, Process
from jpfm.launch.cluster.links import rounds
from jpfm.launch.cluster.rules import bad_nodes, judge
from jpfm.launch.cluster.show import tables, verdict
from jpfm.launch.doctor import Finding

H200 = "NVIDIA H200"


def gpu(node: str, index: int, **changes: Any) -> Gpu:
    plain = {
        "uuid": f"GPU-{node}-{index}", "name": H200, "memory_mib": 143_771, "used_mib": 600, "processes": 0,
        "temperature": 31, "power_limit_watts": 700.0, "power_default_watts": 700.0, "max_sm_mhz": 1980,
        "pcie_max_generation": 5, "pcie_width": 16, "pcie_max_width": 16, "nvlinks": 18, "ecc_uncorrected": 0,
        "ecc_corrected": 0, "retired_pages": 0, "remapped_rows": 0, "reset_pending": False, "remap_failed": False,
    }  # fmt: skip
    return Gpu.model_validate(plain | changes)


def machine(node: str, hosts: list[str], **changes: Any) -> Machine:
    plain = {
        "hostname": f"{node}.example", "versions": {"torch": "2.13.0", "jpfm": "0.1.0", "kernel": "6.1"},
        "memory_gib": 900.0, "shm_gib": 400.0, "scratch": "/scratch", "scratch_gib": 3000.0,
        "scratch_write_mb": 2000.0, "open_files": 65_536, "locked_memory_kib": None, "infiniband": True,
        "torch_gpus": 2, "driver": "580.10", "gpus": (gpu(node, 0), gpu(node, 1)),
        "names": {host: Address(address=f"10.0.0.{place}") for place, host in enumerate(hosts, 1)},
    }  # fmt: skip
    return Machine.model_validate(plain | changes)


def process(node: str, index: int, rank: int, **changes: Any) -> Process:
    plain = {
        "rank": rank, "device": f"cuda:{index}", "name": H200, "uuid": f"GPU-{node}-{index}", "open_files": 65_536,
        "flops": 780e12, "sm_mhz": 1900, "pcie_generation": 5,
    }  # fmt: skip
    return Process.model_validate(plain | changes)


def link(*nodes: str, rate: float | None = 380.0, network: str = "nccl", **changes: Any) -> Link:
    plain = {
        "nodes": nodes, "network": network, "processes": 2 * len(nodes), "num_bytes": 1 << 30, "gb_per_second": rate,
    }  # fmt: skip
    return Link.model_validate(plain | changes)


def cluster(size: int = 3, **changes: Any) -> Facts:
    """Good nodes n1, n2, ..., of two GPUs each, but for what is changed."""
    nodes = [f"n{number}" for number in range(1, size + 1)]
    hosts = [f"{node}.example" for node in nodes]
    plain = {
        "processes_expected": 2 * size, "nodes": nodes,
        "machines": {node: machine(node, hosts) for node in nodes},
        "processes": {
            node: tuple(process(node, index, 2 * place + index) for index in (0, 1)) for place, node in enumerate(nodes)
        },
        "inside": [link(node, rate=420.0) for node in nodes],
        "pairs": [link(*pair) for pair in combinations(nodes, 2)], "overall": [link(*nodes, rate=360.0)],
        "disks": {
            node: Disk(mib=256, write_alone=2000, read_alone=3000, write_together=900, read_together=1000,
                       seen_after_seconds=0.1, lock=None if node == "n1" else "kept") for node in nodes
        },
        "clocks": {
            node: Clock(ahead_seconds=0.002 * place, uncertain_seconds=0.001) for place, node in enumerate(nodes)
        },
    }  # fmt: skip
    return Facts.model_validate(plain | changes)


def with_machine(node: str, size: int = 3, **changes: Any) -> Facts:
    facts = cluster(size)
    return facts.model_copy(
        update={"machines": {**facts.machines, node: facts.machines[node].model_copy(update=changes)}}
    )


def with_gpu(node: str, **changes: Any) -> Facts:
    return with_machine(node, gpus=(gpu(node, 0), gpu(node, 1, **changes)))


def with_process(node: str, **changes: Any) -> Facts:
    facts = cluster()
    first, second = facts.processes[node]
    return facts.model_copy(update={"processes": {**facts.processes, node: (first, second.model_copy(update=changes))}})


def with_disk(node: str, **changes: Any) -> Facts:
    facts = cluster()
    return facts.model_copy(update={"disks": {**facts.disks, node: facts.disks[node].model_copy(update=changes)}})


def with_pairs(bad: set[str], size: int = 3, **changes: Any) -> Facts:
    """Pairs with one of these nodes are changed."""
    pairs = [
        one.model_copy(update=changes) if bad & set(one.nodes) else one for one in cluster(size).pairs
    ]  # fmt: skip
    return cluster(size, pairs=pairs)


def clocks(*ahead: float) -> Facts:
    return cluster(
        len(ahead),
        clocks={f"n{n}": Clock(ahead_seconds=value, uncertain_seconds=0.001) for n, value in enumerate(ahead, 1)},
    )


def found(facts: Facts, level: str = "problem") -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.what, finding.nodes) for finding in judge(facts) if finding.level == level]


def test_a_good_cluster_has_no_problems_and_no_notes() -> None:
    assert {finding.level for finding in judge(cluster())} == {"ok"}
    assert bad_nodes(cluster(), judge(cluster())) == ()


ONE: dict[str, tuple[Facts, str, str]] = {
    "another torch": (
        with_machine("n3", versions={"torch": "2.11.0", "jpfm": "0.1.0", "kernel": "6.1"}), "torch", "2.11.0",
    ),
    "a package that is missing": (with_machine("n3", versions={"torch": "2.13.0", "kernel": "6.1"}), "jpfm", "missing"),
    "an ECC error": (with_gpu("n3", ecc_uncorrected=2), "GPU errors", "2 uncorrected memory errors on GPU-n3-1"),
    "a row that waits": (with_gpu("n3", reset_pending=True), "GPU errors", "waits for a reset"),
    "a row that cannot be remapped": (with_gpu("n3", remap_failed=True), "GPU errors", "could not be remapped"),
    "a program left over": (with_gpu("n3", processes=1, used_mib=70_000), "GPU memory", "70000 MiB"),
    "memory that nobody owns up to": (with_gpu("n3", used_mib=5000), "GPU memory", "before this began"),
    "lanes": (with_gpu("n3", pcie_width=8), "PCIe", "8 lanes, others 16"),
    "a slower link": (with_process("n3", pcie_generation=3), "PCIe", "generation 3, others at 5"),
    "NVLink down": (with_gpu("n3", nvlinks=17), "NVLink", "17 links"),
    "a GPU less": (with_machine("n3", torch_gpus=1), "GPUs", "1 GPUs"),
    "a slow card": (with_process("n3", flops=690e12, sm_mhz=1400), "matrix products", "690 TFLOP/s at 1400 MHz"),
    "a hot card": (with_process("n3", slowed_by=("the hardware, for heat",)), "GPU at work", "for heat"),
    "a dead card": (with_process("n3", flops=None, error="CUDA error: unknown"), "GPU at work", "CUDA error"),
    "a name": (
        with_machine("n3", names={"n1.example": Address(address=None, error="Name or service not known")}),
        "names", "'n1.example' does not resolve",
    ),
    "a name of another that is its own": (
        with_machine("n3", names={"n1.example": Address(address="127.0.1.1")}), "names", "another node",
    ),
    "its own name as loopback": (
        with_machine("n3", names={"n3.example": Address(address="127.0.1.1")}), "names", "gloo",
    ),
    "few files": (with_machine("n3", open_files=256), "open files", "256"),
    "few files in one process": (with_process("n3", open_files=512), "open files", "512"),
    "locked memory": (with_machine("n3", locked_memory_kib=64), "locked memory", "64 KiB"),
    "shared memory of a container": (with_machine("n3", shm_gib=0.1), "shared memory", "0.1 GiB"),
    "no scratch": (
        with_machine("n3", scratch_gib=None, scratch_error="No such file or directory"), "scratch", "No such file",
    ),
    "a full scratch": (with_machine("n3", scratch_gib=0.2), "scratch", "0.2 GiB free"),
    "a clock": (clocks(0.0, 0.001, -90.0), "clock", "90.0 s behind"),
    "a slow disk": (with_disk("n3", read_alone=300), "disk", "reads 300 MB/s alone; most nodes 3000"),
    "a disk that fails": (with_disk("n3", error="/shared: Read-only file system"), "disk", "Read-only"),
    "another folder": (
        with_disk("n3", unseen=("n1", "n2"), seen_after_seconds=None, lock=None), "shared folder", "not seen",
    ),
    "a lock taken twice": (with_disk("n3", lock="taken twice"), "locks", "another node holds"),
    "slow links": (with_pairs({"n3"}, gb_per_second=200.0), "nccl between nodes", "53%"),
    "links that fail": (
        with_pairs({"n3"}, gb_per_second=None, error="unhandled system error"), "nccl between nodes",
        "fails with n1, n2: unhandled system error",
    ),
    "wrong sums": (with_pairs({"n3"}, wrong=1), "nccl between nodes", "sums are wrong"),
    "slow within": (
        cluster(inside=[link("n1", rate=420.0), link("n2", rate=421.0), link("n3", rate=90.0)]),
        "all-reduce within", "90.00",
    ),
    "silence": (cluster(silent={"n3": "disk write, n3"}), "answers", "disk write, n3"),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE)
def test_the_bad_node_is_named(name: str) -> None:
    facts, what, text = ONE[name]
    problems = [finding for finding in judge(facts) if finding.level == "problem"]
    assert {finding.what for finding in problems} == {what}, problems
    assert {finding.nodes for finding in problems} == {("n3",)}
    assert any(text in finding.found for finding in problems), problems
    assert all(finding.mend for finding in problems)
    assert bad_nodes(facts, problems) == ("n3",)


NOTES: dict[str, tuple[Facts, str]] = {
    "another kernel": (with_machine("n3", versions={"torch": "2.13.0", "jpfm": "0.1.0", "kernel": "5.14"}), "kernel"),
    "another driver": (with_machine("n3", driver="570.1"), "GPU driver"),
    "many corrected errors": (with_gpu("n3", ecc_corrected=5000), "GPU errors"),
    "rows out of use": (with_gpu("n3", remapped_rows=1), "GPU errors"),
    "less power": (with_gpu("n3", power_limit_watts=500.0), "GPU power"),
    "heat": (with_gpu("n3", temperature=88), "GPU heat"),
    "no library": (with_machine("n3", gpus_unread="no NVIDIA driver", gpus=()), "GPUs"),
    "some files": (with_machine("n3", open_files=4096), "open files"),
    "little memory": (with_machine("n3", memory_gib=200.0), "memory"),
    "a clock": (clocks(0.0, 0.001, 5.0), "clock"),
    "a slower disk": (with_disk("n3", write_alone=900), "disk"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTES)
def test_what_does_not_stop_a_job_is_a_note(name: str) -> None:
    facts, what = NOTES[name]
    assert found(facts) == []
    assert (what, ("n3",)) in found(facts, "note")


UNSURE: dict[str, tuple[Facts, str]] = {
    "versions": (with_machine("n2", 2, versions={"torch": "2.11.0", "jpfm": "0.1.0", "kernel": "6.1"}), "torch"),
    "clocks": (clocks(0.0, 90.0), "clock"),
    "a pair that fails": (with_pairs({"n2"}, 2, gb_per_second=None, error="timed out"), "nccl between nodes"),
    "a pair that adds wrongly": (with_pairs({"n2"}, 2, wrong=3), "nccl between nodes"),
}


@pytest.mark.parametrize("name", UNSURE)
def test_of_two_nodes_none_is_picked(name: str) -> None:
    facts, what = UNSURE[name]
    assert found(facts) == [(what, ("n1", "n2"))]
    (finding,) = (one for one in judge(facts) if one.level == "problem")
    assert finding.found.startswith("n1 or n2: ")
    assert bad_nodes(facts, judge(facts)) == ()


def test_the_first_nodes_clock_may_be_the_wrong_one() -> None:
    assert found(clocks(0.0, 90.0, 90.1, 89.9)) == [("clock", ("n1",))]


def test_a_slow_pair_of_two_slow_nodes_has_nothing_to_compare_with() -> None:
    assert found(with_pairs({"n1"}, 2, gb_per_second=1.0)) == []


def test_two_racks_are_no_bad_nodes() -> None:
    """Within a rack twice as fast as between them: how it is built."""
    racks = [set("1234"), set("5678")]
    pairs = [
        link(a, b, rate=400.0 if any({a[1], b[1]} <= rack for rack in racks) else 200.0)
        for a, b in combinations([f"n{n}" for n in range(1, 9)], 2)
    ]
    assert found(cluster(8, pairs=pairs)) == []


def test_one_slow_way_is_a_note_about_the_way() -> None:
    pairs = [
        link(a, b, rate=50.0 if (a, b) == ("n1", "n4") else 380.0)
        for a, b in combinations(["n1", "n2", "n3", "n4", "n5"], 2)
    ]
    assert found(cluster(5, pairs=pairs)) == []
    (finding,) = (one for one in judge(cluster(5, pairs=pairs)) if one.level == "note")
    assert "n1 and n4 50.00 GB/s" in finding.found


def test_gloo_is_not_compared_over_milliseconds() -> None:
    def slow(num_bytes: int) -> Facts:
        rates = {("n1", "n2"): 1.0, ("n1", "n3"): 0.2, ("n2", "n3"): 0.2}
        return cluster(
            pairs=[link(*pair, rate=rate, network="gloo", num_bytes=num_bytes) for pair, rate in rates.items()]
        )

    assert found(slow(1 << 18)) == []
    assert found(slow(32 << 20)) == [("gloo between nodes", ("n3",))]


def test_who_never_came_is_named() -> None:
    facts = cluster(2, absent=("n3",), absent_ranks=(4, 5), processes_expected=6)
    assert found(facts) == [("nodes", ("n3",)), ("processes", ())]
    assert bad_nodes(facts, judge(facts)) == ("n3",)


def test_gpus_of_other_users_are_no_matter() -> None:
    """The driver shows all GPUs of the node; the job has two of them."""
    others = (gpu("n1", 0), gpu("n1", 1), gpu("n1", 7, processes=3, used_mib=90_000, ecc_uncorrected=1))
    assert found(with_machine("n1", gpus=others)) == []


def test_locks_that_no_node_keeps_are_the_mounts_fault() -> None:
    facts = cluster()
    disks = {node: disk.model_copy(update={"lock": disk.lock and "taken twice"}) for node, disk in facts.disks.items()}
    assert found(facts.model_copy(update={"disks": disks})) == [("locks", ())]


def test_what_a_silent_node_leaves_behind_is_not_held_against_the_others() -> None:
    facts = cluster(4, silent={"n3": "all-reduce of pairs, round 1"})
    pairs = [one.model_copy(update={"gb_per_second": None, "error": "timed out"}) if one.nodes == ("n2", "n3") else one
             for one in facts.pairs if "n3" not in one.nodes or one.nodes == ("n2", "n3")]  # fmt: skip
    disks = {node: disk.model_copy(update={"unseen": ("n3",), "seen_after_seconds": None})
             for node, disk in facts.disks.items() if node != "n3"}  # fmt: skip
    assert found(facts.model_copy(update={"pairs": tuple(pairs), "disks": disks})) == [("answers", ("n3",))]


def test_facts_are_the_same_after_a_file() -> None:
    facts = cluster()
    assert Facts.model_validate_json(facts.model_dump_json()) == facts


def test_the_page_shows_nodes_figures_and_mends() -> None:
    facts = with_pairs({"n3"}, gb_per_second=None, error="unhandled system error")
    findings = tuple(judge(facts))
    page = Cluster(True, findings, bad_nodes(facts, findings), facts)
    console = Console(width=200, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(*tables(page), sep="\n")
    text = console.export_text()
    (line,) = (line for line in text.splitlines() if line.startswith("n3"))
    assert "2 failed" in line
    assert line.rstrip().endswith("bad")
    assert "-> see that the ports between nodes are open" in text
    assert verdict(page) == "bad nodes: n3"
    unsure = Cluster(True, (Finding("problem", "clock", "n1 or n2: apart", "", ("n1", "n2")),), ())
    assert verdict(unsure) == "1 problem(s), of no node that can be named"


@given(st.integers(1, 25))
def test_every_pair_meets_once_and_nobody_twice_in_a_round(size: int) -> None:
    nodes = [f"n{number}" for number in range(size)]
    plan = rounds(nodes)
    assert sorted(pair for round_ in plan for pair in round_) == sorted(combinations(nodes, 2))
    assert len(plan) == (size - 1 if size % 2 == 0 else size)
    for round_ in plan:
        assert len({node for pair in round_ for node in pair}) == 2 * len(round_)


@st.composite
def _some_bad(draw: Callable[..., Any]) -> tuple[list[str], set[str]]:
    size = draw(st.integers(4, 12))
    nodes = [f"n{number}" for number in range(size)]
    bad = draw(st.sets(st.sampled_from(nodes), max_size=size - 2))
    return nodes, bad


@given(_some_bad())
def test_bad_nodes_are_told_as_long_as_two_good_ones_remain(case: tuple[list[str], set[str]]) -> None:
    nodes, bad = case
    pairs = list(combinations(nodes, 2))
    blame = bad_ends([pair for pair in pairs if bad & set(pair)], pairs)
    assert (set(blame.nodes), blame.unsure) == (bad, ())


@given(_some_bad(), st.floats(0.05, 0.6), st.randoms(use_true_random=False))
def test_slow_nodes_are_told_while_they_are_few(case: tuple[list[str], set[str]], share: float, random: Any) -> None:
    nodes, bad = case
    bad = set(sorted(bad)[: (len(nodes) - 1) // 2])
    rates = {
        pair: random.uniform(0.95, 1.05) * (share if bad & set(pair) else 1.0) for pair in combinations(nodes, 2)
    }  # fmt: skip
    assert set(slow_ends(rates, 0.8)) == bad


@given(st.dictionaries(st.text("abn", min_size=1, max_size=3), st.sampled_from(["1", "2", "3"]), min_size=1))
def test_the_odd_ones_are_never_a_majority_that_agrees(values: dict[str, str]) -> None:
    odd = odd_ones(values)
    if odd.usual is None:
        assert odd.nodes == tuple(values)
        assert all(2 * list(values.values()).count(value) <= len(values) for value in values.values())
    else:
        assert set(odd.nodes) == {node for node, value in values.items() if value != odd.usual}
        assert 2 * len(odd.nodes) < len(values)
