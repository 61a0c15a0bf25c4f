"""Steps whose loss is not finite or far above those before: skipped, rewound or the end, always on record.

    guard = FaultGuard(config.faults, progress)
    verdict = guard.judge(step, loss, norm)          # None, or a Fault
    guard.applied(loss, norm)                        # after the weights were changed

The verdict is a pure function of the losses so far, which a checkpoint keeps; so a resumed run judges the same steps
the same way. A skipped step leaves weights and optimizer state as they were; its data counts as read.
Source: mean + 6 standard deviations over 128 steps as in OLMo (Walsh et al. 2025, arXiv:2501.00656); going back to a
checkpoint and past the data as in PaLM (Chowdhery et al. 2022, section 5.1).
"""

import math
from dataclasses import dataclass
from typing import Literal

from jpfm.train.settings import Faults
from jpfm.train.state import Progress


@dataclass(frozen=True)
class Fault:
    """A step that must not change the weights."""

    step: int
    """From 1, as in the log."""
    kind: Literal["not_finite", "spike"]
    loss: float
    grad_norm: float
    limit: float | None
    """Above which it counted as a spike; of the loss or of the norm, whichever was passed."""
    what: Literal["loss", "grad_norm"]

    @property
    def words(self) -> str:
        """What happened, for a log line."""
        value = self.loss if self.what == "loss" else self.grad_norm
        name = "loss" if self.what == "loss" else "gradient norm"
        if self.kind == "not_finite":
            return f"step {self.step}: {name} {value} is not finite"
        return f"step {self.step}: {name} {value:.4g} is a spike (limit {self.limit:.4g})"


class FaultGuard:
    """Judges each step against the last ones that changed the weights."""

    def __init__(self, settings: Faults, progress: Progress) -> None:
        self.settings = settings
        self.history = list(progress.history)
        self.in_a_row = progress.in_a_row
        self.rewinds = progress.rewinds

    def judge(self, step: int, loss: float, norm: float) -> Fault | None:
        """The fault of a step (from 1), or None."""
        for what, value in (("loss", loss), ("grad_norm", norm)):
            if not math.isfinite(value):
                return Fault(step, "not_finite", loss, norm, None, what)  # type: ignore[arg-type]
        if self.settings.spike_sigma is None or len(self.history) < self.settings.window_steps:
            return None
        for column, (what, value) in enumerate((("loss", loss), ("grad_norm", norm))):
            limit = self._limit([row[column] for row in self.history], self.settings.spike_sigma)
            if value > limit:
                return Fault(step, "spike", loss, norm, limit, what)  # type: ignore[arg-type]
        return None

    @staticmethod
    def _limit(values: list[float], sigma: float) -> float:
        mean = math.fsum(values) / len(values)
        return mean + sigma * math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))

    def applied(self, loss: float, norm: float) -> None:
        """The weights were changed by this step."""
        self.history = [*self.history, (loss, norm)][-self.settings.window_steps :]
        self.in_a_row = 0

    def skipped(self) -> bool:
        """The step was left out; returns whether it was one too many."""
        self.in_a_row += 1
        return self.in_a_row >= self.settings.max_in_a_row
