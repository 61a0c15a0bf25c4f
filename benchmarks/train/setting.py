"""What one measured run trains, the same for every arm: model, rows, batch, precision, number of steps.

    setting = Setting(model={"size": "8M"}, tokens="out/tokens", tokenizer="out/tokenizer")
    rows = setting.order().batch(0)                        # (rows, seq_len + 1), what step 0 of every arm reads
    model = setting.transformers_model()                   # the weights every arm begins with

An arm is a process of its own that gets this as JSON. Refused: one process for all arms (the second finds a warm
compiler, a grown heap and loaded kernels).
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Setting:
    """A run to measure."""

    tokens: str
    """Folder of a tokens artifact."""
    tokenizer: str
    model: Mapping[str, Any] = field(default_factory=lambda: {"size": "8M"})
    """Fields of jpfm's ModelSpec."""
    seq_len: int = 512
    micro_batch_rows: int = 8
    rows_per_step: int = 8
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the arms that have no own: the defaults of Hugging Face's Trainer are fp32 whatever stands here."""
    warm: int = 5
    """Steps before the clock counts."""
    timed: int = 30
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    decay_steps: int = 0
    schedule: Literal["constant", "linear", "wsd"] = "constant"
    """linear falls to 0, as Hugging Face's default does; wsd falls to 0 over the last decay_steps."""
    weight_decay: float = 0.1
    beta2: float = 0.95
    seed: int = 0
    save_every: int | None = None
    out: str | None = None
    """Folder to leave the trained model in."""
    audit: bool = False
    """Count waits for the device after the warm steps; the run is slower for it and its times do not count."""

    @classmethod
    def read(cls, text: str) -> "Setting":
        """From JSON."""
        return cls(**json.loads(text))

    def json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    def but(self, **changes: Any) -> "Setting":
        """The same with some fields otherwise."""
        return replace(self, **changes)

    @property
    def steps(self) -> int:
        """All of a run."""
        return self.warm + self.timed

    @property
    def step_tokens(self) -> int:
        """Tokens of one optimizer step."""
        return self.rows_per_step * self.seq_len

    @functools.cached_property
    def _store(self) -> Any:
        from pathlib import Path

        from jpfm.core.artifact import open_artifact
        from jpfm.tokens.store import TokenStore

        return TokenStore.open(open_artifact(Path(self.tokens), "tokens"))

    def order(self) -> Any:
        """Which rows a step reads: TokenOrder, with jpfm's default mixture."""
        from jpfm.tokens.order import TokenOrder

        return TokenOrder(self._store, self.seq_len, self.rows_per_step, self.seed)

    def transformers_config(self) -> Any:
        """The transformers config, with the attention that transformers takes by itself."""
        from jpfm.model.spec import ModelSpec

        return ModelSpec(**self.model).to_transformers(self._store.vocab_size, self.seq_len, eos=self._store.eos)

    def transformers_model(self) -> Any:
        """A transformers model in fp32 on the CPU with the weights that jpfm's run begins with."""
        from jpfm.model.spec import ModelSpec, build

        return build(ModelSpec(**self.model), self._store.vocab_size, self.seq_len, seed=self.seed)

    def flops_per_token(self) -> int:
        """Forward and backward, 6 (N - embedding lookup) + 12 L d s."""
        from jpfm.model.estimate import estimate

        return estimate(self.transformers_config(), self.seq_len).flops_per_token
