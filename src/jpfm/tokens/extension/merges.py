"""Continue byte-pair encoding where a base tokenizer stopped: the next merges, learned on its own tokens.

    learned = continue_merges(units, spelling, limit=5000, rules=PieceRules())
    learned.pieces[0].spelled, learned.pieces[0].left, learned.pieces[0].right

New merges rank below all old ones and never make a string that the base already has. A text is therefore first cut as
the base cuts it, then tokens are joined: the extended ids, each new one written out, *are* the base ids, on any text.
Refused: training another tokenizer and adding its pieces; many of those are never reached by the base's merges
(Purason et al. 2025, arXiv:2512.03989, whose continued training this is).

Counts of pairs are kept up to date merge by merge: a merge touches only the places where it happens. The most frequent
pair comes from a heap whose stale entries are put right when they surface; equal counts fall to the smaller ids.
"""

import heapq
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from jpfm.tokens.extension.units import CHARACTER, Units

_jit: Any = numba.njit(cache=True, nogil=True)
I64 = npt.NDArray[np.int64]


class Piece(NamedTuple):
    """A new piece."""

    spelled: bytes
    left: int | None
    """Ids that it joins; None for a character that had no piece."""
    right: int | None
    places: int
    """How often it was made: what it stood in the text, before longer pieces took it up."""


class Learned(NamedTuple):
    """New pieces in the order of their ids, and how often each stands in the text at the end."""

    pieces: list[Piece]
    counts: I64
    exhausted: bool
    """Whether no pair was left that is frequent enough and allowed."""


@_jit
def _merge(symbols, before, after, weights, places, left, right, new, gone, gone_weight, made, made_at, made_weight):  # type: ignore[no-untyped-def]
    """Join (left, right) at `places` (ascending; stale ones are passed over).

    Returns (pairs gone, pairs made, weight of the merge).
    """
    num_gone, num_made, total = 0, 0, 0
    for place in places:
        if symbols[place] != left:
            continue
        follower = after[place]
        if follower < 0 or symbols[follower] != right:
            continue
        weight, previous, far = weights[place], before[place], after[follower]
        total += weight
        if previous >= 0:
            gone[num_gone], gone_weight[num_gone] = (symbols[previous] << 32) | left, weight
            made[num_made], made_at[num_made], made_weight[num_made] = (symbols[previous] << 32) | new, previous, weight
            num_gone, num_made = num_gone + 1, num_made + 1
        if far >= 0:
            gone[num_gone], gone_weight[num_gone] = (right << 32) | symbols[far], weight
            made[num_made], made_at[num_made], made_weight[num_made] = (new << 32) | symbols[far], place, weight
            num_gone, num_made = num_gone + 1, num_made + 1
            before[far] = place
        symbols[place], symbols[follower], after[place] = new, -1, far
    return num_gone, num_made, total


def _grouped(keys: I64, weights: I64) -> tuple[I64, I64, I64, I64]:
    """Sort by key: (order, distinct keys, their first places in the order, their summed weights)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return order, ordered[first], first, np.add.reduceat(weights[order], first)


class _Pairs:
    """The text as linked symbols, and each pair's count and places."""

    def __init__(self, units: Units, minimum_count: int) -> None:
        size = len(units.symbols)
        self.symbols = units.symbols.copy()
        self.weights = np.repeat(units.counts, np.diff(units.offsets))
        self.after = np.arange(1, size + 1, dtype=np.int64)
        self.after[units.offsets[1:] - 1] = -1
        self.before = np.arange(-1, size - 1, dtype=np.int64)
        self.before[units.offsets[:-1]] = -1
        self.counts: dict[int, int] = {}
        self.places: dict[int, list[I64]] = {}
        here = np.flatnonzero(self.after >= 0)
        if len(here):
            keys = (self.symbols[here] << 32) | self.symbols[here + 1]
            order, distinct, first, sums = _grouped(keys, self.weights[here])
            parts = np.split(here[order], first[1:])
            for number in np.flatnonzero(sums >= minimum_count):  # counts of old pairs only fall
                self.counts[int(distinct[number])] = int(sums[number])
                self.places[int(distinct[number])] = [parts[number]]

    def merge(self, left: int, right: int, new: int) -> tuple[int, I64]:
        """Join a pair everywhere. Returns the merge's count and the pairs that it made."""
        pair = (left << 32) | right
        places = np.sort(np.concatenate(self.places.pop(pair)))
        gone, gone_weight, made, made_at, made_weight = np.empty((5, 2 * len(places)), dtype=np.int64)
        num_gone, num_made, total = _merge(
            self.symbols, self.before, self.after, self.weights, places, left, right, new,
            gone, gone_weight, made, made_at, made_weight,
        )  # fmt: skip
        if num_made:
            order, distinct, first, sums = _grouped(made[:num_made], made_weight[:num_made])
            for key, total_weight, at in zip(
                distinct.tolist(), sums.tolist(), np.split(made_at[:num_made][order], first[1:]), strict=True
            ):
                self.counts[key] = self.counts.get(key, 0) + total_weight
                self.places.setdefault(key, []).append(at)
        if num_gone:
            _, lost, _, sums = _grouped(gone[:num_gone], gone_weight[:num_gone])
            for key, weight in zip(lost.tolist(), sums.tolist(), strict=True):
                if key in self.counts:
                    self.counts[key] -= weight
        self.counts.pop(pair, None)
        return total, np.unique(made[:num_made])


def continue_merges(
    units: Units,
    spelling: Callable[[int], bytes | None],
    taken: Callable[[bytes], bool],
    allows: Callable[[bytes], bool],
    *,
    first_id: int,
    limit: int,
    minimum_count: int,
) -> Learned:
    """Learn up to `limit` pieces.

    Args:
        spelling: UTF-8 bytes of a base id; None where it spells nothing.
        taken: whether the base has a piece of these bytes.
        allows: whether these bytes may be a piece.
        first_id: id of the first new piece.
        minimum_count: a pair that stands in the text less often is not joined.
    """
    pairs = _Pairs(units, minimum_count)
    pieces: list[Piece] = []
    spelled: dict[int, bytes | None] = {}
    bought: set[int] = set()
    parked: dict[int, list[int]] = {}
    known: set[bytes] = set()
    heap: list[tuple[int, int]] = [(-count, key) for key, count in pairs.counts.items()]
    singles = _single_counts(units)
    for symbol, count in singles.items():
        if count >= minimum_count:
            heap.append((-count * (len(chr(symbol - CHARACTER).encode()) - 1), -symbol))  # below 0: no pair
    heapq.heapify(heap)

    def bytes_of(symbol: int) -> bytes | None:
        if symbol not in spelled:
            spelled[symbol] = chr(symbol - CHARACTER).encode() if symbol >= CHARACTER else spelling(symbol)
        return spelled[symbol]

    final: dict[int, int] = {}
    while heap and len(pieces) < limit:
        negative, key = heapq.heappop(heap)
        if key < 0:
            symbol = -key
            own = bytes_of(symbol)
            assert own is not None
            if allows(own) and not taken(own):
                final[symbol] = first_id + len(pieces)
                pieces.append(Piece(own, None, None, singles[symbol]))
                bought.add(symbol)
                for waiting in parked.pop(symbol, ()):
                    heapq.heappush(heap, (-pairs.counts.get(waiting, 0), waiting))
            continue
        count = pairs.counts.get(key, 0)
        if count < minimum_count:
            continue
        if -negative != count:
            heapq.heappush(heap, (-count, key))
            continue
        left, right = key >> 32, key & 0xFFFFFFFF
        missing = next((s for s in (left, right) if s >= CHARACTER and s not in bought), None)
        if missing is not None:
            parked.setdefault(missing, []).append(key)
            continue
        one, two = bytes_of(left), bytes_of(right)
        both = None if one is None or two is None else one + two
        if both is None or both in known or taken(both) or not allows(both):
            del pairs.counts[key], pairs.places[key]
            continue
        new = first_id + len(pieces)
        total, made = pairs.merge(left, right, new)
        spelled[new] = both
        known.add(both)
        pieces.append(Piece(both, final.get(left, left), final.get(right, right), total))
        for fresh in made.tolist():
            if (amount := pairs.counts.get(fresh, 0)) >= minimum_count:
                heapq.heappush(heap, (-amount, fresh))
    return Learned(pieces, _final_counts(pairs, final, first_id, len(pieces)), len(pieces) < limit)


def _single_counts(units: Units) -> dict[int, int]:
    """How often each character without a piece stands in the text."""
    weights = np.repeat(units.counts, np.diff(units.offsets))
    here = units.symbols >= CHARACTER
    if not here.any():
        return {}
    _, distinct, _, sums = _grouped(units.symbols[here], weights[here])
    return dict(zip(distinct.tolist(), sums.tolist(), strict=True))


def _final_counts(pairs: _Pairs, final: dict[int, int], first_id: int, size: int) -> I64:
    symbols = pairs.symbols.copy()
    if final:
        known = np.array(sorted(final), dtype=np.int64)
        numbers = np.array([final[symbol] for symbol in known.tolist()], dtype=np.int64)
        place = np.minimum(np.searchsorted(known, symbols), len(known) - 1)
        symbols = np.where(known[place] == symbols, numbers[place], symbols)
    here = (symbols >= first_id) & (symbols < CHARACTER)
    return np.bincount(symbols[here] - first_id, weights=pairs.weights[here], minlength=size).astype(np.int64)
