"""Settings of `jpfm train`."""

from typing import Annotated, Any, Literal

import pydantic

from jpfm.core.config import Settings, how, place
from jpfm.model.spec import ModelSpec
from jpfm.tokens.mixture import Mixture
from jpfm.train.settings import (
    AdamW,
    Faults,
    Guard,
    HeldOut,
    Muon,
    Parallel,
    Positive,
    PositiveFloat,
    Report,
    Save,
    Schedule,
)

Optimizer = Annotated[AdamW | Muon, pydantic.Field(discriminator="kind")]


class TrainConfig(Settings):
    """What is trained, on which tokens, for how long, and how it is run."""

    stage: Literal["train"]
    name: str = "model"
    """How the model is called in reports."""
    tokens: str | tuple[str, ...] | None = place()
    """Folder of a tokens artifact, or several that were packed with one tokenizer."""
    tokenizer: str | None = place()
    """Folder of the tokenizer the tokens were packed with; null finds it by lineage."""
    model: ModelSpec | None = None
    """A size, to start from scratch."""
    init_from: str | None = place()
    """Folder of a model whose weights training starts with, instead of `model`; its optimizer starts anew."""
    init_licence: str | None = None
    """Licence of that model, where it is another program's folder and no checkpoint of jpfm."""
    branch_from: str | None = place()
    """Folder of a checkpoint to go on from, step count and optimizer included; `jpfm train branch` sets it."""
    branch_at: Positive | None = None
    """Steps that checkpoint has done."""
    seq_len: Positive = 512
    """Tokens a row."""
    batch_tokens: Positive = 4096
    """Tokens of one optimizer step over all processes; a multiple of seq_len."""
    mixture: Mixture = Mixture()
    """Weights of the sources, stages of a curriculum, and how often a source may be seen. Default: by size."""
    packing: Literal["concat", "best_fit"] = "concat"
    """concat cuts the stream of documents into rows; best_fit keeps documents whole where they fit into a row."""
    steps: Positive | None = None
    """Optimizer steps; or `total_tokens`."""
    total_tokens: Positive | None = None
    """Tokens to train on; the last step that is begun is finished."""
    learning_rate: PositiveFloat = 1e-3
    """The peak."""
    schedule: Schedule = Schedule()
    optimizer: Optimizer = AdamW()
    clip_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm."""
    z_loss: Annotated[float, pydantic.Field(ge=0)] = 0.0
    """Weight of log(Z)^2, which keeps logits small (PaLM: 1e-4); not in the loss that is reported."""
    precision: Literal["fp32", "bf16", "fp8"] = "bf16"
    """bf16: products in bfloat16, weights and optimizer in fp32. fp8: block products in float8 (torchao, Hopper)."""
    document_mask: bool = True
    """Documents packed into one row do not see each other."""
    reset_positions: bool = True
    """Positions count from each document's beginning instead of the row's."""
    faults: Faults = Faults()
    seed: int = 0

    micro_batch_rows: Positive = how(8)
    """Rows of one forward pass of one process at most; more is faster and takes more memory, the result is the same."""
    parallel: Parallel = how(Parallel())
    compile: bool | None = how(None)
    """torch.compile of each block; null: on a GPU yes, on a CPU no (it takes half a minute there)."""
    activation_checkpointing: Literal["none", "selective", "full"] = how("none")
    """What is computed again in the backward pass: nothing, all but every second matrix product and attention, all."""
    attention: Literal["auto", "varlen", "flex", "sdpa"] = how("auto")
    """auto: varlen (each document by itself, no mask). sdpa builds a mask of seq_len x seq_len."""
    loss: Literal["chunked", "liger", "cut"] = how("chunked")
    """Cross-entropy kernel; liger (liger-kernel) and cut (cut-cross-entropy) need their package and a GPU."""
    save: Save = how(Save())
    held_out: HeldOut | None = how(None)
    report: Report = how(Report())
    guard: Guard = how(Guard())
    lint: Literal["warn", "refuse", "off"] = how("warn")
    """What happens when a setting is one that is known to have ruined runs."""

    @pydantic.field_validator("optimizer", mode="before")
    @classmethod
    def _adamw_by_default(cls, value: Any) -> Any:
        return {"kind": "adamw", **value} if isinstance(value, dict) and "kind" not in value else value

    @pydantic.model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        given = [name for name in ("model", "init_from", "branch_from") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "model: give one of the three: `model` (a size, from scratch), `init_from` (a checkpoint) or "
                f"`branch_from` (go on from one); found {', '.join(given) or 'none'}"
            )
        if (self.branch_from is None) != (self.branch_at is None):
            raise ValueError("branch_from: goes with `branch_at`; `jpfm train branch RUN --at STEP` sets both")
        if self.init_licence is not None and self.init_from is None:
            raise ValueError("init_licence: belongs to `init_from`, and there is none")
        if self.batch_tokens % self.seq_len:
            raise ValueError(f"batch_tokens {self.batch_tokens} is not a multiple of seq_len {self.seq_len}")
        if (self.steps is None) == (self.total_tokens is None):
            raise ValueError("steps: give one of the two: `steps` or `total_tokens`")
        warmup = self.schedule.warmup(self.batch_tokens)
        decay = self.schedule.decay_length(self.batch_tokens)
        if warmup + decay > self.num_steps:
            default = self.schedule.warmup_steps is None and self.schedule.warmup_tokens is None
            raise ValueError(
                f"steps {self.num_steps} are fewer than the schedule's warm-up of {warmup:g}"
                f"{' (the default; schedule.warmup_steps)' if default else ''} and decay of {decay:g} together"
            )
        if self.save.keep_best and self.held_out is None:
            raise ValueError("save.keep_best: needs `held_out`, which says what is best")
        return self

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run, those before a branch included."""
        return self.steps if self.steps is not None else -(-(self.total_tokens or 0) // self.batch_tokens)

    @property
    def tokens_folders(self) -> tuple[str, ...]:
        """The folders of tokens; none where the setting is absent."""
        return (self.tokens,) if isinstance(self.tokens, str) else (self.tokens or ())

    @property
    def rows_per_step(self) -> int:
        """Rows of one optimizer step over all processes."""
        return self.batch_tokens // self.seq_len
