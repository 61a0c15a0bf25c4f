"""What a lint rule looks at, and what it says: the parts that `lint` and its rules share.

    run = Run(config, model_config, vocab_size=32_000, sources_tokens={"web": 10**9}, machine=this_machine(), cost=cost)
    for finding in epsilon(run):
        print(finding.sentence())

A rule is a function from a `Run` to findings, next to the failure it guards against. Every finding names a published
source; a preference without one is no rule. There is one level: `lint: refuse` stops on any finding. Refused: warnings
beside errors, because a run that only one of two levels stops teaches people to ignore the other.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from jpfm.model.estimate import Estimate
from jpfm.train.config import TrainConfig
from jpfm.train.settings import AdamW


class Finding(NamedTuple):
    """One setting that is known to have spoilt runs."""

    field: str
    """Dotted name of the setting."""
    says: str
    """What was found, and what is usual."""
    guards_against: str
    """What has happened to others."""
    source: str
    """Where that is published."""
    mend: str
    """What to write instead."""

    def sentence(self) -> str:
        """All of it in one line."""
        return f"{self.field}: {self.says}; {self.guards_against} ({self.source}). Mend: {self.mend}"


class Machine(NamedTuple):
    """What a rule must know of the machine."""

    cuda: bool
    bf16_products: bool
    """Whether the processor multiplies bfloat16 by itself; true where that is not known."""


class Run(NamedTuple):
    """A training run before it starts."""

    config: TrainConfig
    model: Any
    """Its transformers config."""
    vocab_size: int
    """Ids of the tokenizer."""
    sources_tokens: Mapping[str, int] | None
    """Tokens of each source; None where they are not known yet."""
    machine: Machine
    cost: Estimate

    @property
    def tokens(self) -> int:
        """Tokens of the whole run, those before a branch included."""
        return self.config.num_steps * self.config.batch_tokens

    @property
    def flops(self) -> float:
        """FLOPs of the whole run, forward and backward."""
        return float(self.cost.flops_per_token) * self.tokens

    @property
    def adamw(self) -> tuple[str, AdamW]:
        """Where the settings of AdamW stand, and what they are; Muon has them for what is no matrix of a block."""
        optimizer = self.config.optimizer
        return ("optimizer", optimizer) if isinstance(optimizer, AdamW) else ("optimizer.adamw", optimizer.adamw)


_BF16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}  # Intel and AMD; the last is Arm's


def this_machine() -> Machine:
    """The machine this process runs on."""
    described = Path("/proc/cpuinfo")
    words = set(described.read_text(encoding="utf-8", errors="replace").split()) if described.exists() else _BF16_FLAGS
    return Machine(cuda=torch.cuda.is_available(), bf16_products=bool(words & _BF16_FLAGS))
