"""How runs are doing, one line each: state, step, speed, hours, time left, last error.

    for line in [status(Path("out/8B")), status(Path("out/150M"))]: print(line.state, line.step, line.error)

A view over what is written anyway: the run's own logs, the record of its starts beside it, and the scheduler's answer
about its jobs. Nothing is kept here, so it cannot be out of date.
"""

import itertools
import json
import math
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


def status(run: Path) -> Line:
    """The line of a run.

    Args:
        run: what its command got as --out, or the folder of its jobs.
    Raises:
        UsageError: there is no such run.
    """
    out = run.with_name(run.name.removesuffix(".jobs")) if run.name.endswith(".jobs") else run
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
    failure = attempts[-1].failure if attempts and attempts[-1].outcome in ("failed", "lost") else None
    alive = [(entry, state) for entry, state in handed if state is not None and state.word in ALIVE]
    state = (
        "finished" if done else f"unknown: {unknown}" if unknown else _alive(alive, attempts, rows) if alive
        else _over(ledger, attempts, handed, submitted=bool(described))
    )  # fmt: skip
    steps, last = _steps(out), rows[-1] if rows else {}
    seconds = _step_seconds(rows)
    left = None if done or seconds is None or steps is None else (steps - int(last["step"])) * seconds / 3600
    return Line(
        name=out.name, state=state, step=last.get("step"), steps=steps,
        tokens_per_second=_mean([row["tokens_per_second"] for row in rows]),
        hours=last.get("hours"), gpu_hours=last.get("gpu_hours"), hours_left=left,
        job=(alive[0] if alive else handed[-1])[0].id if handed else "",
        error="" if failure is None or done else failure.message, hint="" if failure is None or done else failure.hint,
        progress=_slices(described, attempts),
    )  # fmt: skip


def _ask(jobs: Path) -> tuple[list[tuple[Submitted, State | None]], str]:
    """Jobs and their states, and why those are not known."""
    try:
        return with_states(jobs), ""
    except EnvironmentProblem as problem:
        return [], problem.message


def _alive(
    alive: Sequence[tuple[Submitted, State]], attempts: Sequence[Attempt], rows: Sequence[dict[str, Any]]
) -> str:
    """Words for a run that has a job in the queue or on nodes."""
    states = [state for _, state in alive]
    running = next((state for state in states if state.word == "running"), None)
    if running is not None:
        begun = attempts[-1] if attempts else None
        if begun is None or begun.outcome is not None:
            return "starting"
        return "running" if rows or not begun.job else "starting"
    queued = next((state for state in states if state.word == "queued"), states[0])
    words = "queued" if queued.word == "queued" else "waits for another job"
    if attempts:
        words = f"{'saved' if attempts[-1].outcome == 'stopped' else attempts[-1].outcome}, {words} again"
    return words + (f" ({queued.detail})" if queued.detail else "")


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
    outcome = attempts[-1].outcome
    return {"finished": "ended", "stopped": "saved, not queued", "failed": "failed", "lost": "lost"}.get(
        outcome or "lost", "lost"
    )


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


HEADING = ("run", "state", "step", "tokens/s", "hours", "GPU hours", "time left", "job", "last error")


def cells(line: Line) -> tuple[str, ...]:
    """A row of the table."""
    step = "" if line.step is None else f"{line.step:,}" + (f" of {line.steps:,}" if line.steps else "")
    error = f"{line.error} -> {line.hint}" if line.error and line.hint else line.error
    return (
        line.name, line.state, line.progress or step,
        f"{line.tokens_per_second:,.0f}" if line.tokens_per_second else "",
        f"{line.hours:,.2f}" if line.hours is not None else "",
        f"{line.gpu_hours:,.1f}" if line.gpu_hours else "",
        _span(line.hours_left), line.job, error,
    )  # fmt: skip


def _span(hours: float | None) -> str:
    if hours is None:
        return ""
    minutes = round(hours * 60)
    return f"{minutes // 1440} d {minutes // 60 % 24} h" if minutes >= 1440 else f"{minutes // 60}:{minutes % 60:02d} h"
