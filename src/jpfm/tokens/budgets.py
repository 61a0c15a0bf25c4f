"""How many characters a tokenizer's training text takes of each source and kind, where weights and shares are set.

    wanted = budgets(("aozora", "law"), totals, weights={"aozora": 1, "law": 1}, shares=None,
                     max_chars=20_000_000, short="less")    # shape (sources, 3)

The rule with weights *and* shares: a cell (source, kind) gives min(1, a x b) of its text, a number a for each source
and b for each kind, so that every source and every kind has its share. It is the choice closest to the text as it
stands (least relative entropy) that takes no line twice: a cell that is short gives all it holds, and its quota moves
to the other sources that have the kind. Text is short only where a whole source, or kinds over all sources, cannot give
their share; by the theorem of Gale (1957) it is enough to look at each set of kinds. Then `error` stops, `less` takes
the most text that keeps the shares, and `repeat` lets just those cells that cannot give enough be taken more than once.

Refused: plain proportional fitting. It knows no cell's size: 464 English characters in a source of novels made 81 % of
a corpus be thrown away (`less`) or were repeated five times without a word.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from jpfm.core.errors import DataError, UsageError
from jpfm.core.log import log
from jpfm.tokens.tokenizer_config import Kind, Shares

KINDS: tuple[Kind, ...] = ("japanese", "english", "code")
_SETS = [list(chosen) for size in (3, 1, 2) for chosen in itertools.combinations(range(len(KINDS)), size)]
_CLOSE = 1e-9
_ROUNDS = 2_000

F64 = npt.NDArray[np.float64]


class _Want(NamedTuple):
    """Shares of sources and of kinds, each with sum 1; None where they are free."""

    sources: F64 | None
    kinds: F64 | None

    def gives(self, chars: float, held: F64) -> F64:
        """The most that sources with `held` characters give to a text of `chars` characters. Shape (sources,)."""
        return held if self.sources is None else np.minimum(chars * self.sources, held)

    def sets(self) -> list[tuple[list[int], float]]:
        """Sets of kinds to look at, and the share of each."""
        if self.kinds is None:
            return [(_SETS[0], 1.0)]
        sets = _SETS[1:4] if self.sources is None else _SETS
        return [(chosen, float(self.kinds[chosen].sum())) for chosen in sets]


def budgets(
    sources: Sequence[str],
    totals: F64,
    *,
    weights: Mapping[str, float] | None,
    shares: Shares | None,
    max_chars: int,
    short: Literal["error", "less", "repeat"],
) -> F64:
    """Characters to take of each cell; with `repeat` a cell may give more than it holds, which is logged.

    Args:
        totals: characters there are. Shape (sources, 3).
    Raises:
        UsageError: weights name other sources than the corpus has.
        DataError: a source or kind that has a share has too little text and `short` is `error`, or none at all.
    """
    if totals.sum() == 0:
        raise DataError("the train split of the corpus holds no text", hint="look at it: jpfm data stats CORPUS")
    if weights is None and shares is None:
        return np.asarray(totals * min(1.0, max_chars / totals.sum()))
    want = _wanted(sources, totals, weights, shares)
    chars = float(max_chars if short == "repeat" else min(max_chars, totals.sum()))
    most = min(_most(want, totals, chosen, share) for chosen, share in want.sets())
    if most <= 0:
        raise DataError(
            "weights and shares cannot hold together: a kind stands only in sources whose weight is too small",
            hint="set weights or shares alone, or change either",
        )
    limits = totals
    if most < chars * (1 - _CLOSE):
        if short == "repeat":
            limits = _repeated(want, totals, chars)
        else:
            chosen, share = min(want.sets(), key=lambda item: _most(want, totals, *item))
            gives_out = _gives_out(sources, want, totals, chars, chosen, share)
            if short == "error":
                raise DataError(
                    f"too little text for these shares: {gives_out}",
                    hint=f"set max_training_chars to {int(most)} or less, change the shares, "
                    "or set short_text: less | repeat",
                )
            log.info("training text is %s characters of %s: %s", f"{int(most):,}", f"{int(chars):,}", gives_out)
            chars = most
    found = _fitted(want, totals, limits, chars)
    _tell_repeats(sources, totals, found)
    return found


def _wanted(sources: Sequence[str], totals: F64, weights: Mapping[str, float] | None, shares: Shares | None) -> _Want:
    by_source = by_kind = None
    if weights is not None:
        for what, names in (
            ("names no source of the corpus", sorted(set(weights) - set(sources))),
            ("is missing; 0 leaves a source out", sorted(set(sources) - set(weights))),
        ):
            if names:
                raise UsageError(f"weights: {names[0]!r} {what}", hint=f"the corpus has: {', '.join(sources)}")
        by_source = _parts([weights[name] for name in sources], totals.sum(axis=1), sources, "weights")
    if shares is not None:
        by_kind = _parts([getattr(shares, kind) for kind in KINDS], totals.sum(axis=0), KINDS, "shares")
    return _Want(by_source, by_kind)


def _parts(values: Sequence[float], held: F64, names: Sequence[str], setting: str) -> F64:
    for name, value, chars in zip(names, values, held, strict=True):
        if value > 0 and chars == 0:
            raise DataError(f"{setting}: there is no text of {name!r}", hint="set its share to 0, or add such text")
    return np.asarray(values, dtype=np.float64) / sum(values)


def _most(want: _Want, held: F64, chosen: list[int], share: float) -> float:
    """The longest text of which kinds `chosen` can be `share`: 0 where none, infinite where any."""
    has = held[:, chosen].sum(axis=1)
    if share <= _CLOSE:
        return np.inf
    if want.sources is None:
        return float(has.sum() / share)
    weights = want.sources
    if share >= 1 - _CLOSE and len(chosen) == len(KINDS):
        return float((has[weights > 0] / weights[weights > 0]).min())
    # sum of min(chars x weight, has) >= chars x share, for each number of sources that give all they have
    ends = np.divide(has, weights, out=np.full_like(has, np.inf), where=weights > 0)
    order = np.argsort(ends)
    full = np.concatenate([[0.0], np.cumsum(has[order])])
    lacking = share - weights.sum() + np.concatenate([[0.0], np.cumsum(weights[order])])
    return float(np.divide(full, lacking, out=np.full_like(full, np.inf), where=lacking > _CLOSE).min())


def _gives_out(sources: Sequence[str], want: _Want, totals: F64, chars: float, chosen: list[int], share: float) -> str:
    held = totals[:, chosen].sum(axis=1)
    if len(chosen) == len(KINDS) and want.sources is not None:
        asked = want.sources * chars
        row = int(np.argmin(np.divide(held, asked, out=np.full_like(held, np.inf), where=asked > 0)))
        return f"{sources[row]} has {_characters(held[row])}, {asked[row]:,.0f} are asked for"
    kinds = " and ".join(KINDS[kind] for kind in chosen if want.kinds is None or want.kinds[kind] > 0)
    if want.sources is None:
        return f"there are {_characters(held.sum())} of {kinds}, {share * chars:,.0f} are asked for"
    full = [name for name, has, weight in zip(sources, held, want.sources, strict=True) if has < weight * chars]
    return (
        f"at these weights the sources can give {_characters(want.gives(chars, held).sum())} of {kinds}, "
        f"{share * chars:,.0f} are asked for ({', '.join(full)}: all taken)"
    )


def _repeated(want: _Want, totals: F64, chars: float) -> F64:
    """Room in each cell for a text of `chars` characters: as it is, or larger where a source or kind is short."""
    room = totals.copy()
    for chosen, share in want.sets():
        held = room[:, chosen].sum(axis=1)
        if want.gives(chars, held).sum() >= share * chars * (1 - _CLOSE):
            continue
        if want.sources is None:
            factors = np.full_like(held, share * chars / held.sum())
        elif len(chosen) == len(KINDS):
            factors = np.maximum(1.0, np.divide(want.sources * chars, held, out=np.ones_like(held), where=held > 0))
        else:  # one factor for the sources that give all they have: the smallest that is enough
            times = chars / _most(want, room, chosen, share)
            short = held < want.sources * chars
            low, high = 1.0, max(times, 1.0)
            for _ in range(100):
                middle = (low + high) / 2
                enough = want.gives(chars, np.where(short, held * middle, held)).sum() >= share * chars
                low, high = (low, middle) if enough else (middle, high)
            factors = np.where(short, high, 1.0)
        room[:, chosen] *= factors[:, None]
    return room


def _fitted(want: _Want, totals: F64, limits: F64, chars: float) -> F64:
    """Characters of each cell: min(limit, a x b x total), with the sums that are wanted."""
    if want.sources is None or want.kinds is None:
        axis = 1 if want.kinds is None else 0
        shares = want.sources if want.kinds is None else want.kinds
        sums = totals.sum(axis=axis)
        rates = np.divide(np.asarray(shares) * chars, sums, out=np.zeros_like(sums), where=sums > 0)
        return np.asarray(totals * (rates[:, None] if axis == 1 else rates[None, :]))
    rows, columns = want.sources * chars, want.kinds * chars
    found = np.where((rows[:, None] > 0) & (columns[None, :] > 0), totals, 0.0)
    limits = np.where(found > 0, limits, 0.0)
    fixed = np.zeros_like(totals)
    for chosen, share in want.sets():  # sets that give just enough: what they give is settled
        held = limits[:, chosen].sum(axis=1)
        others = [kind for kind in range(len(KINDS)) if kind not in chosen]
        if share > 0 and want.gives(chars, held).sum() <= share * chars * (1 + 1e-7):
            full, not_full = held <= rows * (1 + 1e-7), held >= rows * (1 - 1e-7)
            fixed[np.ix_(full, chosen)] = limits[np.ix_(full, chosen)]
            found[np.ix_(full, chosen)] = 0
            if others:
                found[np.ix_(not_full, others)] = fixed[np.ix_(not_full, others)] = 0
    rows, columns = np.maximum(rows - fixed.sum(axis=1), 0), np.maximum(columns - fixed.sum(axis=0), 0)
    limits = np.where(found > 0, limits, 0.0)
    by_source, by_kind = np.ones(len(rows)), np.ones(len(columns))
    for _ in range(_ROUNDS):
        by_source = _factors(found * by_kind[None, :], limits, rows)
        by_kind = _factors((found * by_source[:, None]).T, limits.T, columns)
        given = np.minimum(limits, found * by_source[:, None] * by_kind[None, :])
        if np.abs(given.sum(axis=1) - rows).max() <= 1e-6 * chars:
            break
    else:
        if np.abs(given.sum(axis=1) - rows).max() > 1e-3 * chars:
            raise DataError("weights and shares cannot be met to 0.1 %", hint="set them less far apart, or one alone")
    return np.asarray(fixed + given)


def _factors(values: F64, limits: F64, sums: F64) -> F64:
    """Factors of rows so that min(limit, factor x value) has the wanted sum of each row."""
    ends = np.divide(limits, values, out=np.full_like(limits, np.inf), where=values > 0)
    order = np.argsort(ends, axis=1)
    ends, values = np.take_along_axis(ends, order, 1), np.take_along_axis(values, order, 1)
    full = np.cumsum(np.take_along_axis(limits, order, 1), axis=1)
    before = np.hstack([np.zeros((len(sums), 1)), full[:, :-1]])
    left = np.cumsum(values[:, ::-1], axis=1)[:, ::-1]
    factors = np.divide(sums[:, None] - before, left, out=np.full_like(left, -np.inf), where=left > 0)
    fits = (factors <= ends) & (factors >= 0)
    last = np.where(np.isfinite(ends), ends, 0.0).max(axis=1)
    first = np.argmax(fits, axis=1)
    return np.where(fits.any(axis=1), factors[np.arange(len(sums)), first], last)


def _tell_repeats(sources: Sequence[str], totals: F64, found: F64) -> None:
    told = [
        f"{sources[row]} ({KINDS[kind]}, {_characters(totals[row, kind])}) {found[row, kind] / totals[row, kind]:.1f} "
        "times"
        for row, kind in zip(*np.nonzero(found > totals * 1.005), strict=True)
    ]
    if told:
        log.info("text is taken more than once: %s", "; ".join(told))


def _characters(count: float) -> str:
    """A count with its noun.

    >>> _characters(1), _characters(4000)
    ('1 character', '4,000 characters')
    """
    return f"{count:,.0f} character{'' if round(count) == 1 else 's'}"
