"""The training loop. One process or many, the same line under `jpfm train`, torchrun, accelerate launch and srun.

    checkpoint = train(config, Path("out/model"))

accelerate holds the processes, the device, autocast, backward, clipping and trackers. What happens at step n is a pure
function of (config, tokens, n): the batch from `TokenOrder`, the rate from `lr_at`. Resume is one integer. All
processes decide alike, from numbers that a step's one exchange made equal: whether to skip, save, go back or stop.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError, EnvironmentProblem, ModelError, Preempted, UsageError
from jpfm.core.log import log
from jpfm.model.checkpoints import finished_steps
from jpfm.model.estimate import estimate
from jpfm.tokens.loader import Loader, plain
from jpfm.train import branch, held_out, replicas, saver, state, trackers
from jpfm.train.build import build, first_weights
from jpfm.train.compute import Compute, pinned
from jpfm.train.config import TrainConfig
from jpfm.train.faults import Fault, FaultGuard
from jpfm.train.inputs import Inputs, open_inputs
from jpfm.train.journal import Journal
from jpfm.train.mesh import Mesh, close_mesh, open_mesh
from jpfm.train.meter import Span
from jpfm.train.optim import optim
from jpfm.train.preflight import preflight
from jpfm.train.saver import Saver
from jpfm.train.schedule import lr_at
from jpfm.train.state import Progress
from jpfm.train.stop import StopRequest
from jpfm.train.watchdog import Watchdog
from jpfm.train.windows import Windows

OnCheckpoint = Callable[[Artifact], None]


def train(config: TrainConfig, out: Path, *, on_checkpoint: OnCheckpoint | None = None) -> Artifact:
    """Train a model, or go on where an earlier run stopped.

    Args:
        on_checkpoint: called on the main process with each finished checkpoint, the last one included.
    Raises:
        Preempted: a signal asked to stop; everything is saved.
        ModelError: too many steps had a loss that is not finite or a spike.
    """
    inputs = open_inputs(config)
    out = out.absolute()
    folder = out.with_name(out.name + ".partial")
    accelerator, mesh = open_mesh(config, folder / artifacts.LOGS)
    failed = True
    try:
        made = _together(config, inputs, out, accelerator, mesh, on_checkpoint)
        failed = False
        return made
    except RuntimeError as error:
        if mesh.world > 1 and _lost(error):
            raise EnvironmentProblem(
                f"the connection to another process is lost ({str(error).splitlines()[0][-120:]})",
                hint="the first error among the processes' messages is the cause; then run the same command again",
            ) from error
        raise
    finally:
        close_mesh(accelerator, failed=failed)


def _together(
    config: TrainConfig, inputs: Inputs, out: Path, accelerator: Accelerator, mesh: Mesh,
    on_checkpoint: OnCheckpoint | None,
) -> Artifact:  # fmt: skip
    """The main process makes the artifact and the others help, if it finds that there is something to do."""
    folder = out.with_name(out.name + ".partial")
    if not mesh.is_main:
        begun = mesh.from_main(None)
        if isinstance(begun, Exception):
            raise begun
        if begun:
            _Trainer(config, inputs, folder, accelerator, mesh, None, None).run()
        mesh.wait()
        return artifacts.open_artifact(out, "checkpoint")
    begun = False

    def work(draft: Draft) -> Finished:
        nonlocal begun
        begun = mesh.from_main(True)
        return _Trainer(config, inputs, folder, accelerator, mesh, draft, on_checkpoint).run()

    try:
        made = artifacts.produce(
            out, kind="checkpoint", version=state.VERSION, config=config.identity(), parents=inputs.parents, work=work
        )
    except Exception as problem:
        error = _with_a_way_on(problem, folder, out)
        if not begun:
            mesh.from_main(error)
        raise error from problem
    if not begun:
        mesh.from_main(False)  # it is finished
    mesh.wait()
    if begun and on_checkpoint is not None:
        on_checkpoint(made)
    return made


def _with_a_way_on(problem: Exception, folder: Path, out: Path) -> Exception:
    """A run whose settings must change has a way on that keeps what was trained: a branch."""
    steps = finished_steps(folder / "steps") or finished_steps(out / "steps")
    if not isinstance(problem, ArtifactError) or "other settings" not in problem.message or not steps:
        return problem
    last = int(steps[-1].name.removeprefix("step-"))
    return ArtifactError(
        problem.message,
        hint=f"to go on from its step {last} with other settings: jpfm train branch {out} --at {last} KEY=VALUE... "
        f"--out ANOTHER; or take another --out",
    )


def _lost(error: Exception) -> bool:
    """Whether a collective failed because another process has ended."""
    return isinstance(error, torch.distributed.DistError) or "Connection" in str(error)


class _Trainer:
    """One process's part of a run."""

    def __init__(
        self, config: TrainConfig, inputs: Inputs, folder: Path, accelerator: Accelerator, mesh: Mesh,
        draft: Draft | None, on_checkpoint: OnCheckpoint | None,
    ) -> None:  # fmt: skip
        self.config, self.inputs, self.folder = config, inputs, folder
        self.accelerator, self.mesh, self.draft, self.on_checkpoint = accelerator, mesh, draft, on_checkpoint
        self.steps_folder = folder / "steps"
        self.loss = float("nan")
        self.scored: tuple[int, held_out.Evaluation] | None = None

    def run(self) -> Finished:
        config, mesh = self.config, self.mesh
        with (
            Watchdog(mesh.rank, mesh.world, config.guard.collective_timeout_seconds) as self.watchdog,
            StopRequest(config.guard.grace_seconds) as self.stop,
        ):
            preflight(config, self.inputs, mesh, self.accelerator.device)
            self.run_ = built = build(config, self.inputs, mesh, self.accelerator)
            self.compute = Compute(config, self.inputs, mesh, built, self.accelerator)
            self.domains = self._domains()
            if self.draft is not None:
                saver.sweep(self.steps_folder)
            mesh.wait()  # nobody looks for checkpoints before the sweep is over
            self.saver = Saver(
                self.steps_folder, mesh, config.save, config.identity(), self.inputs.parents, self.inputs.tokenizer
            )
            trackers.start(self.accelerator, config.name)
            try:
                where: Progress | None = self._begin()
                begun = where
                while where is not None:
                    self.watchdog.at(where.step, "starting")
                    with Journal(
                        self.draft, config, built, mesh, self.accelerator, where, rewound=where is not begun
                    ) as self.journal:
                        where = self._go_on(where)
            finally:
                self.saver.close()
        return Finished(self._stats())

    def _domains(self) -> list[held_out.Domain]:
        settings, inputs = self.config.held_out, self.inputs
        if settings is None:
            return []
        return held_out.domains(
            held_out.find(settings, inputs.tokens), inputs.tokenizer_artifact.path, self.config.seq_len,
            settings.max_chars, packed=self.config.document_mask,
        )  # fmt: skip

    def _begin(self) -> Progress:
        """Weights and optimizer as the last checkpoint has them; else as the branch, or the start."""
        built, mesh = self.run_, self.mesh
        with self.watchdog.paused():
            last = mesh.from_main(self._last_intact() if mesh.is_main else None)
        if isinstance(last, Exception):
            raise last
        if last is not None:
            found = state.restore(last, built.model, built.optimizer, mesh.checkpoint_group)
            if mesh.is_main:
                log.info("resuming after step %d", found.step)
            return found
        if self.config.branch_from is not None and self.inputs.base is not None:
            return branch.restore(self.config, self.inputs, built, mesh)
        first_weights(self.config, self.inputs, built, mesh)
        return Progress(0, 0)

    def _last_intact(self) -> Path | ArtifactError | None:
        """The newest checkpoint, or what is wrong with it. Asked of the main process alone: hashing takes long."""
        finished = finished_steps(self.steps_folder)
        if not finished:
            return None
        problems = artifacts.verify(finished[-1])
        if not problems:
            return finished[-1]
        before = f"from {finished[-2].name}" if len(finished) > 1 else "from the beginning"
        return ArtifactError(
            f"checkpoint {finished[-1]} is damaged: {problems[0]}",
            hint=f"delete that folder and run the same command again: it resumes {before}",
        )

    def _go_on(self, where: Progress) -> Progress | None:
        """Train to the end. Returns None then, and after a rewind the place to go on from."""
        config, mesh, journal = self.config, self.mesh, self.journal
        windows = Windows(where.windows)
        shift = windows.shift(where.step)
        guard = FaultGuard(config.faults, where)
        last_saved = time.monotonic()
        if where.step >= config.num_steps:
            raise UsageError(
                f"steps {config.num_steps}: {where.step} are done already", hint="set steps to more than that"
            )
        self.inputs.order.check(config.num_steps + shift)
        with Loader(
            self.inputs.order,
            where.step + shift,
            config.num_steps + shift,
            mesh.data_rank,
            mesh.data_world,
            allocate=pinned if torch.cuda.is_available() else plain,
        ) as batches:
            for data_step, rows in journal.waiting("data", batches):
                step = data_step - shift
                rate = lr_at(step, config.learning_rate, config.num_steps, config.schedule, config.batch_tokens)
                for group in self.run_.optimizer.param_groups:
                    group["lr"] = rate
                due = config.save.every_minutes is not None and (
                    time.monotonic() - last_saved > 60 * config.save.every_minutes
                )
                report = self.compute.gradients(
                    data_step, rows, stop=self.stop.name is not None, save=due and mesh.is_main,
                    joules=journal.meter.joules(), phase=partial(self._phase, step),
                )  # fmt: skip
                fault = guard.judge(step + 1, report.loss, report.grad_norm)
                done = step + 1
                if fault is None:
                    with self._phase(step, "optimizer"):
                        self.run_.optimizer.step()
                    guard.applied(report.loss, report.grad_norm)
                    self.loss = report.loss
                elif (target := self._leave_out(fault, guard, windows, step)) is not None:
                    return target
                here = Progress(
                    done, where.tokens + (done - where.step) * config.batch_tokens, windows.pairs,
                    tuple(guard.history), guard.in_a_row, guard.rewinds,
                )  # fmt: skip
                last = done == config.num_steps
                every = config.save.every_steps
                saving = report.save or report.stop or (every is not None and done % every == 0)
                self._measure(here, last, saving)
                if saving and not last:
                    with self._phase(step, "save"):
                        self.saver.save(here, self.run_.model, self.run_.optimizer, self._checkpoint_stats(here))
                    last_saved = time.monotonic()
                journal.step(here, report, rate, fault)
                self._announce(self.saver.poll())
                if report.stop and not last:
                    self._stop(here)
        self._finish(here)
        return None

    def _leave_out(self, fault: Fault, guard: FaultGuard, windows: Windows, step: int) -> Progress | None:
        """A faulty step changes no weights. Returns where to go on after a rewind, else None.

        Raises:
            ModelError: the settings, or too many of them, end the run.
        """
        action = self.config.faults.action
        if action != "rewind":
            self.journal.fault(fault, action)
        self.run_.optimizer.zero_grad(set_to_none=True)
        hint = (
            "the last checkpoint is intact; go on from it with a lower rate: jpfm train branch RUN --at STEP "
            "learning_rate=... --out ANOTHER"
        )
        if action == "stop":
            raise ModelError(f"{fault.words}; the weights were not changed", hint=hint)
        log.warning("%s: %s", fault.words, "left out" if action == "skip" else "going back to the last checkpoint")
        if guard.skipped():
            raise ModelError(f"{fault.words}; so were {guard.in_a_row} steps in a row", hint=hint)
        if action == "skip":
            return None
        if guard.rewinds == self.config.faults.max_rewinds:
            self.journal.fault(fault, "stop")
            raise ModelError(f"{fault.words}; the run was rewound {guard.rewinds} times already", hint=hint)
        with self.watchdog.paused():
            self.saver.wait()
            self.mesh.wait()
        found = self._begin()
        self.journal.fault(fault, action, rewound_to=found.step)
        return replace(found, windows=windows.after_rewind(found.step, step).pairs, rewinds=guard.rewinds + 1)

    def _measure(self, here: Progress, last: bool, saving: bool) -> None:
        """What is measured at intervals: held-out text, the size of updates, agreement of the copies."""
        config = self.config
        if config.held_out is not None and (
            last or here.step % config.held_out.every_steps == 0 or (saving and config.save.keep_best)
        ):
            with self._phase(here.step - 1, "held_out"):
                self.scored = here.step, held_out.evaluate(self.domains, self.compute.score)
            self.journal.held_out(here, self.scored[1])
        if here.step % config.report.update_rms_every_steps == 0:
            self.journal.update_rms(optim.update_rms(self.run_.optimizer))
        every = config.guard.check_replicas_every_steps
        if every is not None and here.step % every == 0:
            with self._phase(here.step - 1, "held_out"):
                differing = replicas.check(self.run_.model, self.mesh, self.accelerator.device)
            if differing:
                raise ModelError(
                    f"step {here.step}: copies of the weights differ: {'; '.join(differing[:3])}",
                    hint="that process's device or link is faulty; leave its node out and run the same command again",
                )

    def _phase(self, step: int, name: Span) -> Any:
        self.watchdog.at(step + 1, name)
        return self.journal.span(name)

    def _checkpoint_stats(self, here: Progress) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.scored is not None and self.scored[0] == here.step:
            found["bits_per_character"] = self.scored[1].overall
        if here.windows != ((0, 0),):
            found["windows"] = here.windows
        return found

    def _announce(self, made: list[Artifact]) -> None:
        if self.on_checkpoint is not None:
            for checkpoint in made:
                self.on_checkpoint(checkpoint)

    def _stop(self, here: Progress) -> None:
        with self.watchdog.paused():
            self.saver.wait()
            self._announce(self.saver.poll())
            self.mesh.wait()  # a launcher ends all processes when the first one is gone
        raise Preempted(
            f"at step {here.step} of {self.config.num_steps}; the state is saved",
            hint="run the same command again to go on",
        )

    def _finish(self, here: Progress) -> None:
        self.here = here
        with self._phase(here.step - 1, "save"), self.watchdog.paused():
            self.saver.wait()
            self._announce(self.saver.poll())
            self.saver.finish(self.folder, here, self.run_.model, self.run_.optimizer)
        if self.draft is not None:
            saver.sweep(self.steps_folder)
            self.journal.picture(self.loss)

    def _stats(self) -> dict[str, Any]:
        config, order = self.config, self.inputs.order
        cost = estimate(self.inputs.model_config, config.seq_len)
        tokens = config.num_steps * config.batch_tokens
        found: dict[str, Any] = {
            "name": config.name,
            "size": config.model.size if config.model else None,
            "parameters": cost.parameters,
            "step": config.num_steps,
            "steps": config.num_steps,
            "tokens": self.here.tokens,
            "epochs": round(tokens / max(1, order.num_rows * config.seq_len), 4),
            "epochs_by_source": {
                name: round(seen, 4)
                for name, seen in order.epochs(Windows(self.here.windows).data_step(config.num_steps)).items()
            },
            "training_flops": cost.flops_per_token * self.here.tokens,
            "final_loss": self.loss,
        }
        return found | self._checkpoint_stats(self.here)
