"""The training loop. One process or many, the same line under `jpfm train`, torchrun, accelerate launch and srun.

    checkpoint = train(config, Path("out/model"))

accelerate holds the processes, the device, autocast, backward, clipping and trackers. What happens at step n is a pure
function of (config, tokens, n): the batch from `TokenOrder`, the rate from `lr_at`. Resume is one integer.

The loss of a step is the sum over all its target tokens, on all processes and micro-batches, over their global count.
Data parallel wrappers average gradients over processes, so each process scales its sum by world / count.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from jpfm.core import artifact as artifacts
from jpfm.core import lineage
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.errors import ArtifactError, ModelError, Preempted, UsageError
from jpfm.core.log import log, progress
from jpfm.model import spec as models
from jpfm.tokens import tokenizer as tokenizers
from jpfm.tokens.loader import Loader
from jpfm.tokens.order import TokenOrder, positions
from jpfm.tokens.pack import open_tokenizer
from jpfm.tokens.store import TokenStore
from jpfm.train import state
from jpfm.train.config import TrainConfig
from jpfm.train.loss import IGNORE, LossModel
from jpfm.train.meter import Meter
from jpfm.train.plot import loss_curve
from jpfm.train.schedule import lr_at


class StopRequest:
    """Turns SIGTERM, SIGUSR1 and Ctrl-C into a flag that the loop reads at the end of a step."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.name is None:  # it may be sent again
            log.warning("%s received: saving at the end of this step", signal.Signals(number).name)
        self.name = signal.Signals(number).name

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def find_tokenizer(config: TrainConfig, tokens: Artifact) -> Artifact:
    """The tokenizer that the tokens were packed with.

    Raises:
        ArtifactError: it is not found, or the one named is another.
    """
    wanted = tokens.manifest.stats["tokenizer"]
    if config.tokenizer is not None:
        found = open_tokenizer(Path(config.tokenizer))
        if wanted is not None and found.id != wanted:
            raise ArtifactError(
                f"{config.tokenizer} is {found.id}, but {tokens.path} was packed with {wanted}",
                hint="name the tokenizer the tokens were packed with, or pack the tokens again",
            )
        return found
    for parent in lineage.parents(tokens):
        if not isinstance(parent, str) and parent.id == wanted and (parent.path / "tokenizer.json").exists():
            return parent
    raise ArtifactError(
        f"{wanted or 'a tokenizer'}, which {tokens.path} needs, is neither beside it nor where it was",
        hint="set tokenizer=FOLDER",
    )


def train(config: TrainConfig, out: Path, *, on_checkpoint: Callable[[Artifact], None] | None = None) -> Artifact:
    """Train a model from scratch, or go on where an earlier run stopped.

    Args:
        on_checkpoint: called on the main process with each finished checkpoint, the last one included.
    Raises:
        Preempted: a signal asked to stop; everything is saved.
        ModelError: the loss is not finite.
    """
    if not config.tokens_folders:
        raise UsageError("tokens: this field is required", hint="set tokens=FOLDER of a tokens artifact")
    tokens = [artifacts.open_artifact(Path(folder), "tokens") for folder in config.tokens_folders]
    tokenizer = find_tokenizer(config, tokens[0])
    base = artifacts.open_artifact(Path(config.init_from), "checkpoint") if config.init_from is not None else None
    out = out.absolute()
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="bf16" if config.precision == "bf16" else "no",
        log_with="tensorboard",
        project_dir=str(out.with_name(out.name + ".partial") / artifacts.LOGS),
    )
    try:
        return _train(config, out, tokens, tokenizer, base, accelerator, on_checkpoint)
    finally:
        accelerator.end_training()
        AcceleratorState._reset_state(reset_partial_state=True)
        PartialState._reset_state()
        GradientState._reset_state()


def _train(
    config: TrainConfig, out: Path, tokens: list[Artifact], tokenizer: Artifact, base: Artifact | None,
    accelerator: Accelerator, on_checkpoint: Callable[[Artifact], None] | None,
) -> Artifact:  # fmt: skip
    identity = config.identity()
    parents = [*tokens, tokenizer, *([base] if base and base.id != tokenizer.id else [])]
    done = [(out / artifacts.MANIFEST).exists()]
    if accelerator.num_processes > 1:
        torch.distributed.broadcast_object_list(done, src=0)
    if accelerator.is_main_process or done[0]:
        made = artifacts.produce(
            out, kind="checkpoint", version=state.VERSION, config=identity, parents=parents,
            work=lambda draft: _Trainer(config, draft.path, parents, base, accelerator, on_checkpoint).run(draft),
        )  # fmt: skip
        if on_checkpoint is not None and not done[0]:
            on_checkpoint(made)
        accelerator.wait_for_everyone()
        return made
    _Trainer(config, out.with_name(out.name + ".partial"), parents, base, accelerator, None).run(None)
    accelerator.wait_for_everyone()
    return artifacts.open_artifact(out, "checkpoint")


class _Trainer:
    """One process's part of a run."""

    def __init__(
        self, config: TrainConfig, folder: Path, parents: list[Artifact], base: Artifact | None,
        accelerator: Accelerator, on_checkpoint: Callable[[Artifact], None] | None,
    ) -> None:  # fmt: skip
        self.config, self.folder, self.accelerator, self.on_checkpoint = config, folder, accelerator, on_checkpoint
        self.parents, self.base = parents, base
        tokens = [parent for parent in parents if parent.manifest.kind == "tokens"]
        tokenizer = parents[len(tokens)]
        self.store = TokenStore.open(*tokens)
        unended = [str(one.path) for one in tokens if not one.manifest.stats.get("append_eos", True)]
        if unended:
            raise UsageError(
                f"{unended[0]} was packed with append_eos: false: documents would run into each other",
                hint="pack it again with append_eos: true",
            )
        self.order = TokenOrder(
            self.store, config.seq_len, config.rows_per_step, config.seed, config.mixture, config.packing
        )
        self.order.check(config.steps)
        self.tokenizer = tokenizers.load(tokenizer.path)
        world = accelerator.num_processes
        if config.rows_per_step % world:
            raise UsageError(
                f"batch_tokens {config.batch_tokens} is {config.rows_per_step} rows; {world} processes cannot share",
                hint=f"set batch_tokens to a multiple of {world * config.seq_len}",
            )
        rows = config.rows_per_step // world
        self.micro_rows = min(config.micro_batch_rows, rows)
        if rows % self.micro_rows:
            raise UsageError(
                f"micro_batch_rows {self.micro_rows} does not divide the {rows} rows of a process",
                hint="set micro_batch_rows to a divisor of batch_tokens / seq_len / processes",
            )

    def run(self, draft: Draft | None) -> Finished:
        config, accelerator = self.config, self.accelerator
        model = self._model()
        if accelerator.is_main_process:
            _announce(config, model.config, self.order)
        optimizer = _optimizer(config, model)
        model.to(accelerator.device)
        steps_folder = self.folder / "steps"
        if draft is not None:
            state.sweep(steps_folder)
        finished = state.finished_steps(steps_folder)
        accelerator.wait_for_everyone()  # nobody writes a checkpoint before all have looked
        start = state.restore(finished[-1], model, optimizer) if finished else 0
        if start:
            log.info("resuming after step %d", start)
        wrapped = accelerator.prepare(LossModel(model))
        wrapped.train()
        meter = Meter(draft.logs, start) if draft is not None else None
        if draft is not None:
            accelerator.init_trackers("tensorboard")
        loss = float("nan")
        with (
            StopRequest() as stop,
            progress("training", total=config.steps, unit="steps", done=start) as bar,
            Loader(self.order, start, config.steps, accelerator.process_index, accelerator.num_processes) as loader,
        ):
            for step, rows in loader:
                rate = lr_at(step, config.learning_rate, config.steps, config.schedule)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                loss, norm, stopping = self._step(wrapped, optimizer, step, rows, stop)
                if meter is not None and draft is not None:
                    row = {"step": step + 1, "loss": loss, "lr": rate, "grad_norm": norm,
                           "tokens": (step + 1) * config.batch_tokens}  # fmt: skip
                    speed = meter.write(row, config.batch_tokens)
                    accelerator.log({"loss": loss, "lr": rate, "grad_norm": norm, "tokens_per_second": speed}, step + 1)
                    bar.advance(1, loss=loss, **{"tokens/s": speed})
                    draft.status(f"training: step {step + 1} of {config.steps}, loss {loss:.4f}, {speed:.0f} tokens/s")
                done = step + 1
                last = done == config.steps
                if not last and (done % config.save_every_steps == 0 or stopping):
                    self._save(model, optimizer, done, steps_folder)
                    if stopping:
                        raise Preempted(
                            f"at step {done} of {config.steps}; the state is saved",
                            hint="run the same command again to go on",
                        )
        if draft is not None:
            state.sweep(steps_folder)
            state.write(draft.path, model, self.tokenizer, optimizer, config.steps)
            loss_curve(meter.path if meter else draft.logs, draft.logs / "loss.png")
        return Finished(self._stats(model, loss))

    def _model(self) -> Any:
        config = self.config
        if config.model is not None:
            return models.build(config.model, self.store.vocab_size, config.seq_len, seed=config.seed)
        assert self.base is not None  # the settings have one of the two
        return models.load(self.base, self.tokenizer, config.seq_len)

    def _step(
        self, wrapped: Any, optimizer: torch.optim.Optimizer, step: int, rows: Any, stop: StopRequest
    ) -> tuple[float, float, bool]:
        """One optimizer step; returns (mean loss over all target tokens, gradient norm, whether to stop)."""
        accelerator, config = self.accelerator, self.config
        inputs, targets = rows[:, :-1], rows[:, 1:].astype(np.int64)
        count = targets.size * accelerator.num_processes  # every row is full: the global count needs no exchange
        if config.packing == "best_fit":  # and where it is not, the order knows the rows of all processes
            real = self.order.targets(step, accelerator.process_index, accelerator.num_processes)
            targets[np.arange(targets.shape[1]) >= real[:, None]] = IGNORE
            count = int(self.order.targets(step).sum())
        place = positions(inputs, self.store.eos) if config.document_mask else None
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=accelerator.device)
        starts = range(0, len(rows), self.micro_rows)
        for start in starts:
            part = slice(start, start + self.micro_rows)
            arguments = [_tensor(array[part], accelerator.device) for array in (inputs, targets)]
            arguments.append(_tensor(place[part], accelerator.device) if place is not None else None)
            if start == starts[-1] or accelerator.num_processes == 1:
                summed = wrapped(*arguments)
                accelerator.backward(summed * (accelerator.num_processes / count))
            else:
                with accelerator.no_sync(wrapped):
                    summed = wrapped(*arguments)
                    accelerator.backward(summed * (accelerator.num_processes / count))
            total += summed.detach()
        norm = accelerator.clip_grad_norm_(wrapped.parameters(), config.clip_norm)
        report = torch.stack([total.float(), torch.tensor(float(stop.name is not None), device=total.device)])
        report = accelerator.reduce(report, reduction="sum")
        loss, norm_value = float(report[0]) / count, float(norm)
        if not (np.isfinite(loss) and np.isfinite(norm_value)):
            raise ModelError(
                f"step {step + 1}: loss {loss}, gradient norm {norm_value}: not finite; the weights were not changed",
                hint="lower learning_rate or lengthen warmup_steps; the last checkpoint is intact",
            )
        optimizer.step()
        return loss, norm_value, bool(report[1] > 0)

    def _save(self, model: Any, optimizer: torch.optim.Optimizer, done: int, steps: Path) -> None:
        if self.accelerator.is_main_process:
            made = state.save(
                steps, done, self.config.identity(), self.parents,
                lambda folder: state.write(folder, model, self.tokenizer, optimizer, done),
                self.config.keep_checkpoints,
            )  # fmt: skip
            if self.on_checkpoint is not None:
                self.on_checkpoint(made)
        self.accelerator.wait_for_everyone()

    def _stats(self, model: Any, loss: float) -> dict[str, Any]:
        cost = models.estimate(model.config, self.config.seq_len)
        tokens = self.config.steps * self.config.batch_tokens
        return {
            "name": self.config.name,
            "size": self.config.model.size if self.config.model else None,
            "parameters": cost.parameters,
            "steps": self.config.steps,
            "tokens": tokens,
            "epochs": round(tokens / max(1, self.order.num_rows * self.config.seq_len), 4),
            "epochs_by_source": {name: round(seen, 4) for name, seen in self.order.epochs(self.config.steps).items()},
            "training_flops": cost.flops_per_token * tokens,
            "final_loss": loss,
        }


def _tensor(array: Any, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array).astype(np.int64, copy=False)).to(device, non_blocking=True)


def _optimizer(config: TrainConfig, model: Any) -> torch.optim.Optimizer:
    """AdamW; vectors (norms) take no weight decay."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=config.adam_epsilon, fused=True
    )


def _announce(config: TrainConfig, model_config: Any, order: TokenOrder) -> None:
    cost = models.estimate(model_config, config.seq_len)
    tokens = config.steps * config.batch_tokens
    log.info(
        "%s: %s parameters (%s in embeddings), %.3g FLOP a token, %.3g in all; %.2f GB for weights and optimizer",
        config.name, f"{cost.parameters:,}", f"{cost.embedding_parameters:,}", cost.flops_per_token,
        cost.flops_per_token * tokens, cost.training_bytes / 1e9,
    )  # fmt: skip
    log.info("%s tokens in %d steps: %.2f epochs of %s rows", f"{tokens:,}", config.steps,
             tokens / (order.num_rows * config.seq_len), f"{order.num_rows:,}")  # fmt: skip
    if config.precision == "bf16" and not torch.cuda.is_available() and not _cpu_has_bf16():
        log.warning("this CPU has no bfloat16 instructions: bf16 runs many times slower here; set precision=fp32")


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return True  # unknown: no warning
    return "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags.split()
