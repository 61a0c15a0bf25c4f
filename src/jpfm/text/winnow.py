"""Winnowing: a sample of the n-grams of a text such that a long enough copy always shares one with its original.

    found = winnow(keys(column, rules), size=100, window=50)

Of every `window` consecutive n-grams the one with the least hash is taken (Schleimer, Wilkerson & Aiken 2003, with
their rule for equal hashes). Two texts that share size + window - 1 characters share a whole window and so the hash it
gives, wherever the passage lies in each; of random text 2 / (window + 1) of all n-grams are taken. A text with fewer
n-grams than a window gives one. Refused: n-grams whose hash is 0 modulo some number: as many, but without the promise.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from jpfm.text.dedup_key import Keys
from jpfm.text.sketch import roll

_jit: Any = numba.njit(cache=True, nogil=True)


class Grams(NamedTuple):
    """Sampled n-grams in reading order. Shapes (k,)."""

    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    """First point of each n-gram, in the points of all documents."""
    hashes: npt.NDArray[np.uint64]

    def where(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Grams":
        """Some of them, by mask or by number."""
        return Grams(self.rows[chosen], self.places[chosen], self.hashes[chosen])


@_jit
def _least(hashes, first, last):  # type: ignore[no-untyped-def]
    """The place of the least hash; of equal ones the last."""
    best = first
    for place in range(first + 1, last + 1):
        if hashes[place] <= hashes[best]:
            best = place
    return best


@_jit
def _winnow(offsets, points, size, window, rows, places, out):  # type: ignore[no-untyped-def]
    longest = 1
    for row in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest, dtype=np.uint64)
    at = 0
    for row in range(offsets.shape[0] - 1):
        if offsets[row + 1] - offsets[row] < size:
            continue
        count = roll(points, offsets[row], offsets[row + 1], size, hashes)
        best = -1
        for last in range(min(window, count) - 1, count):
            if best > last - window and best >= 0:
                if hashes[last] >= hashes[best]:
                    continue
                best = last
            else:
                best = _least(hashes, max(0, last - window + 1), last)
            rows[at], places[at], out[at] = row, offsets[row] + best, hashes[best]
            at += 1
    return at


def winnow(found: Keys, *, size: int, window: int) -> Grams:
    """Sample the n-grams of documents.

    Args:
        found: keys of n documents.
        size: characters in an n-gram; a shorter document has none.
        window: consecutive n-grams of which one is taken.
    """
    capacity = len(found.points) + 1
    rows, places = np.empty(capacity, dtype=np.int64), np.empty(capacity, dtype=np.int64)
    hashes = np.empty(capacity, dtype=np.uint64)
    count = _winnow(found.offsets, found.points, size, window, rows, places, hashes)
    return Grams(rows[:count], places[:count], hashes[:count])
