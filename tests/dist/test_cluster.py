"""A preflight by real processes, of which each is a node: what is wrong with one is found, and nothing waits for it."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.dist.processes import Processes, Run, until

from jpfm.launch.cluster.facts import Facts

pytestmark = pytest.mark.slow
EXAMINE = "tests.dist.cluster_worker:examine"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def page(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "cluster.json").read_text(encoding="utf-8"))
    return found


def problems(out: Path) -> list[tuple[str, list[str]]]:
    return [(one["what"], one["nodes"]) for one in page(out)["findings"] if one["level"] == "problem"]


def start(processes: Processes, out: Path, disk: Path | str, size: int, *fault: str, **environ: str) -> Run:
    return processes.start([out, disk, *fault], size, call=EXAMINE, **environ)


def test_nothing_is_wrong(processes: Processes, tmp_path: Path, shared: Path) -> None:
    out = tmp_path / "out"
    run = start(processes, out, shared, 4, PER_NODE="2")
    assert run.wait() == [0] * 4, run.errors()
    facts = Facts.model_validate(page(out)["facts"])
    assert facts.nodes == ("n1", "n2")
    assert [link.nodes for link in facts.pairs] == [("n1", "n2")]
    assert [link.nodes for link in facts.inside] == [("n1",), ("n2",)]
    assert facts.overall[0].processes == facts.pairs[0].processes == 4
    assert all(link.gb_per_second and not link.wrong for link in (*facts.pairs, *facts.inside, *facts.overall))
    assert abs(facts.clocks["n2"].ahead_seconds) < 0.5
    for disk in facts.disks.values():
        assert all([disk.write_alone, disk.read_alone, disk.write_together, disk.read_together])
        assert disk.unseen == ()
    assert facts.disks["n2"].lock == "kept"
    assert (out / "bad_nodes").read_text() == ""
    assert list(shared.iterdir()) == []
    assert {run.text(rank, "out") for rank in range(4)} == {"bad: \n"}


def test_every_pair_is_tried(processes: Processes, tmp_path: Path, shared: Path) -> None:
    out = tmp_path / "out"
    run = start(processes, out, shared, 5)
    assert None not in run.wait(), run.errors()
    facts = Facts.model_validate(page(out)["facts"])
    assert len({frozenset(link.nodes) for link in facts.pairs}) == len(facts.pairs) == 10
    assert facts.untried == ()


def test_a_process_alone(processes: Processes, tmp_path: Path, shared: Path) -> None:
    run = start(processes, tmp_path / "out", shared, 1, RANK="0")
    assert run.wait() == [0], run.errors()
    assert Facts.model_validate(page(tmp_path / "out")["facts"]).pairs == ()


@pytest.mark.parametrize(
    ("fault", "what"),
    [("few_files", "open files"), ("no_network", "gloo between nodes"), ("broken_adder", "gloo between nodes")],
)  # fmt: skip
def test_a_bad_node_is_named(processes: Processes, tmp_path: Path, shared: Path, fault: str, what: str) -> None:
    out = tmp_path / "out"
    run = start(processes, out, shared, 4, fault, "2", "4")
    assert run.wait() == [5] * 4, run.errors()
    assert (what, ["n3"]) in problems(out)
    assert (out / "bad_nodes").read_text() == "n3\n"
    assert {run.text(rank, "out") for rank in range(4)} == {"bad: n3\n"}


def test_of_two_none_is_picked(processes: Processes, tmp_path: Path, shared: Path) -> None:
    out = tmp_path / "out"
    run = start(processes, out, shared, 2, "no_network", "1", "3")
    assert run.wait() == [5, 5], run.errors()
    assert problems(out) == [("gloo between nodes", ["n1", "n2"])]
    assert (out / "bad_nodes").read_text() == ""


def test_folders_that_are_not_shared(processes: Processes, tmp_path: Path) -> None:
    """n3 has a folder of the same name on its own disk."""
    out, disk = tmp_path / "out", tmp_path / "disk-RANK"
    (tmp_path / "disk-0").mkdir()
    (tmp_path / "disk-2").mkdir()
    (tmp_path / "disk-1").symlink_to(tmp_path / "disk-0")
    run = start(processes, out, disk, 3)
    assert run.wait() == [5] * 3, run.errors()
    assert ("shared folder", ["n3"]) in problems(out)
    assert (out / "bad_nodes").read_text() == "n3\n"
    assert list((tmp_path / "disk-2").iterdir()) == []


def test_a_folder_that_is_missing(processes: Processes, tmp_path: Path) -> None:
    out, disk = tmp_path / "out", tmp_path / "disk-RANK"
    (tmp_path / "disk-0").mkdir()
    run = start(processes, out, disk, 2)
    assert run.wait() == [5] * 2, run.errors()
    assert ("disk", ["n2"]) in problems(out)
    assert not (tmp_path / "disk-1").exists()


def test_a_disk_that_hangs(processes: Processes, tmp_path: Path, shared: Path) -> None:
    """The process behind it goes on and says so itself, also where it is the first one."""
    out = tmp_path / "out"
    run = start(processes, out, shared, 3, "dead_disk", "0", "3")
    assert run.wait() == [5] * 3, run.errors()
    assert problems(out) == [("scratch", ["n1"]), ("disk", ["n1"])]
    assert Facts.model_validate(page(out)["facts"]).silent == {}
    assert (out / "bad_nodes").read_text() == "n1\n"


def test_a_node_that_stops_answering(processes: Processes, tmp_path: Path, shared: Path) -> None:
    """The others go on without it, also with what comes after, and the report is there."""
    out = tmp_path / "out"
    run = start(processes, out, shared, 4, "stop_soon", "2", "2")
    begun = time.monotonic()
    try:
        until(lambda: all(run.codes()[rank] is not None for rank in (0, 1, 3)), run.errors, 60)
    finally:
        run.end()
    assert time.monotonic() - begun < 40
    assert [run.codes()[rank] for rank in (0, 1, 3)] == [5] * 3, run.errors()
    facts = Facts.model_validate(page(out)["facts"])
    assert "all-reduce of pairs, round 1" in facts.silent["n3"]
    worked = {link.nodes for link in facts.pairs if link.error is None}
    assert worked >= {("n1", "n2"), ("n1", "n4"), ("n2", "n4")}
    assert [link.nodes for link in facts.overall] == [("n1", "n2", "n4")]
    assert set(facts.disks) == {"n1", "n2", "n4"}
    assert problems(out) == [("answers", ["n3"])]
    assert (out / "bad_nodes").read_text() == "n3\n"


def test_a_node_that_wakes_up_later_is_told(processes: Processes, tmp_path: Path, shared: Path) -> None:
    out = tmp_path / "out"
    run = start(processes, out, shared, 3, "stop_soon", "2", "2")
    until(lambda: "did not answer" in run.text(0), run.errors, 60)
    os.kill(run.pids()[2], signal.SIGCONT)
    assert run.wait() == [5] * 3, run.errors()
    assert "Traceback" not in run.errors()


def test_the_leader_stops_answering(processes: Processes, tmp_path: Path, shared: Path) -> None:
    """It keeps the store, so the others can ask nobody; each ends by itself with a sentence."""
    run = start(processes, tmp_path / "out", shared, 3, "stop_leading", "0", "1")
    try:
        until(lambda: all(run.codes()[rank] is not None for rank in (1, 2)), run.errors, 90)
    finally:
        run.end()
    for rank in (1, 2):
        assert run.codes()[rank] == 5, run.errors()
        assert "first process" in run.text(rank) or "process 0 said nothing" in run.text(rank), run.errors()


def test_a_node_that_never_comes(processes: Processes, tmp_path: Path, shared: Path) -> None:
    out = tmp_path / "out"
    run = start(processes, out, shared, 2, WORLD_SIZE="3", JOIN="2", NODES="n1 n2 n3")
    assert run.wait() == [5] * 2, run.errors()
    assert problems(out) == [("nodes", ["n3"]), ("processes", [])]
    assert (out / "bad_nodes").read_text() == "n3\n"


def test_the_meeting_point_is_not_there(processes: Processes, tmp_path: Path, shared: Path) -> None:
    run = start(processes, tmp_path / "out", shared, 1, RANK="1", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
                MASTER_PORT="9", JOIN="2")  # fmt: skip
    assert run.wait() == [5], run.errors()
    assert "does not reach the meeting point 127.0.0.1:9" in run.text(0)
