"""Checkpoints while training goes on: the state is copied, a thread writes it, the manifest comes last.

    saver = Saver(steps_folder, mesh, ...)
    saver.save(progress, model, optimizer)       # returns when the copy is made
    made = saver.poll()                          # finished checkpoints, errors raised here
    saver.wait()

Every process writes its own part through torch.distributed.checkpoint over a gloo group that the step's collectives do
not use; the main process hashes, writes the manifest and retires old checkpoints. A kill at any moment leaves either
the finished folder or one without a manifest, which the next start sweeps away.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.log import log
from jpfm.model import checkpoints
from jpfm.model.checkpoints import finished_steps
from jpfm.model.extend_base import keep
from jpfm.train import state
from jpfm.train.mesh import Mesh
from jpfm.train.retention import retained
from jpfm.train.settings import Save
from jpfm.train.state import Progress, Staged

BRANCHED = f"{artifacts.LOGS}/branched"
"""Marks a checkpoint that another run goes on from: it stays."""


class Saver:
    """Writes the checkpoints of one run; all processes have one and call it at the same steps."""

    def __init__(
        self, steps: Path, mesh: Mesh, save: Save, config: Mapping[str, Any], parents: Sequence[Artifact],
        tokenizer: Any,
    ) -> None:  # fmt: skip
        self.steps, self.mesh, self.settings = steps, mesh, save
        self.config, self.parents, self.tokenizer = config, parents, tokenizer
        self._stager = state.Stager()
        self._pool = _thread()
        self._running: Future[Artifact | None] | None = None
        self._made: list[Artifact] = []

    def save(self, progress: Progress, model: Any, optimizer: torch.optim.Optimizer, stats: Mapping[str, Any]) -> None:
        """Copy the state and begin to write `steps/step-NNNNNNNN`; waits for the checkpoint before."""
        self.wait()
        staged = self._stager.stage(model, optimizer)
        self._running = self._pool.submit(self._write, progress, staged, model, dict(stats))

    def _write(self, progress: Progress, staged: Staged, model: Any, stats: dict[str, Any]) -> Artifact | None:
        out = self.steps / checkpoints.step_name(progress.step)
        if not self.mesh.is_main:
            state.write(out.with_name(out.name + ".partial"), staged, self.mesh.checkpoint_group)
            return None

        def work(draft: Draft) -> Finished:
            self._fill(draft.path, progress, staged, model)
            (draft.path / checkpoints.HOLD).touch()  # so that who may only read can hold it
            return Finished({"step": progress.step, "tokens": progress.tokens, **stats})

        made = artifacts.produce(
            out, kind="checkpoint", version=state.VERSION, config={**self.config, "step": progress.step},
            parents=self.parents, work=work,
        )  # fmt: skip
        retire(self.steps, self.settings)
        return made

    def finish(self, folder: Path, progress: Progress, model: Any, optimizer: torch.optim.Optimizer) -> None:
        """Write the state into the run's own folder, and wait for it. All processes."""
        self.wait()
        staged = self._stager.stage(model, optimizer)
        if self.mesh.is_main:
            state.clear(folder)
        self.mesh.wait()
        if self.mesh.is_main:
            self._fill(folder, progress, staged, model)
        else:
            state.write(folder, staged, self.mesh.checkpoint_group)

    def _fill(self, folder: Path, progress: Progress, staged: Staged, model: Any) -> None:
        for parent in self.parents:
            if parent.manifest.kind == "source":  # another program's model has no manifest of its own
                keep(parent, folder)
        state.write(folder, staged, self.mesh.checkpoint_group)
        state.describe(folder, model, self.tokenizer, replace(progress, scalars=staged.scalars))

    def poll(self) -> list[Artifact]:
        """Checkpoints finished since the last call (on the main process). An error of the writing thread is raised."""
        if self._running is not None and self._running.done():
            self.wait()
        made, self._made = self._made, []
        return made

    def wait(self) -> None:
        """Until the checkpoint that is being written is finished."""
        running, self._running = self._running, None
        if running is not None and (made := running.result()) is not None:
            self._made.append(made)

    def close(self) -> None:
        """End the thread; a checkpoint that is being written is finished first."""
        self._pool.shutdown()
        self._stager.close()


def _thread() -> ThreadPoolExecutor:
    """One thread, on this process's GPU: the current device is a thread's own, and would be the first one."""
    if not torch.cuda.is_available():
        return ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
    return ThreadPoolExecutor(
        1, thread_name_prefix="checkpoint", initializer=torch.cuda.set_device,
        initargs=(torch.cuda.current_device(),),
    )  # fmt: skip


def retire(steps: Path, save: Save) -> None:
    """Remove the checkpoints that the settings do not keep. One that an evaluation reads stays until the next call."""
    found = {}
    for path in finished_steps(steps):
        stats = artifacts.open_artifact(path, "checkpoint").manifest.stats
        found[int(stats["step"])] = (path, int(stats["tokens"]), stats.get("bits_per_character"))
    kept = retained([(step, tokens, value) for step, (_, tokens, value) in found.items()], save)
    for step, (path, _, _) in found.items():
        if step not in kept and not (path / BRANCHED).exists() and not checkpoints.retire(path):
            log.info("%s is being read: it stays until the next checkpoint is written", path.name)


def sweep(steps: Path) -> None:
    """Remove what a kill left of a checkpoint that was being written or retired. Only the run's owner may."""
    if steps.is_dir():
        for path in sorted(set(steps.iterdir()) - set(finished_steps(steps))):
            artifacts.discard(path)
