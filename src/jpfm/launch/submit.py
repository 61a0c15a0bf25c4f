"""Hand a job in: settings frozen, scripts written beside the run, ids written down.

    handed = submit(job, settings="stage: train\\n...")
    handed.ids                       # ("1234",)

The settings are frozen in `OUT.jobs/config.yaml` because a file that is edited while a chain waits in the queue would
end it: a run resumes with the settings it began with. `submitted.jsonl` has a line for each job that was handed in.
"""

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jpfm.core import artifact as artifacts
from jpfm.core.errors import ArtifactError, EnvironmentProblem
from jpfm.core.log import log
from jpfm.launch.attempt import ENDS, LOGS, RUN
from jpfm.launch.job import CONFIG, Job, render, submit_options
from jpfm.launch.node import STOP
from jpfm.launch.schedulers import SCHEDULERS, State, ask
from jpfm.launch.site import Scheduler

ALIVE = ("queued", "waiting", "running")
SUBMITTED = "submitted.jsonl"
AGAIN = "again"
"""A file with the ids of jobs that a job handed in itself to go on (PBS)."""


@dataclass(frozen=True)
class Submitted:
    """A job that was handed in."""

    id: str
    what: str
    time: float
    scheduler: Scheduler


def scripts(job: Job) -> dict[str, str]:
    """File name and text of each script of a job."""
    return {part.file: render(job, part) for part in job.parts()}


def submit(job: Job, settings: str | None) -> list[Submitted]:
    """Write the scripts of a job and hand them in.

    Args:
        settings: the resolved settings, as YAML; None for a job that has none.
    Raises:
        ArtifactError: a job of this run is still queued or runs.
        EnvironmentProblem: the scheduler refuses.
    """
    jobs = job.jobs
    still = [entry.id for entry, state in with_states(jobs) if state is not None and state.word in ALIVE]
    if still:
        raise ArtifactError(
            f"{job.out.name}: job {', '.join(still)} is still there",
            hint=f"wait for it, or stop it first: jpfm submit stop {job.out}",
        )
    for folder in (LOGS, ENDS):
        (jobs / folder).mkdir(parents=True, exist_ok=True)
    (jobs / STOP).unlink(missing_ok=True)
    if settings is not None:
        artifacts.write_text(jobs / CONFIG, settings)
    for name, text in scripts(job).items():
        artifacts.write_text(jobs / name, text)
    described = {
        "out": str(job.out), "name": job.name, "stage": job.stage, "scheduler": job.scheduler, "nodes": job.nodes,
        "gpus": job.gpus, "chain": job.chain, "tasks": job.tasks, "seconds": job.seconds, "line": job.line,
        "submitted": round(time.time(), 3),
    }  # fmt: skip
    artifacts.write_text(jobs / RUN, artifacts.canonical_json(described, indent=1) + "\n")
    return list(_hand_in(job))


def _hand_in(job: Job) -> Iterator[Submitted]:
    scheduler = SCHEDULERS[job.scheduler]
    options = shlex.split(" ".join(submit_options(job)))
    before: list[str] = []
    for part in job.parts():
        command = scheduler.submit_command(job.jobs / part.file, before, part.after, options)
        try:
            entry = Submitted(scheduler.job_id(ask(command)), part.what, round(time.time(), 3), job.scheduler)
        except EnvironmentProblem as problem:
            handed = f"; already handed in: {', '.join(before)}" if before else ""
            raise EnvironmentProblem(f"{problem.message}{handed}", hint=problem.hint) from problem
        with (job.jobs / SUBMITTED).open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(entry.__dict__, ensure_ascii=False, sort_keys=True) + "\n")
        log.info("%s: %s%s", entry.id, part.what, f", after {before[-1]}" if before else "")
        before = [entry.id]
        yield entry


def submitted(jobs: Path) -> list[Submitted]:
    """What was handed in for a run, in order; jobs that went on by themselves included."""
    found = [Submitted(**row) for row in _rows(jobs / SUBMITTED)]
    again = jobs / AGAIN
    if found and again.exists():
        scheduler = SCHEDULERS[found[-1].scheduler]
        for line in again.read_text(encoding="utf-8").splitlines():
            found.append(Submitted(scheduler.job_id(line), "goes on", again.stat().st_mtime, found[-1].scheduler))
    return found


def _rows(file: Path) -> Sequence[Mapping[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def with_states(jobs: Path) -> list[tuple[Submitted, State | None]]:
    """What was handed in, and how its scheduler sees each; None where it no longer knows it.

    Raises:
        EnvironmentProblem: the scheduler does not answer.
    """
    entries = submitted(jobs)
    states: dict[str, State] = {}
    for scheduler in sorted({entry.scheduler for entry in entries}):
        states |= SCHEDULERS[scheduler].states([entry.id for entry in entries if entry.scheduler == scheduler])
    return [(entry, states.get(entry.id)) for entry in entries]


def stop(jobs: Path) -> list[str]:
    """Ask the jobs of a run to save and end, and not to begin again. Returns what was done, in words."""
    alive = [(entry, state) for entry, state in with_states(jobs) if state is not None and state.word in ALIVE]
    if alive:
        (jobs / STOP).touch()
    done = []
    for entry, state in alive:
        scheduler = SCHEDULERS[entry.scheduler]
        running = state.word == "running"
        command = scheduler.stop_command(entry.id) if running else scheduler.remove_command(entry.id)
        if command is not None:
            ask(command)
        done.append(f"{entry.id} {'is told to save and end' if running else 'is taken out of the queue'}")
    return done
