"""Which source the n-th row of training comes from: a low-discrepancy schedule that any prefix of keeps the weights.

    mixture = Mixture(weights={"aozora": 0.3, "law": 0.7}, max_epochs={"law": 4})
    schedule = Schedule.make(["aozora", "law"], [0.3, 0.7])
    schedule.of(np.arange(10))        # (source, how many rows of it came before)
    schedule.slots(source, ranks)     # the way back

Weights are shares with at most six decimals, so every schedule repeats after a period of at most 10^6 rows. Within it
each row goes to the source whose next row is due first among those that have fallen behind (Tijdeman's rule): after n
rows a source of weight w has had w n rows, give or take less than one, for every n. Two small tables (at most 13 MB)
answer any n at once. Refused: drawing the source at random (off by sqrt(n): 3,000 rows after 10^7), and largest
remainders a step (no row of a rare source in small steps, ever).

Source: R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980), 323-330.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numba
import numpy as np
import numpy.typing as npt
import pydantic

from jpfm.core.config import Settings
from jpfm.core.errors import UsageError

_jit: Any = numba.njit(cache=True, nogil=True)
UNIT = 1_000_000
"""Weights are multiples of 1/UNIT."""

Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Epochs = Annotated[float, pydantic.Field(gt=0)]


class Stage(Settings):
    """A part of training with weights of its own."""

    tokens: Annotated[int, pydantic.Field(ge=1)] | None = None
    """How many tokens it lasts; null (the last stage only): to the end of training."""
    weights: dict[str, Share] | None = None
    """Share of rows of each source, at most six decimals, sum 1. null: by size."""


class Mixture(Settings):
    """How sources are mixed."""

    weights: dict[str, Share] | None = None
    """Share of rows of each source for the whole of training. null: by size."""
    stages: tuple[Stage, ...] = ()
    """Curriculum: stages one after the other, instead of `weights`."""
    max_epochs: Epochs | dict[str, Epochs] | None = None
    """How often a source may be seen at most: one number for all, or one by source. null: no limit."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Mixture":
        if self.stages and self.weights is not None:
            raise ValueError("give weights or stages, not both; weights of a stage stand inside it")
        for number, stage in enumerate(self.stages, start=1):
            if (stage.tokens is None) != (number == len(self.stages)):
                raise ValueError(
                    f"stage {number}: every stage but the last needs tokens; the last has none (it lasts to the end)"
                )
        return self

    def all_stages(self) -> tuple[Stage, ...]:
        """The stages; one without an end where none are given."""
        return self.stages or (Stage(weights=self.weights),)

    def cap(self, source: str) -> float:
        """How often a source may be seen; infinity without a limit."""
        if self.max_epochs is None:
            return math.inf
        if isinstance(self.max_epochs, dict):
            return self.max_epochs.get(source, math.inf)
        return self.max_epochs

    def check_names(self, sources: Sequence[str]) -> None:
        """Every name in the mixture is one of the sources.

        Raises:
            UsageError: one is not.
        """
        named = [(f"stage {n}: weights", stage.weights) for n, stage in enumerate(self.stages, 1)]
        named += [
            ("weights", self.weights),
            ("max_epochs", self.max_epochs if isinstance(self.max_epochs, dict) else None),
        ]
        for where, table in named:
            for name in table or ():
                if name not in sources:
                    raise UsageError(
                        f"mixture: {where} names '{name}', and the tokens have no such source",
                        hint=f"sources: {', '.join(sources)}",
                    )


def units(sources: Sequence[str], rows: Sequence[int], weights: Mapping[str, float] | None) -> npt.NDArray[np.int64]:
    """Weights of all sources as whole numbers that sum to UNIT; by rows where none are given.

    >>> units(["a", "b", "c"], [100, 200, 0], None).tolist()
    [333333, 666667, 0]
    >>> units(["a", "b"], [1, 1], {"b": 0.25, "a": 0.75}).tolist()
    [750000, 250000]

    Raises:
        UsageError: they do not sum to 1, or have more than six decimals.
    """
    if weights is None:
        shares = np.array(rows, dtype=np.float64) / sum(rows) * UNIT
        whole = np.where(shares > 0, np.maximum(np.floor(shares), 1), 0).astype(np.int64)
        order = np.lexsort((np.arange(len(whole)), whole - shares))  # the largest remainder first
        short = UNIT - int(whole.sum())
        if short < 0:  # many sources of less than a millionth took one each: the largest gives
            whole[np.argmax(whole)] += short
        else:
            whole[order[:short]] += 1
        return whole
    exact = [weights.get(source, 0.0) * UNIT for source in sources]
    for source, value in zip(sources, exact, strict=True):
        if abs(value - round(value)) > 1e-4:
            raise UsageError(
                f"mixture: the weight of '{source}' is {weights[source]!r}: more than six decimals",
                hint=f"write {round(value) / UNIT!r}; then the schedule repeats exactly",
            )
    whole = np.array([round(value) for value in exact], dtype=np.int64)
    if (total := int(whole.sum())) != UNIT:
        largest = max(sources, key=lambda source: weights.get(source, 0.0))
        rest = round(weights.get(largest, 0.0) * UNIT) + UNIT - total
        mend = f"set {largest} to {rest / UNIT!r}, or divide" if rest > 0 else "divide"
        raise UsageError(
            f"mixture: weights sum to {total / UNIT!r}, expected 1", hint=f"{mend} all by {total / UNIT!r}"
        )
    return whole


@_jit
def _tijdeman(weights, period, source, before):  # type: ignore[no-untyped-def]
    """Fill one period. Lags are kept in units of 1/period: lag = w n - had * period."""
    count = weights.shape[0]
    lag = np.zeros(count, dtype=np.int64)
    had = np.zeros(count, dtype=np.int64)
    for place in range(period):
        best, best_due = -1, 0.0
        for which in range(count):
            weight = weights[which]
            if weight == 0:
                continue
            lag[which] += weight
            if count == 1 or 2 * (count - 1) * lag[which] >= period:  # behind by 1/(2k - 2) rows or more
                due = (period * (1.0 - 0.5 / (count - 1)) - lag[which]) / weight if count > 1 else 0.0
                if best < 0 or due < best_due:
                    best, best_due = which, due
        source[place] = best
        before[place] = had[best]
        had[best] += 1
        lag[best] -= period


@dataclass(frozen=True)
class Schedule:
    """One period of sources, and both ways between rows of training and rows of a source."""

    weights: npt.NDArray[np.int64]
    """Rows of each source in a period."""
    source: npt.NDArray[np.int32]
    """Which source each row of the period comes from; shape (period,)."""
    before: npt.NDArray[np.int32]
    """How many rows of that source the period has had before."""
    places: npt.NDArray[np.int32]
    """Places of the first source in the period, then of the second, ...; shape (period,)."""
    begins: npt.NDArray[np.int64]
    """Where each source's places begin."""

    @classmethod
    def make(cls, weights: npt.NDArray[np.int64]) -> "Schedule":
        """The schedule of whole-number weights.

        Args:
            weights: from `units`; shape (sources,). Only their ratios matter.
        """
        weights = weights // max(1, int(np.gcd.reduce(weights)))
        period = int(weights.sum())
        source, before = np.empty(period, dtype=np.int32), np.empty(period, dtype=np.int32)
        active = np.flatnonzero(weights)
        _tijdeman(weights[active], period, source, before)
        source = active[source].astype(np.int32)
        places = np.argsort(source, kind="stable").astype(np.int32)
        begins = np.concatenate([[0], np.cumsum(weights)[:-1]])
        return cls(weights, source, before, places, begins)

    @property
    def period(self) -> int:
        return len(self.source)

    def of(self, slots: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(source, how many rows of it came before) of rows of training."""
        turn, place = np.divmod(slots, self.period)
        source = self.source[place].astype(np.int64)
        return source, turn * self.weights[source] + self.before[place]

    def counts(self, slots: int) -> npt.NDArray[np.int64]:
        """Rows of each source among the first `slots` rows; shape (sources,)."""
        turn, rest = divmod(slots, self.period)
        return turn * self.weights + np.bincount(self.source[:rest], minlength=len(self.weights))

    def slots(self, source: int, ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows of training that are the ranks-th rows (from 0) of a source; it must have a weight."""
        turn, rank = np.divmod(ranks, self.weights[source])
        return turn * self.period + self.places[self.begins[source] + rank]
