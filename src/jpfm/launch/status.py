"""How runs are doing, one line each: state, step, speed, hours, time left, last error.

    for line in [status(Path("out/8B")), status(Path("out/150M"))]: print(line.state, line.step, line.error)

A view over what is written anyway: the run's own logs, the record of its starts beside it, and the scheduler's answer
about its jobs. Nothing is kept here, so it cannot be out of date.
"""

import itertools
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jpfm.core import artifact as artifacts
from jpfm.core.errors import EnvironmentProblem, UsageError
from jpfm.launch.attempt import RUN, Attempt, Ledger, last_rows
from jpfm.launch.job import jobs_folder
from jpfm.launch.node import STOP
from jpfm.launch.schedulers import State
from jpfm.launch.submit import ALIVE, Submitted, with_states

_DETAIL = 30
"""Characters of a scheduler's own words."""
_ROWS = 20
"""Steps over which speed is taken."""


class Line(NamedTuple):
    """One run."""

    name: str
    state: str
    step: int | None
    steps: int | None
    tokens_per_second: float | None
    hours: float | None
    """Of training, all starts together."""
    gpu_hours: float | None
    hours_left: float | None
    """At the speed of the last steps; time in queues not counted."""
    job: str
    error: str
    """What ended the last start that failed; empty where the last one did not."""
    hint: str
    progress: str = ""
    """Of jobs that have no steps: slices done."""


def out_of(run: Path) -> Path:
    """What was given as --out, from it or from one of the names that lie beside it."""
    path = run.absolute()
    for suffix in (".jobs", ".partial", ".lock"):
        if path.name.removesuffix(suffix):
            path = path.with_name(path.name.removesuffix(suffix))
    return path


def lines(runs: Sequence[Path]) -> list[Line]:
    """A line for each run, once; also for what is none, which must not hide the others."""
    found = []
    for out in dict.fromkeys(out_of(path) for run in runs for path in _runs_in(run)):
        try:
            found.append(status(out))
        except UsageError as problem:
            found.append(
                Line(out.name, "no run", None, None, None, None, None, None, "", problem.message, problem.hint)
            )
    return found


def _runs_in(path: Path) -> list[Path]:
    """The runs of a folder that is none itself but holds the jobs of some; else what was given."""
    inside = sorted(path.glob("*.jobs")) if path.is_dir() and not path.name.endswith((".jobs", ".partial")) else []
    return [path] if jobs_folder(out_of(path)).exists() or not inside else inside


def _shown(out: Path) -> str:
    """A run as a person would name it here: runs in several folders may have one name."""
    near = os.path.relpath(out)
    return str(out) if near.startswith("../../") else near


def status(run: Path) -> Line:
    """The line of a run.

    Args:
        run: what its command got as --out, or the folder of its jobs.
    Raises:
        UsageError: there is no such run.
    """
    out = out_of(run)
    jobs, partial = jobs_folder(out), out.with_name(out.name + ".partial")
    if not any(path.exists() for path in (jobs / RUN, partial, out)):
        raise UsageError(
            f"{out}: no run, and no jobs of one", hint="name what was given as --out, or the folder OUT.jobs"
        )
    ledger = Ledger(jobs)
    described = ledger.run() if (jobs / RUN).exists() else {}
    attempts = ledger.attempts()
    handed, unknown = _ask(jobs)
    rows = last_rows(out, _ROWS)
    done = (out / artifacts.MANIFEST).exists()
    last_of_task = {attempt.task: attempt for attempt in attempts}
    failures = [a.failure for a in last_of_task.values() if a.outcome in ("failed", "lost") and a.failure is not None]
    worked = _last_worked(out) if described.get("stage") == "train" else None
    alive = [(entry, state) for entry, state in handed if state is not None and state.word in ALIVE]
    if done or unknown:
        state = "finished" if done else "unknown"
    elif alive:
        state = _alive(alive, attempts, worked, stopping=(jobs / STOP).exists())
    else:
        state = _over(ledger, attempts, handed, submitted=bool(described))
    steps, last = _steps(out), rows[-1] if rows else {}
    seconds = _step_seconds(rows)
    left = None if not alive or seconds is None or steps is None else (steps - int(last["step"])) * seconds / 3600
    return Line(
        name=_shown(out), state=state, step=last.get("step"), steps=steps,
        tokens_per_second=_mean([row["tokens_per_second"] for row in rows if "tokens_per_second" in row]),
        hours=last.get("hours"), gpu_hours=last.get("gpu_hours"), hours_left=left,
        job=(alive[0] if alive else handed[-1])[0].id if handed else "",
        error=failures[0].message + (f" (and {len(failures) - 1} more tasks)" if len(failures) > 1 else "")
        if failures and not done else unknown,
        hint=failures[0].hint if failures and not done else "",
        progress=_slices(described, attempts),
    )  # fmt: skip


def _ask(jobs: Path) -> tuple[list[tuple[Submitted, State | None]], str]:
    """Jobs and their states, and why those are not known."""
    try:
        return with_states(jobs), ""
    except EnvironmentProblem as problem:
        return [], problem.message


def _last_worked(out: Path) -> float:
    """When a run last reached a step, in seconds since 1970; 0 where it never did."""
    files = [path / artifacts.LOGS / "metrics.jsonl" for path in (out, out.with_name(out.name + ".partial"))]
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def _alive(
    alive: Sequence[tuple[Submitted, State]], attempts: Sequence[Attempt], worked: float | None, *, stopping: bool
) -> str:
    """Words for a run that has a job in the queue or on nodes.

    Args:
        worked: when it last reached a step, in seconds since 1970; of what has no steps, None.
    """
    states = [state for _, state in alive]
    if any(state.word == "running" for state in states):
        if stopping:
            return "stopping"
        begun = [attempt for attempt in attempts if attempt.outcome is None]
        return "running" if begun and (worked is None or worked >= begun[-1].began) else "starting"
    entry, queued = next(((e, s) for e, s in alive if s.word == "queued"), alive[0])
    words = "queued" if queued.word == "queued" else "waits for another job"
    last = attempts[-1] if attempts else None
    if last is not None and not last.task:
        outcome = {"stopped": "saved", None: "lost"}.get(last.outcome, last.outcome)
        words = f"{outcome}, {words}{' again' if entry.id == last.job else ''}"
    return words + (f" ({queued.detail[:_DETAIL]})" if queued.detail else "")


def _over(
    ledger: Ledger, attempts: Sequence[Attempt], handed: Sequence[tuple[Submitted, State | None]], *, submitted: bool
) -> str:
    """Words for an unfinished run that no job works on."""
    if not submitted:
        return "not submitted"
    last = handed[-1][1] if handed else None
    if (ledger.jobs / STOP).exists():
        return "stopped"
    if attempts and (loop := ledger.crash_loop()) is not None:
        return loop.partition(";")[0]
    if last is not None and last.word == "cancelled":
        return "cancelled"
    if not attempts:
        return f"never began{f' ({last.detail})' if last is not None and last.detail else ''}"
    outcomes = [attempt.outcome or "lost" for attempt in {attempt.task: attempt for attempt in attempts}.values()]
    worst = next(word for word in ("failed", "lost", "stopped", "finished") if word in outcomes)
    of_tasks = (
        f": {outcomes.count(worst)} of {len(outcomes)} tasks" if len(outcomes) > 1 and worst != "finished" else ""
    )
    return ("saved, not queued" if worst == "stopped" else worst) + of_tasks


def _steps(out: Path) -> int | None:
    """Steps of the whole run, as its settings say."""
    for folder in (out, out.with_name(out.name + ".partial")):
        file = folder / artifacts.LOGS / "settings.json"
        if file.exists():
            settings = json.loads(file.read_text(encoding="utf-8"))
            return settings["steps"] or math.ceil(settings["total_tokens"] / settings["batch_tokens"])
    return None


def _step_seconds(rows: Sequence[dict[str, Any]]) -> float | None:
    """Seconds of a step, saving and scoring included; starts and rewinds between the rows are left out."""
    spans = [
        (after["hours"] - before["hours"]) * 3600
        for before, after in itertools.pairwise(rows)
        if after["step"] == before["step"] + 1
    ]
    return _mean(spans)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _slices(described: dict[str, Any], attempts: Sequence[Attempt]) -> str:
    if described.get("tasks", 1) == 1:
        return ""
    last = {attempt.task: attempt.outcome for attempt in attempts if attempt.task}
    return f"{sum(outcome == 'finished' for outcome in last.values())} of {described['tasks']} tasks"


def table(found: Sequence[Line]) -> list[tuple[str, ...]]:
    """Heading and rows; columns that are empty for all runs are left out."""
    rows = [("run", "state", "step", "tokens/s", "hours", "GPU hours", "time left", "job"), *map(_cells, found)]
    kept = [place for place in range(len(rows[0])) if place < 2 or any(row[place] for row in rows[1:])]
    return [tuple(row[place] for place in kept) for row in rows]


def errors(found: Sequence[Line]) -> list[str]:
    """A sentence for each run that has something to tell, and its mend."""
    return [f"{line.name}: {line.error}" + (f" -> {line.hint}" if line.hint else "") for line in found if line.error]


def _cells(line: Line) -> tuple[str, ...]:
    step = "" if line.step is None else f"{line.step:,}" + (f" of {line.steps:,}" if line.steps else "")
    return (
        line.name, line.state, line.progress or step,
        f"{line.tokens_per_second:,.0f}" if line.tokens_per_second else "",
        f"{line.hours:,.2f}" if line.hours is not None else "",
        f"{line.gpu_hours:,.1f}" if line.gpu_hours else "",
        _span(line.hours_left), line.job,
    )  # fmt: skip


def _span(hours: float | None) -> str:
    if hours is None:
        return ""
    minutes = round(hours * 60)
    return (
        f"{minutes // 1440} d {minutes // 60 % 24} h"
        if minutes >= 1440
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )
