"""Scores every checkpoint of a training run, also while it trains: `jpfm eval CONFIG --follow RUN --out DIR`.

    follower = Follower(config, Path("out/model"), Path("out/model-scores"))
    for scores in follower.run():                  # each lies in DIR/step-NNNNNNNN, made by `evaluate`
        print(scores.path)
    follower.rows()                                # step x task

The scores artifacts are the result; there is no list beside them. Several followers with one RUN and one DIR share the
work: each takes a checkpoint that nobody is at, and what a killed one left is taken over.

The newest checkpoint comes first. Training retires old ones meanwhile, but those in danger are the newest keep_last;
what lies behind them stays (every n tokens, the best). Oldest first, refused, goes through these while others are
lost: with 100 of them at its start, keep_last 2, and an evaluation that takes 0.9 of the time between two saves, it
loses 88 of the next 1,000 checkpoints and newest first none; at 1.5 of that time 431 and 332.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, JpfmError, ModelError, UsageError
from jpfm.core.lock import lock
from jpfm.core.log import log
from jpfm.eval import run as evaluation
from jpfm.eval.run import EvalConfig
from jpfm.model.checkpoints import Retired, checkpoints_of, hold, partial_of, step_name, step_of

WAIT_MINUTES = 60.0
"""Without news of the run for so long, a follower ends. A queue may hold the next job of a chain for longer."""
POLL_SECONDS = 3.0


@dataclass
class Follower:
    """Scores the checkpoints of one run into one folder, alone or as one of several."""

    config: EvalConfig
    training: Path
    """What `jpfm train` was given as --out. It may train now, or not exist yet."""
    out: Path
    once: bool = False
    """Score what is there, and end."""
    wait_minutes: float = WAIT_MINUTES
    poll_seconds: float = POLL_SECONDS
    retired: set[int] = field(default_factory=set)
    """Steps whose checkpoint was seen, and was gone before it was scored."""
    damaged: dict[int, ArtifactError] = field(default_factory=dict)
    """Steps whose checkpoint cannot be scored, and why."""

    def __post_init__(self) -> None:
        self.training = self.training.absolute()
        if self.training.name.endswith(".partial"):  # as it is called while it trains
            self.training = self.training.with_name(self.training.name.removesuffix(".partial"))
        self.out = self.out.absolute()
        self._seen: set[int] = set()
        self._scored: dict[int, Artifact] = {}

    def check(self) -> None:
        """What can be refused before the first checkpoint is there.

        Raises:
            UsageError: the settings name a model, or `out` lies in the run.
            ArtifactError: the run, or `out`, is something else.
            DataError: a task's file is missing or not the one it was made for.
        """
        if self.config.model is not None:
            raise UsageError(
                f"model={self.config.model} and --follow {self.training} are two answers to what is scored",
                hint="leave model= out: --follow takes every checkpoint of the run",
            )
        for place in (self.training, partial_of(self.training)):
            if self.out == place or place in self.out.parents:
                raise UsageError(
                    f"--out {self.out} lies in the run's own folder",
                    hint=f"name another, e.g. --out {self.training}-scores",
                )
        if self.out.exists() and (not self.out.is_dir() or (self.out / artifacts.MANIFEST).exists()):
            raise ArtifactError(
                f"{self.out} is {'an artifact' if self.out.is_dir() else 'a file'}; --follow makes one in it for each "
                "checkpoint",
                hint=f"name a folder of their own, e.g. --out {self.training}-scores",
            )
        if self.training.exists() and not self._finished() and not partial_of(self.training).exists():
            raise ArtifactError(f"{self.training} is no training run", hint="name what `jpfm train` was given as --out")
        plan = partial_of(self.training) / artifacts.PLAN
        if plan.is_file() and (kind := json.loads(plan.read_text(encoding="utf-8"))["kind"]) != "checkpoint":
            raise ArtifactError(
                f"{self.training} is a {kind} that is being made", hint="name what `jpfm train` was given as --out"
            )
        checkpoints_of(self.training)
        for task in self.config.tasks:
            task.check()

    def run(self) -> Iterator[Artifact]:
        """Score what nobody else is at, newest first, and wait for more; yields each scores artifact made here.

        Raises:
            ModelError: the run gave no sign of life for `wait_minutes`; what it left is scored.
            ArtifactError: a checkpoint is damaged (told at the end, when the others are scored), or a folder in `out`
                holds other scores.
        """
        self.check()
        news, told = _News(self.training), False
        while True:
            ended = self._finished()  # asked before looking: what is found afterwards is then all there is
            found = checkpoints_of(self.training)
            self._look_at(found)
            made, shared = self._one_of(found)
            if made is not None:
                told = False
                yield made
                continue
            if self.once or (ended and not shared):
                break
            if not shared and (minutes := news.minutes_without()) >= self.wait_minutes:
                raise ModelError(
                    f"no news of {self.training} for {minutes:.3g} minutes: {news.words()}; {self.summary()}",
                    hint="when it trains again, run the same command again; --wait MINUTES waits for longer",
                )
            if not told:
                for_what = "other tasks" if ended else f"more, {self.wait_minutes:g} minutes without news at most"
                log.info("%s: %s; %s; waiting for %s", self.training.name, news.words(), self.summary(), for_what)
                told = True
            time.sleep(self.poll_seconds)
        if shared:
            log.info("%d more %s being scored by other tasks", shared, "is" if shared == 1 else "are")
        log.info("%s", self.summary())
        if self.damaged:
            first = self.damaged[min(self.damaged)]
            raise ArtifactError(
                f"{len(self.damaged)} of the checkpoints cannot be scored; {first.message}", hint=first.hint
            )

    def plan(self) -> list[str]:
        """What there is to do now, in words."""
        found = checkpoints_of(self.training)
        self._look_at(found)
        left = ", ".join(f"{step:,}" for step in sorted(set(found) - set(self._scored), reverse=True))
        return [f"follow {self.training}: {self.summary()}; to score now, of steps: {left or 'none'}"]

    def summary(self) -> str:
        """How many are scored and how many were lost, in words."""
        number = len(self.retired)
        lost = f", {number} retired before {'it was' if number == 1 else 'they were'} reached" if number else ""
        bad = f", {len(self.damaged)} damaged" if self.damaged else ""
        return f"{len(self._scored)} checkpoint{'' if len(self._scored) == 1 else 's'} scored{lost}{bad}"

    def rows(self) -> list[list[str]]:
        """The heading, and for each step in `out` its values by task; empty where nothing is scored."""
        self._look_at({})
        names = [task.name for task in self.config.tasks]
        table = [["step", *names]]
        for step, made in sorted(self._scored.items()):
            values = [made.manifest.stats.get(name) for name in names]
            table.append([f"{step:,}", *("-" if value is None else f"{value:.4f}" for value in values)])
        return table if len(table) > 1 else []

    def _finished(self) -> bool:
        return (self.training / artifacts.MANIFEST).is_file()

    def _look_at(self, found: dict[int, Path]) -> None:
        """Note what is scored, and what is gone: held until its scores are there, a checkpoint is never both."""
        self._seen |= set(found)
        for path in sorted(self.out.iterdir()) if self.out.is_dir() else ():
            step = step_of(path)
            if step is not None and step not in self._scored and (path / artifacts.MANIFEST).is_file():
                self._scored[step] = self._ours(artifacts.open_artifact(path, "scores"), found.get(step))
        if not found:
            return
        for step in sorted(self._seen - set(found) - set(self._scored) - self.retired - set(self.damaged)):
            self.retired.add(step)
            log.warning("the checkpoint of step %d was retired before it was scored", step)

    def _ours(self, scores: Artifact, checkpoint: Path | None) -> Artifact:
        wanted = artifacts.plan_of("scores", evaluation.VERSION, self.config.identity(), [])["config"]
        what = None
        if scores.manifest.config != wanted or scores.manifest.stage_version != evaluation.VERSION:
            what = "made with other settings"
        elif checkpoint is not None:
            try:
                held = artifacts.open_artifact(checkpoint, "checkpoint").id
            except (ArtifactError, FileNotFoundError):
                return scores  # retired, or renamed with its run, since it was listed
            what = None if held in scores.manifest.parents else f"of another checkpoint than {checkpoint} ({held})"
        if what is not None:
            raise ArtifactError(
                f"{scores.path} holds scores {what}",
                hint="take another --out, or delete that folder to score the checkpoint anew",
            )
        return scores

    def _one_of(self, found: dict[int, Path]) -> tuple[Artifact | None, int]:
        """The scores of one checkpoint that nobody is at, and how many were passed over because somebody is."""
        shared = 0
        for step in sorted(set(found) - set(self._scored) - set(self.damaged), reverse=True):
            name = step_name(step)
            with ExitStack() as turn:
                try:
                    turn.enter_context(lock(self.out / f"{name}.turn"))
                except ArtifactError:
                    shared += 1  # its owner scores it, or dies, and the kernel frees it
                    continue
                if (self.out / name / artifacts.MANIFEST).exists():
                    continue  # finished since we looked
                try:
                    made = self._score(step)
                except ArtifactError as error:
                    if not _is_damaged(found[step]):
                        raise
                    log.error("step %d cannot be scored: %s", step, error.message)
                    self.damaged[step] = error
                    continue
                if made is not None:
                    self._scored[step] = made
                    return made, shared
        return None, shared

    def _score(self, step: int) -> Artifact | None:
        """Score the checkpoint of a step; None where it is gone. It is found again where its run ends meanwhile."""
        while (place := checkpoints_of(self.training).get(step)) is not None:
            settings = self.config.model_copy(update={"model": str(place)})
            running = partial_of(self.training) in place.parents  # later on nobody retires
            try:
                with hold(place) if running else nullcontext(), _Looking(self.training, self._seen, self.poll_seconds):
                    return evaluation.evaluate(settings, self.out / step_name(step))
            except Retired:
                time.sleep(0.01)  # it goes at this moment
            except (JpfmError, OSError, ValueError):
                if place.exists():
                    raise
                log.info("%s has finished: going on at its new place", self.training)
        return None


class _Looking:
    """Notes which checkpoints there are while one is scored: of those that come and go meanwhile none is forgotten."""

    def __init__(self, training: Path, seen: set[int], poll_seconds: float) -> None:
        self.training, self.seen, self.poll_seconds = training, seen, poll_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="checkpoints", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(self.poll_seconds):
            self.seen.update(checkpoints_of(self.training))

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class _News:
    """When a run last gave a sign of life: a file of its logs, or its set of checkpoints, changed.

    By this process's own clock: those of a cluster's file servers differ from it.
    """

    def __init__(self, training: Path) -> None:
        self.training = training
        self._before = self._now()
        self._at = time.monotonic()

    def minutes_without(self) -> float:
        now = self._now()
        if now != self._before:
            self._before, self._at = now, time.monotonic()
        return (time.monotonic() - self._at) / 60

    def words(self) -> str:
        """How the run is, as it tells it itself."""
        if (self.training / artifacts.MANIFEST).is_file():
            return "the run is finished"
        folder = partial_of(self.training)
        if not folder.is_dir():
            return "it does not exist yet"
        try:
            said = f"its status is '{(folder / artifacts.LOGS / 'status').read_text(encoding='utf-8').strip()}'"
        except FileNotFoundError:
            said = "it has told no status yet"
        going = self.training.with_name(self.training.name + ".lock").exists()
        return said if going else f"{said}, and no process is at it"

    def _now(self) -> tuple[object, ...]:
        logs = partial_of(self.training) / artifacts.LOGS
        try:
            files = sorted(logs.iterdir())
            stats = [(path.name, (found := path.stat()).st_mtime_ns, found.st_size) for path in files]
        except FileNotFoundError:  # it does not exist yet, or has just finished
            stats = []
        return (*stats, *checkpoints_of(self.training))


def _is_damaged(checkpoint: Path) -> bool:
    """Whether the files differ from what the manifest says; then other checkpoints may still be scored."""
    return checkpoint.exists() and bool(artifacts.verify(checkpoint))
