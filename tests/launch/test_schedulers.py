"""What schedulers print, as their manuals show it, and what is made of it."""

import os
from pathlib import Path

import pytest

from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.launch import partitions
from jpfm.launch.schedulers import SCHEDULERS, State


def program(folder: Path, name: str, text: str, code: int = 0, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """A program of a scheduler that is not here: it prints what the real one would."""
    (folder / f"{name}.out").write_text(text)
    (folder / name).write_text(f"#!/bin/sh\ncat {'>&2' if code else ''} '{folder}/{name}.out'\nexit {code}\n")
    (folder / name).chmod(0o755)
    if monkeypatch is not None:
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("scheduler", "printed", "expected"),
    [
        ("slurm", "4711\n", "4711"),
        ("slurm", "4711;cluster2\n", "4711"),
        ("pbs", "1234.pbs1\n", "1234.pbs1"),
        ("pbs", "1234[].pbs1\n", "1234[].pbs1"),
        ("pbs", "a note of the site\n1234.pbs1\n", "1234.pbs1"),
        ("age", "88\n", "88"),
        ("age", "88.1-4:1\n", "88"),
    ],
)
def test_ids(scheduler: str, printed: str, expected: str) -> None:
    assert SCHEDULERS[scheduler].job_id(printed) == expected  # type: ignore[index]


@pytest.mark.parametrize(
    ("scheduler", "kind", "expected"),
    [
        ("slurm", "afterok", ["sbatch", "--parsable", "--dependency=afterok:1:2", "--kill-on-invalid-dep=yes", "j.sh"]),
        ("pbs", "afterany", ["qsub", "-W", "depend=afterany:1:2", "-P", "g", "j.sh"]),
        ("age", "afterok", ["qsub", "-terse", "-hold_jid", "1,2", "-g", "x", "j.sh"]),
    ],
)
def test_waiting_for_others(scheduler: str, kind: str, expected: list[str]) -> None:
    options = {"slurm": (), "pbs": ("-P", "g"), "age": ("-g", "x")}[scheduler]
    command = SCHEDULERS[scheduler].submit_command(Path("j.sh"), ("1", "2"), kind, options)  # type: ignore[index, arg-type]
    assert command == expected


PBS_JSON = """{"timestamp":1,"pbs_version":"2022","Jobs":{"7.pbs1":{"Job_Name":"jpfm","job_state":"%s"%s}}}"""


@pytest.mark.parametrize(
    ("letter", "more", "expected"),
    [
        ("Q", ',"comment":"Not Running: no nodes"', State("queued", "Not Running: no nodes")),
        ("H", "", State("waiting")),
        ("R", ',"exec_host":"g01/0*8"', State("running", "g01/0*8")),
        ("E", "", State("running")),
        ("B", "", State("running")),
        ("F", ',"Exit_status":0', State("ended")),
        ("F", ',"Exit_status":6', State("failed", "exit code 6")),
        ("F", ',"Exit_status":271', State("cancelled")),
    ],
)
def test_states_of_pbs(
    letter: str, more: str, expected: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "qstat", PBS_JSON % (letter, more), 0, monkeypatch)
    assert SCHEDULERS["pbs"].states(["7.pbs1"]) == {"7.pbs1": expected}


@pytest.mark.parametrize(
    "complaint", ["qstat: Unknown Job Id 7.pbs1", "qstat: PBS is not configured to maintain job history"]
)
def test_a_job_that_pbs_has_forgotten(complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "qstat", complaint, 153, monkeypatch)
    assert SCHEDULERS["pbs"].states(["7.pbs1"]) == {}


def test_a_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "qstat", "qstat: cannot connect to server pbs1 (errno=111)", 1, monkeypatch)
    with pytest.raises(EnvironmentProblem, match="cannot connect to server"):
        SCHEDULERS["pbs"].states(["7.pbs1"])


def test_an_answer_of_pbs_that_is_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some sites have a qstat of their own."""
    program(tmp_path, "qstat", "Job id  Name  State\n7  jpfm  RUNNING\n", 0, monkeypatch)
    with pytest.raises(EnvironmentProblem, match="is not JSON"):
        SCHEDULERS["pbs"].states(["7.pbs1"])


AGE_XML = """<?xml version='1.0'?><job_info><queue_info>
<job_list state="running"><JB_job_number>7</JB_job_number><state>r</state></job_list></queue_info><job_info>
<job_list state="pending"><JB_job_number>8</JB_job_number><state>hqw</state></job_list>
<job_list state="pending"><JB_job_number>9</JB_job_number><state>qw</state><tasks>3-4:1</tasks></job_list>
<job_list state="running"><JB_job_number>9</JB_job_number><state>Rr</state><tasks>1</tasks></job_list>
<job_list state="pending"><JB_job_number>10</JB_job_number><state>Eqw</state></job_list></job_info></job_info>"""


def test_states_of_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "qstat", AGE_XML, 0, monkeypatch)
    assert SCHEDULERS["age"].states(["7", "8", "9", "10", "11"]) == {
        "7": State("running", "r"), "8": State("waiting", "hqw"), "9": State("running", "1 running, 1 queued"),
        "10": State("failed", "Eqw"),
    }  # fmt: skip


SINFO = """gpu|gpu*|60|112|gpu:h100:8(S:0-1)|7-00:00:00
gpu|gpu*|5|96|gpu:a100:4|7-00:00:00
cpu|cpu|10|64+|(null)|infinite
"""


def test_partitions_of_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "sinfo", SINFO, 0, monkeypatch)
    found = partitions.ask_slurm("gpu")
    assert (found.gpus_per_node, found.cpus_per_node, found.max_nodes, found.max_hours) == (8, 112, 60, 168)
    assert partitions.ask_slurm("default") == found
    cpus = partitions.ask_slurm("cpu")
    assert (cpus.gpus_per_node, cpus.cpus_per_node, cpus.max_nodes, cpus.max_hours) == (0, 64, 10, None)
    with pytest.raises(UsageError, match="Slurm has no partition 'gpus'") as refused:
        partitions.ask_slurm("gpus")
    assert refused.value.hint == "--queue one of: cpu, gpu"
