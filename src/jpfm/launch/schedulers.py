"""Slurm, PBS and AGE as jpfm speaks to them: how a script is handed in, what waits for what, what state a job is in.

    scheduler = SCHEDULERS["slurm"]
    command = scheduler.submit_command(script, after=("1234",), kind="afterok", options=())
    job = scheduler.job_id(run(command))
    scheduler.states(["1234", "1235"])          # {"1234": State("running", "n1")}

What a script asks for stands in the script (slurm/*.jinja); here is only what cannot stand there. Sources: sbatch(1),
squeue(1); qsub(1B), qstat(1B) of OpenPBS; qsub(1), qstat(1) of Grid Engine 8.1.9, of which AGE is a descendant.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol
from xml.etree import ElementTree

from jpfm.core.errors import EnvironmentProblem
from jpfm.launch.site import Scheduler

Kind = Literal["afterok", "afterany"]
Word = Literal["queued", "waiting", "running", "ended", "failed", "cancelled"]


_PBS_DELETED = 256 + 15
"""Exit status of a job that SIGTERM ended: qdel, or its time limit."""


class State(NamedTuple):
    """A job as its scheduler sees it."""

    word: Word
    detail: str = ""
    """What the scheduler adds: a reason, nodes, its own word."""


class Commands(Protocol):
    """What is asked of a scheduler."""

    program: str
    name: str

    def submit_command(self, script: Path, after: Sequence[str], kind: Kind, options: Sequence[str]) -> list[str]:
        """The command that hands in a script."""

    def job_id(self, printed: str) -> str:
        """The id in what that command prints."""

    def states(self, jobs: Sequence[str]) -> dict[str, State]:
        """States of jobs; those the scheduler no longer knows are left out."""

    def stop_command(self, job: str) -> list[str] | None:
        """The command that tells a running job to save and end; None where the file `stop` does."""

    def remove_command(self, job: str) -> list[str]:
        """The command that takes a job out of the queue."""


@dataclass(frozen=True)
class Slurm:
    """Slurm."""

    program = "sbatch"
    name = "Slurm"

    def submit_command(self, script: Path, after: Sequence[str], kind: Kind, options: Sequence[str]) -> list[str]:
        wait = [f"--dependency={kind}:{':'.join(after)}", "--kill-on-invalid-dep=yes"] if after else []
        return ["sbatch", "--parsable", *wait, *options, str(script)]

    def job_id(self, printed: str) -> str:
        return _last_line(printed).split(";")[0]  # of several clusters: JOB;CLUSTER

    def states(self, jobs: Sequence[str]) -> dict[str, State]:
        found = {}
        for job in jobs:
            shown = ask(["scontrol", "show", "job", job, "--oneliner"], allowed="Invalid job id")
            tasks = [_slurm_state(_fields(line)) for line in shown.splitlines() if line.strip()]
            if tasks:
                found[job] = _worst(tasks)
        return found

    def stop_command(self, job: str) -> list[str] | None:
        return ["scancel", "--signal=USR1", "--batch", job]

    def remove_command(self, job: str) -> list[str]:
        return ["scancel", "--state=PENDING", job]


def _fields(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def _slurm_state(fields: Mapping[str, str]) -> State:
    word, reason = fields["JobState"], fields.get("Reason", "None")
    if word in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"):
        return State("waiting" if reason == "Dependency" else "queued", "" if reason == "None" else reason)
    if word in ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STAGE_OUT", "RESIZING", "SIGNALING", "STOPPED"):
        return State("running", fields.get("NodeList", ""))
    if word == "COMPLETED":
        return State("ended")
    if word == "CANCELLED":
        return State("cancelled")
    return State("failed", word.lower().replace("_", " "))


def _worst(tasks: Sequence[State]) -> State:
    """The state of an array: that of its tasks which matters most."""
    order: tuple[Word, ...] = ("running", "queued", "waiting", "failed", "cancelled", "ended")
    first = min(tasks, key=lambda state: order.index(state.word))
    if len(tasks) == 1:
        return first
    counts = {word: sum(state.word == word for state in tasks) for word in order}
    return State(first.word, ", ".join(f"{count} {word}" for word, count in counts.items() if count))


@dataclass(frozen=True)
class Pbs:
    """PBS Pro and OpenPBS."""

    program = "qsub"
    name = "PBS"

    def submit_command(self, script: Path, after: Sequence[str], kind: Kind, options: Sequence[str]) -> list[str]:
        wait = ["-W", f"depend={kind}:{':'.join(after)}"] if after else []
        return ["qsub", *wait, *options, str(script)]

    def job_id(self, printed: str) -> str:
        return _last_line(printed)

    def states(self, jobs: Sequence[str]) -> dict[str, State]:
        found = {}
        for job in jobs:
            shown = ask(
                ["qstat", "-x", "-f", "-F", "json", job],
                allowed="Unknown Job Id|maintain job history|job_history_enable|has finished",
            )
            if shown.strip():
                try:
                    (fields,) = json.loads(shown)["Jobs"].values()
                except (ValueError, KeyError) as error:
                    raise EnvironmentProblem(
                        f"the answer of qstat about {job} is not JSON as PBS gives it: {shown[:60]!r}",
                        hint="this site has a qstat of its own; look with it, the job itself is not touched",
                    ) from error
                found[job] = _pbs_state(fields)
        return found

    def stop_command(self, job: str) -> list[str] | None:
        return None

    def remove_command(self, job: str) -> list[str]:
        return ["qdel", job]


def _pbs_state(fields: Mapping[str, object]) -> State:
    letter, code = str(fields["job_state"]), int(str(fields.get("Exit_status", 0)))
    comment = str(fields.get("comment", ""))
    if letter in "HW":
        return State("waiting", comment)
    if letter in "QTM":
        return State("queued", comment)
    if letter in "REBSU":
        return State("running", str(fields.get("exec_host", "")))
    if code == _PBS_DELETED:
        return State("cancelled")
    return State("failed", f"exit code {code}") if code else State("ended")


@dataclass(frozen=True)
class Age:
    """Altair Grid Engine and its relatives."""

    program = "qsub"
    name = "AGE"

    def submit_command(self, script: Path, after: Sequence[str], kind: Kind, options: Sequence[str]) -> list[str]:
        wait = ["-hold_jid", ",".join(after)] if after else []  # there is no afterok: the script itself looks
        return ["qsub", "-terse", *wait, *options, str(script)]

    def job_id(self, printed: str) -> str:
        return _last_line(printed).split(".")[0]  # of an array: 123.1-4:1

    def states(self, jobs: Sequence[str]) -> dict[str, State]:
        shown = ask(["qstat", "-xml", "-u", "*"])
        try:
            tree = ElementTree.fromstring(shown)  # noqa: S314 - the scheduler's own answer
        except ElementTree.ParseError as error:
            raise EnvironmentProblem(
                f"the answer of qstat is not XML as AGE gives it: {shown[:60]!r}",
                hint="this site has a qstat of its own; look with it, the job itself is not touched",
            ) from error
        found: dict[str, list[State]] = {}
        for entry in tree.iter("job_list"):
            job = entry.findtext("JB_job_number", "")
            if job in jobs:
                found.setdefault(job, []).append(_age_state(entry.findtext("state", "")))
        return {job: _worst(tasks) for job, tasks in found.items()}

    def stop_command(self, job: str) -> list[str] | None:
        return None

    def remove_command(self, job: str) -> list[str]:
        return ["qdel", job]


def _age_state(letters: str) -> State:
    if "E" in letters:
        return State("failed", letters)
    if "h" in letters and "q" in letters:
        return State("waiting", letters)
    if "q" in letters:
        return State("queued", letters)
    return State("running", letters)


def _last_line(printed: str) -> str:
    lines = printed.strip().splitlines()
    if not lines:
        raise EnvironmentProblem(
            "the scheduler took the job and printed no id", hint="look with squeue or qstat whether it is there"
        )
    return lines[-1]


SCHEDULERS: Mapping[Scheduler, Commands] = {"slurm": Slurm(), "pbs": Pbs(), "age": Age()}


def ask(command: Sequence[str], allowed: str | None = None) -> str:
    """What a scheduler's program prints.

    Args:
        allowed: a complaint that means: nothing known.
    Raises:
        EnvironmentProblem: the program is not there, or it fails.
    """
    if shutil.which(command[0]) is None:
        raise EnvironmentProblem(
            f"{command[0]} is not a command here", hint="run this on a login node of the cluster, or use --print"
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
        if allowed is not None and re.search(allowed, done.stderr + done.stdout, re.IGNORECASE):
            return ""
        raise EnvironmentProblem(
            f"{' '.join(command)}: {complaint[0]}", hint="the scheduler's own words; mend what it names and try again"
        )
    return done.stdout
