"""Parts of a training run's settings: schedule, optimizer, mesh, faults, what is saved and reported.

Fields made by `how()` decide speed, memory or what is kept; they are no part of the result's identity and may change
when a run resumes.
"""

from typing import Annotated, Literal

import pydantic

from jpfm.core.config import Settings, place

Positive = Annotated[int, pydantic.Field(ge=1)]
Count = Annotated[int, pydantic.Field(ge=0)]
PositiveFloat = Annotated[float, pydantic.Field(gt=0)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class Schedule(Settings):
    """Learning rate over training: warm-up, a plateau or a curve, and a decay to `final_share` of the peak."""

    kind: Literal["wsd", "cosine", "linear", "constant"] = "wsd"
    warmup_steps: Count | None = None
    """Length of the linear warm-up; 100 where warmup_tokens is not given either."""
    warmup_tokens: Count | None = None
    """The same, in tokens."""
    decay_steps: Count | None = None
    """Steps of the last phase, for wsd only (warm-up, stable, decay; Hu et al. 2024, MiniCPM). Default 0."""
    decay_tokens: Count | None = None
    """The same, in tokens."""
    decay: Literal["linear", "minus_sqrt", "cosine"] = "linear"
    """Shape of wsd's last phase; minus_sqrt is 1 - sqrt(share) (Haegele et al. 2024, arXiv:2405.18392)."""
    final_share: Share = 0.1

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Schedule":
        for name in ("warmup", "decay"):
            if getattr(self, f"{name}_steps") is not None and getattr(self, f"{name}_tokens") is not None:
                raise ValueError(f"{name}_steps and {name}_tokens are two words for one length: give one")
        if self.kind != "wsd" and (self.decay_steps or self.decay_tokens or self.decay != "linear"):
            raise ValueError(f"decay, decay_steps and decay_tokens are for kind: wsd; {self.kind} has no such phase")
        return self

    def warmup(self, batch_tokens: int) -> float:
        """Length of the warm-up in steps; a fraction where it is given in tokens."""
        if self.warmup_tokens is not None:
            return self.warmup_tokens / batch_tokens
        return 100 if self.warmup_steps is None else self.warmup_steps

    def decay_length(self, batch_tokens: int) -> float:
        """Length of wsd's last phase in steps."""
        return self.decay_tokens / batch_tokens if self.decay_tokens is not None else self.decay_steps or 0


class AdamW(Settings):
    """AdamW (Loshchilov and Hutter 2019), the fused kernel of torch. Norms and biases take no weight decay."""

    kind: Literal["adamw"] = "adamw"
    beta1: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.95
    epsilon: PositiveFloat = 1e-8
    weight_decay: Annotated[float, pydantic.Field(ge=0)] = 0.1
    decay_embeddings: bool = True
    """Whether the input embedding decays too (an output matrix of its own always does)."""


class Muon(Settings):
    """Muon for the matrices of the blocks (Jordan et al. 2024), AdamW for embeddings, output matrix and norms.

    The update is scaled by 0.2 sqrt(max(rows, columns)), so that one learning rate serves both
    (Liu et al. 2025, arXiv:2502.16982).
    """

    kind: Literal["muon"]
    momentum: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.95
    nesterov: bool = True
    newton_schulz_steps: Positive = 5
    weight_decay: Annotated[float, pydantic.Field(ge=0)] = 0.1
    adamw: AdamW = AdamW()
    """For what is no matrix of a block."""


class Parallel(Settings):
    """The mesh: replicate x shard x tensor = processes. One of replicate and shard may be null: what is left.

    {replicate: null, shard: 1} is DDP, {replicate: 1, shard: null} FSDP2, {replicate: null, shard: 8} HSDP.
    """

    replicate: Positive | None = None
    """Copies of the model."""
    shard: Positive | None = 1
    """Processes that share one copy (FSDP2)."""
    tensor: Positive = 1
    """Processes that split each matrix product; inside one machine."""
    reshard_after_forward: bool = True
    """Free gathered weights between forward and backward; false is faster and takes more memory."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Parallel":
        if self.replicate is None and self.shard is None:
            raise ValueError("replicate and shard are both null: only one of them can be what is left")
        return self


class Faults(Settings):
    """What happens at a step whose loss or gradient norm is not finite, or far above those before it."""

    action: Literal["skip", "rewind", "stop"] = "skip"
    """skip leaves the weights as they are and goes on with the next data; rewind goes back to the last checkpoint and
    past the data since (Chowdhery et al. 2022, PaLM, section 5.1); stop ends the run. All are recorded."""
    spike_sigma: PositiveFloat | None = 6.0
    """A spike is this many standard deviations above the mean of the last steps; null: only what is not finite."""
    window_steps: Annotated[int, pydantic.Field(ge=8)] = 128
    """Steps the mean is taken over; nothing counts as a spike before so many are done."""
    max_in_a_row: Positive = 5
    """The run stops at so many such steps one after the other."""
    max_rewinds: Positive = 3


class Save(Settings):
    """When checkpoints are written, and which stay. The last one of a run is the artifact itself."""

    every_steps: Positive | None = 500
    every_minutes: PositiveFloat | None = None
    """By the clock of the first process; besides every_steps."""
    keep_last: Positive = 2
    keep_every_tokens: Positive | None = None
    """Besides, the first checkpoint after each so many tokens stays."""
    keep_best: Count = 0
    """Besides, so many with the lowest bits per character on held-out text; needs `held_out`."""


class HeldOut(Settings):
    """Bits per character by source on text the training does not see, comparable between tokenizers."""

    corpus: str | None = place()
    """Folder of the corpus whose held-out documents are read; null finds it by lineage."""
    every_steps: Positive = 500
    max_chars: Positive = 100_000
    """Characters of each source that are read, from its first document."""


class Report(Settings):
    """What is reported besides logs/metrics.jsonl."""

    trackers: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ("tensorboard",)
    """Through accelerate, offline unless the tracker's own environment variables say otherwise."""
    update_rms_every_steps: Positive = 50
    """Root mean square of the weights' change over the learning rate; falls far below 1 when epsilon is too large."""


class Guard(Settings):
    """Limits on waiting, and checks on the way."""

    collective_timeout_seconds: PositiveFloat = 1800.0
    """A step in which nothing moves for so long ends with the names of the processes that hang."""
    grace_seconds: PositiveFloat = 600.0
    """After a signal the process ends so much later at the latest, saved or not."""
    check_replicas_every_steps: Positive | None = None
    """Compare the weights of all copies bit by bit."""
