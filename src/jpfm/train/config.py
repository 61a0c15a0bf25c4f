"""Settings of `jpfm train`."""

from typing import Annotated, Literal

import pydantic

from jpfm.core.config import Settings, place
from jpfm.model.spec import ModelSpec
from jpfm.tokens.mixture import Mixture

Positive = Annotated[int, pydantic.Field(ge=1)]
PositiveFloat = Annotated[float, pydantic.Field(gt=0)]


class Schedule(Settings):
    """Learning rate over training: warm-up, a plateau or a curve, and a decay to `final_share` of the peak."""

    kind: Literal["wsd", "cosine", "linear"] = "wsd"
    warmup_steps: Annotated[int, pydantic.Field(ge=0)] = 100
    decay_steps: Annotated[int, pydantic.Field(ge=0)] = 0
    """Steps of the last phase, for wsd only (warm-up, stable, decay; Hu et al. 2024, MiniCPM)."""
    final_share: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.1


class TrainConfig(Settings):
    """What is trained, on which tokens, for how long. Everything here decides the result."""

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
    """Folder of a checkpoint whose weights training starts with, instead of `model`; its optimizer starts anew."""
    seq_len: Positive = 512
    """Tokens a row."""
    batch_tokens: Positive = 4096
    """Tokens of one optimizer step over all processes; a multiple of seq_len."""
    mixture: Mixture = Mixture()
    """Weights of the sources, stages of a curriculum, and how often a source may be seen. Default: by size."""
    packing: Literal["concat", "best_fit"] = "concat"
    """concat cuts the stream of documents into rows; best_fit keeps documents whole where they fit into a row."""
    micro_batch_rows: Positive = 8
    """Rows of one forward pass of one process; more is faster and takes more memory, the result is the same."""
    steps: Positive
    learning_rate: PositiveFloat = 1e-3
    schedule: Schedule = Schedule()
    weight_decay: Annotated[float, pydantic.Field(ge=0)] = 0.1
    beta1: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.95
    adam_epsilon: PositiveFloat = 1e-8
    clip_norm: PositiveFloat = 1.0
    precision: Literal["fp32", "bf16"] = "bf16"
    """bf16 runs matrix products in bfloat16 under autocast; weights and optimizer stay fp32."""
    document_mask: bool = True
    """Documents packed into one row do not see each other."""
    seed: int = 0
    save_every_steps: Positive = 500
    keep_checkpoints: Positive = 2
    """How many intermediate checkpoints stay; the final one is the artifact itself."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        if (self.model is None) == (self.init_from is None):
            raise ValueError("give one of the two: `model` (a size, from scratch) or `init_from` (a checkpoint)")
        if self.batch_tokens % self.seq_len:
            raise ValueError(f"batch_tokens {self.batch_tokens} is not a multiple of seq_len {self.seq_len}")
        if self.schedule.warmup_steps + self.schedule.decay_steps > self.steps:
            raise ValueError(
                f"steps {self.steps} are fewer than schedule.warmup_steps {self.schedule.warmup_steps} "
                f"+ schedule.decay_steps {self.schedule.decay_steps}"
            )
        return self

    @property
    def tokens_folders(self) -> tuple[str, ...]:
        """The folders of tokens; none where the setting is absent."""
        return (self.tokens,) if isinstance(self.tokens, str) else (self.tokens or ())

    @property
    def rows_per_step(self) -> int:
        return self.batch_tokens // self.seq_len
