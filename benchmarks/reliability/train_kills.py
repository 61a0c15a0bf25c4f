"""kill -9 at random moments of a training run, then the same line: every run ends as the undisturbed one, bit for bit.

    python -m benchmarks.reliability.train_kills 30

Compared are the losses and gradient norms of all steps and the id of the result, which covers weights, optimizer state
and settings. One trial in two is one process, the others two processes with FSDP2 over gloo. One to three kills a
trial, each after a step drawn evenly from all; every second one waits until a checkpoint is being written. A kill hits
all processes at once, as a node that goes, or one of them, as the kernel's out-of-memory killer does, and the others as
a launcher does it, a moment later. The processes are forks of one that has imported torch, so that the moments fall
into training and not into imports.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data.report import environment, heading, write
from tests.conftest import SAMPLE_RECIPE
from tests.dist.processes import Processes, Run, metrics, write_config

from jpfm.core import config
from jpfm.core.artifact import Artifact, open_artifact, verify

FSDP = ("parallel.replicate=1", "parallel.shard=null")
SETTINGS: dict[str, Any] = {
    "steps": 40, "schedule": {"warmup_steps": 3, "decay_steps": 10}, "save": {"every_steps": 3, "keep_last": 2},
    "held_out": None,
}  # fmt: skip


def made_tokens(folder: Path) -> Artifact:
    """The bundled sample as tokens."""
    from jpfm.data.build import build
    from jpfm.data.recipe import Recipe
    from jpfm.tokens import tokenizer
    from jpfm.tokens.pack import TokensConfig, pack

    (folder / "recipe.yaml").write_text(SAMPLE_RECIPE, encoding="utf-8")
    corpus = build(config.load(folder / "recipe.yaml", Recipe).config, folder / "corpus")
    assert corpus is not None
    settings = tokenizer.TokenizerConfig(
        stage="tokenizer", vocab_size=1500, character_coverage=0.98, required_characters="none"
    )
    made = pack(TokensConfig(stage="tokens"), corpus, tokenizer.train(settings, corpus, folder / "tokenizer"),
                folder / "tokens")  # fmt: skip
    assert made is not None
    return made


def curve(out: Path) -> list[tuple[int, float, float]]:
    """(step, loss, gradient norm) of a finished run."""
    return [(row["step"], row["loss"], row["grad_norm"]) for row in metrics(out)]


@dataclass(frozen=True)
class Trials:
    """A run on a number of processes, and what it gives when nothing disturbs it."""

    processes: Processes
    file: Path
    size: int
    mesh: tuple[str, ...]
    wanted: str
    curve: list[tuple[int, float, float]]
    seconds: float

    @classmethod
    def prepare(cls, processes: Processes, file: Path, folder: Path, size: int, mesh: tuple[str, ...]) -> "Trials":
        """Run once to the end; the curve has every step."""
        out = folder / f"undisturbed-{size}"
        begun = time.monotonic()
        processes.trained(file, out, size, *mesh)
        return cls(processes, file, size, mesh, open_artifact(out).id, curve(out), time.monotonic() - begun)

    def kill_once(self, out: Path, draw: random.Random, *, in_save: bool) -> str | None:
        """Start the run and kill it; returns what it was doing, None where it had ended by itself."""
        run = self.processes.train(self.file, out, self.size, *self.mesh)
        run.pids()
        steps = draw.randrange(len(self.curve))
        wait = draw.uniform(0, 0.04 if in_save else 0.5)
        while len(metrics(out)) < steps and None in run.codes():
            time.sleep(0.005)
        if in_save:
            while None in run.codes() and not saving(out):
                time.sleep(0.001)
        time.sleep(wait)
        if None not in run.codes():
            return None
        if draw.random() < 0.5:
            run.send(draw.randrange(self.size), signal.SIGKILL)
            time.sleep(draw.uniform(0, 0.3))
        kill(run)
        return phase(out)

    def ends_well(self, out: Path) -> bool:
        """Run the line to its end; whether the result is the undisturbed one, intact, with nothing beside it."""
        run = self.processes.train(self.file, out, self.size, *self.mesh)
        return (
            run.wait() == [0] * self.size
            and curve(out) == self.curve
            and open_artifact(out).id == self.wanted
            and verify(out) == []
            and not out.with_name(out.name + ".partial").exists()
        )


def kill(run: Run) -> None:
    """SIGKILL to every process that is there."""
    for pid, code in zip(run.pids(), run.codes(), strict=True):
        if code is None:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    run.end()


def saving(out: Path) -> bool:
    """Whether a checkpoint is being written."""
    return any(out.with_name(out.name + ".partial").glob("steps/*.partial"))


def phase(out: Path) -> str:
    """What a killed run was doing, by what it left."""
    partial = out.with_name(out.name + ".partial")
    if saving(out):
        return "writing a checkpoint"
    if any(partial.glob("*.safetensors")) or (partial / "sharded").exists() or out.exists():
        return "writing the result"
    steps = list(partial.glob("steps/*"))
    if any(not (path / "manifest.json").exists() for path in steps):
        return "removing an old checkpoint"
    return "between checkpoints" if steps else "before the first checkpoint"


def main(count: int) -> None:
    """Run the trials and write the result."""
    facts = environment(("torch", "accelerate", "transformers"))
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    phases: Counter[str] = Counter()
    equal: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = write_config(made_tokens(folder), folder / "train.yaml", **SETTINGS)
        (folder / "processes").mkdir()
        processes = Processes(folder / "processes")
        arms = [Trials.prepare(processes, file, folder, size, mesh) for size, mesh in ((1, ()), (2, FSDP))]
        for number in range(count):
            trials, out = arms[number % 2], folder / f"trial{number}"
            for _ in range(draw.choice((1, 2, 3))):
                found = trials.kill_once(out, draw, in_save=draw.random() < 0.5)
                if found is not None:
                    phases[found] += 1
            good = trials.ends_well(out)
            equal[trials.size] += good
            sys.stderr.write(f"{number + 1}/{count}: {'equal' if good else 'DIFFERENT'}\n")
            if good:
                shutil.rmtree(out)
        processes.close()
    table = sorted(phases.items())
    result = {"environment": facts, "trials": count, "equal": equal.total(), "kills": phases.total(), "seed": seed,
              "equal_by_processes": dict(equal), "killed_while": dict(table)}  # fmt: skip
    page = heading("Training runs killed at random moments", facts)
    saves = SETTINGS["save"]["every_steps"]
    page += (
        f"\n{equal.total()} of {count} runs ({equal[1]} of {(count + 1) // 2} on one process, {equal[2]} of "
        f"{count // 2} on two with FSDP2) end with the losses and gradient norms of all {SETTINGS['steps']} steps "
        "and the id (weights, optimizer state, settings) of the undisturbed run, verify, and leave nothing behind. "
        f"{phases.total()} kills (SIGKILL), seed {seed}; an undisturbed run takes {arms[0].seconds:.1f} and "
        f"{arms[1].seconds:.1f} s and saves every {saves} steps.\n\n| killed while | times |\n|---|---:|\n"
    )
    page += "".join(f"| {name} | {times} |\n" for name, times in table)
    write("train_kills", result, page)
    sys.exit(equal.total() != count)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
