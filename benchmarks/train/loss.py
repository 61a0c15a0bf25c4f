"""Time to a held-out loss: what Trainer's AdamW reaches after N steps, and how soon jpfm is there.

Trainer runs N steps with each of three learning rates (linear decay to 0, its default); its best is the mark. jpfm
runs with Muon for several shorter budgets, each with its own decay to 0, so that no budget profits from a longer one;
its rate is chosen among three at half of N. The budget that meets the mark is interpolated between the two around it.
Time is steps x the median step of the same runs, without start and scoring.
"""

import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.train import page
from benchmarks.train.page import Goal
from benchmarks.train.runs import Machine, say, start
from benchmarks.train.setting import Setting

_RATES = (2e-3, 4e-3, 8e-3)
_BUDGETS = (0.3, 0.4, 0.6)
_WARMUP_STEPS = 40


class Trained(NamedTuple):
    """A run and its score."""

    arm: str
    rate: float
    steps: int
    bits: float
    """Bits per character, held out."""
    step_seconds: float


def trained(arm: str, setting: Setting, rate: float, steps: int, machine: Machine) -> Trained:
    """Train an arm for so many steps and score what it leaves."""
    ours = arm.startswith("jpfm")
    with tempfile.TemporaryDirectory() as out:
        own = setting.but(
            learning_rate=rate, warm=5, timed=steps - 5, out=out, warmup_steps=min(_WARMUP_STEPS, steps // 10),
            schedule="wsd" if ours else "linear", decay_steps=steps // 2 if ours else 0,
        )  # fmt: skip
        line = start(arm, own, machine)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.train.score", f"{out}/model", own.json()],
            env=os.environ | {"OMP_NUM_THREADS": str(machine.threads)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = Trained(arm, rate, steps, json.loads(done.stdout.splitlines()[-1])["overall"], line["step_seconds"])
    say(f"{found}")
    return found


def steps_to(mark: float, runs: Sequence[Trained]) -> float | None:
    """Steps at which the budgets' scores cross a mark, linear in the logarithm of steps; None where they do not.

    >>> runs = [Trained("jpfm", 1e-3, steps, bits, 1.0) for steps, bits in ((100, 3.0), (400, 2.0))]
    >>> steps_to(2.5, runs)
    200.0
    """
    ordered = sorted(runs, key=lambda run: run.steps)
    if ordered and ordered[0].bits <= mark:
        return float(ordered[0].steps)  # at most: no shorter budget was tried
    for before, after in itertools.pairwise(ordered):
        if before.bits > mark >= after.bits:
            share = (before.bits - mark) / (before.bits - after.bits)
            return round(math.exp(math.log(before.steps) * (1 - share) + math.log(after.steps) * share), 6)
    return None


def measure_loss(base: Setting, machine: Machine, steps: int) -> tuple[dict[str, Any], str]:
    """All runs, and the share of Trainer's time."""
    from benchmarks.train.speed import best_of_trainer

    facts = page.environment(machine.threads)
    fastest = best_of_trainer(base, machine)
    theirs = [trained(fastest, base, rate, steps, machine) for rate in _RATES]
    mark = min(theirs, key=lambda run: run.bits)
    usual = start("hf_trainer", base.but(warm=3, timed=8), machine)["step_seconds"]
    arms = ("jpfm_muon", "jpfm_muon_compiled")
    speeds = {name: start(name, base.but(warm=3, timed=8), machine)["step_seconds"] for name in arms}
    muon = min(speeds, key=lambda name: speeds[name])
    tried = [trained(muon, base, rate, steps // 2, machine) for rate in _RATES]
    best = min(tried, key=lambda run: run.bits)
    budgets = [trained(muon, base, best.rate, int(share * steps), machine) for share in _BUDGETS]
    equal = [trained("jpfm", base, mark.rate, steps, machine), trained(muon, base, best.rate, steps, machine)]
    needed = steps_to(mark.bits, [best, *budgets, equal[1]])
    seconds = math.inf if needed is None else needed * best.step_seconds
    goals = [
        Goal("time to Trainer's held-out loss, over its best settings'", seconds / (steps * mark.step_seconds), 0.6,
             at_least=False),
        Goal("the same, over its defaults'", seconds / (steps * usual), 0.6, at_least=False),
    ]  # fmt: skip
    runs = [*theirs, *tried, *budgets, *equal]
    text = page.heading("Time to a held-out loss, 8M Llama on a CPU", facts)
    text += f"{base.step_tokens:,} tokens a step; the mark is {mark.bits:.4f} bits per character, {fastest} after "
    text += f"{steps:,} steps at a rate of {mark.rate:g}.\n\n| arm | rate | steps | bits per character | s a step |\n"
    text += "|---|---:|---:|---:|---:|\n"
    text += "".join(
        f"| {run.arm} | {run.rate:g} | {run.steps:,} | {run.bits:.4f} | {run.step_seconds:.3f} |\n" for run in runs
    )
    text += page.goals(goals)
    text += f"\njpfm with Muon meets the mark after {needed or math.inf:.0f} steps (interpolated).\n"
    result = {"environment": facts, "runs": [run._asdict() for run in runs], "mark": mark._asdict(),
              "trainer_by_default_step_seconds": usual, "steps_needed": needed,
              "goals": [goal._asdict() | {"reached": goal.reached} for goal in goals]}  # fmt: skip
    return result, text
