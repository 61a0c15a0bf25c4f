"""What a checkpoint costs a run: seconds more than usual, from the step that saves to the last that the writing slows.

The state is copied inside the step; a thread writes it while training goes on, and takes cores from it. Both count:
`copied` is what the step itself takes more, `all` is everything above the usual step until the next save. The share is
of a run that saves every 10 minutes.
"""

import statistics
from typing import Any, NamedTuple

from benchmarks.train import page
from benchmarks.train.page import Goal
from benchmarks.train.runs import Machine, say, start
from benchmarks.train.setting import Setting

_INTERVAL_SECONDS = 600


class Stall(NamedTuple):
    """Of one checkpoint, seconds, medians over the saves of a run."""

    usual: float
    """A step without a save."""
    copied: float
    all: float

    @property
    def share(self) -> float:
        """Of the time, at one save in 10 minutes."""
        return self.all / _INTERVAL_SECONDS


def stall_of(steps: list[float], saves: list[float], every: int) -> Stall:
    """From the seconds of timed steps and of what they spent in saving.

    >>> stall_of([1.0, 1.5, 1.2, 1.0, 1.4, 1.2], [0, 0.5, 0, 0, 0.4, 0], every=3)
    Stall(usual=1.0, copied=0.45, all=0.65)
    """
    at = [number for number, seconds in enumerate(saves) if seconds > 0]
    # the step before a save is farthest from the one that was written before it
    quiet = [steps[number - 1] for number in at if number > 0]
    usual = statistics.median(quiet or steps)
    more = [sum(step - usual for step in steps[number : number + every]) for number in at]
    copied = [saves[number] for number in at]
    return Stall(usual, round(statistics.median(copied), 4), round(statistics.median(more), 4))


def measure_stall(base: Setting, machine: Machine, *, small: bool) -> tuple[dict[str, Any], str]:
    """8M and 150M, a save every few steps."""
    facts = page.environment(machine.threads)
    cases = (
        {"1M": base.but(warm=3, timed=12, save_every=4)}
        if small
        else {
            "8M": base.but(warm=5, timed=80, save_every=20),
            "150M": base.but(
                model={"size": "150M"}, rows_per_step=2, micro_batch_rows=2, warm=4, timed=48, save_every=12
            ),
        }
    )  # fmt: skip
    rows, goals, result = [], [], {}
    for name, setting in cases.items():
        line = start("jpfm", setting, machine)
        found = stall_of(line["steps"], line["saves"], setting.save_every or 1)
        say(f"{name}: {found}")
        rows.append(f"| {name} | {found.usual:.3f} | {found.copied:.3f} | {found.all:.3f} | {found.share:.3%} |")
        goals.append(Goal(f"{name}: share of step time, one save in 10 minutes", found.share, 0.02, at_least=False))
        result[name] = {**found._asdict(), "share": found.share, "line": line}
    text = page.heading("What a checkpoint costs", facts)
    text += "| model | usual step, s | copied in the step, s | all above the usual, s | share |\n"
    text += "|---|---:|---:|---:|---:|\n"
    text += "\n".join(rows) + "\n" + page.goals(goals)
    text += "\nA save goes to the disk of the machine while training goes on; what the writing slows is counted.\n"
    return {"environment": facts, "models": result}, text
