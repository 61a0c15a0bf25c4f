"""Every pair of documents with a Jaccard similarity above a threshold, computed exactly; and the scorer that uses it.

    sets = gram_sets(raw_points(column))                  # or key_points(column): the n-grams of our key
    pairs = all_pairs(sets, 0.5)                          # left < right, similarity
    score(pairs, kept, threshold=0.8)

The n-grams of a document are numbered by how rare they are in the corpus. Of two documents of similarity t or more,
the rarest |x| - ceil(t |x|) + 1 n-grams of each have one in common (the prefix filter: Chaudhuri, Ganti & Kaushik, ICDE
2006). So only those are looked up, in lists of the documents that hold them. A pair is compared whole unless what it
has in common there and all that may follow are too few (the position filter: Xiao et al., WWW 2008; without it 20,000
documents took 310 s). Nothing is estimated; n-grams are 64-bit hashes, of which 40 million have two equal ones with
probability 4e-5. No code of jpfm's deduplication is used, except where its key is asked for.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

_jit: Any = numba.njit(nogil=True)
I64 = npt.NDArray[np.int64]


class Points(NamedTuple):
    """Code points of n documents: document i is points[offsets[i]:offsets[i + 1]]."""

    offsets: I64
    points: npt.NDArray[np.uint32]


class Sets(NamedTuple):
    """The distinct n-grams of n documents as sorted numbers: document i has values[offsets[i]:offsets[i + 1]]."""

    offsets: I64
    values: npt.NDArray[np.uint64]


class Pairs(NamedTuple):
    """Pairs of documents, left < right, in order; shape (num_pairs,) each."""

    left: I64
    right: I64
    similarity: npt.NDArray[np.float64]


def raw_points(column: pa.Array) -> Points:
    """The characters of the texts as they are."""
    parts = [np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32) for text in column.to_pylist()]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return Points(offsets, np.concatenate([*parts, np.zeros(0, dtype=np.uint32)]))


def key_points(column: pa.Array) -> Points:
    """The characters of the keys by which jpfm compares."""
    from jpfm.text.dedup_key import KeyRules, keys

    found = keys(column, KeyRules())
    return Points(found.offsets, found.points)


@_jit
def _fill(offsets, points, size, values, starts):  # type: ignore[no-untyped-def]
    at = 0
    for row in range(len(starts) - 1):
        first, last = offsets[row], offsets[row + 1]
        count = max(last - first - size + 1, 1 if last > first else 0)
        grams = np.empty(count, dtype=np.uint64)
        for index in range(count):
            state = np.uint64(0)
            for place in range(first + index, min(first + index + size, last)):
                state = (state ^ np.uint64(points[place])) * np.uint64(0xD6E8FEB86659FD93)
                state ^= state >> np.uint64(32)
            grams[index] = state
        grams.sort()
        for index in range(count):
            if index == 0 or grams[index] != grams[index - 1]:
                values[at] = grams[index]
                at += 1
        starts[row + 1] = at


def gram_sets(found: Points, *, size: int = 5) -> Sets:
    """The set of character n-grams of each document. A shorter one is its own only n-gram, an empty one has none."""
    values = np.empty(len(found.points) + 1, dtype=np.uint64)
    starts = np.zeros(len(found.offsets), dtype=np.int64)
    _fill(found.offsets, found.points, size, values, starts)
    return Sets(starts, values[: starts[-1]])


@_jit
def _similarity(values, i, i_end, j, j_end):  # type: ignore[no-untyped-def]
    total, common = (i_end - i) + (j_end - j), 0
    while i < i_end and j < j_end:
        left, right = values[i], values[j]
        common += left == right
        i += left <= right
        j += right <= left
    return common / (total - common) if total else 0.0


@_jit
def _of_pairs(offsets, values, left, right, out):  # type: ignore[no-untyped-def]
    for pair in range(len(out)):
        a, b = left[pair], right[pair]
        out[pair] = _similarity(values, offsets[a], offsets[a + 1], offsets[b], offsets[b + 1])


def similarities(sets: Sets, left: I64, right: I64) -> npt.NDArray[np.float64]:
    """The similarity of given pairs. Shape (num_pairs,)."""
    out = np.zeros(len(left), dtype=np.float64)
    _of_pairs(sets.offsets, sets.values, left, right, out)
    return out


@_jit
def _join(offsets, ranks, threshold, prefixes, starts):  # type: ignore[no-untyped-def]
    """Documents stand in order of size; `starts` is where the list of each n-gram begins. Returns the pairs."""
    ends = starts[:-1].copy()  # how far each list is filled
    holders = np.empty(starts[-1], dtype=np.int32)
    places = np.empty(starts[-1], dtype=np.int32)  # of the n-gram in its holder
    counts = np.zeros(len(prefixes), dtype=np.int32)  # n-grams that the document at hand has in common with each other
    last_here, last_there = np.zeros(len(prefixes), dtype=np.int32), np.zeros(len(prefixes), dtype=np.int32)
    met = np.empty(len(prefixes), dtype=np.int32)
    left, right = np.empty(1024, dtype=np.int64), np.empty(1024, dtype=np.int64)
    similarity = np.empty(1024, dtype=np.float64)
    found = 0
    for row in range(len(prefixes)):
        first, size = offsets[row], offsets[row + 1] - offsets[row]
        num_met = 0
        for place in range(prefixes[row]):
            gram = ranks[first + place]
            for at in range(starts[gram], ends[gram]):
                other = holders[at]
                if counts[other] == 0:
                    met[num_met] = other
                    num_met += 1
                counts[other] += 1
                last_here[other], last_there[other] = place + 1, places[at] + 1
            holders[ends[gram]], places[ends[gram]] = row, place
            ends[gram] += 1
        for index in range(num_met):
            other = met[index]
            other_size = offsets[other + 1] - offsets[other]
            most = counts[other] + min(size - last_here[other], other_size - last_there[other])
            counts[other] = 0
            if most < threshold / (1 + threshold) * (size + other_size) - 1e-6:
                continue
            value = _similarity(ranks, first, first + size, offsets[other], offsets[other + 1])
            if value >= threshold:
                if found == len(left):
                    left, right = np.append(left, left), np.append(right, right)
                    similarity = np.append(similarity, similarity)
                left[found], right[found], similarity[found] = other, row, value
                found += 1
    return left[:found], right[:found], similarity[:found]


def all_pairs(sets: Sets, threshold: float) -> Pairs:
    """All pairs of documents whose similarity is at least `threshold`.

    A document without n-grams is similar to none.

    Args:
        threshold: above 0.
    """
    sizes = np.diff(sets.offsets)
    order = np.argsort(sizes, kind="stable")
    _, codes, counts = np.unique(sets.values, return_inverse=True, return_counts=True)
    by_rarity = np.empty(len(counts), dtype=np.int64)
    by_rarity[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    ranks = by_rarity[codes]
    owner = np.empty(len(sizes), dtype=np.int64)  # where a document stands in order of size
    owner[order] = np.arange(len(sizes))
    ranks = ranks[np.lexsort((ranks, np.repeat(owner, sizes)))]
    offsets = np.concatenate([[0], np.cumsum(sizes[order])]).astype(np.int64)
    need = np.array([math.ceil(threshold * int(size) - 1e-9) for size in sizes[order]], dtype=np.int64)
    prefixes = np.where(sizes[order] > 0, sizes[order] - need + 1, 0)
    listed = np.concatenate(
        [ranks[start : start + length] for start, length in zip(offsets[:-1], prefixes, strict=True)]
        or [np.zeros(0, dtype=np.int64)]
    )
    starts = np.concatenate([[0], np.cumsum(np.bincount(listed, minlength=len(counts)))]).astype(np.int64)
    first, second, value = _join(offsets, ranks, threshold, prefixes, starts)
    one, other = order[first], order[second]
    left, right = np.minimum(one, other), np.maximum(one, other)
    sorting = np.lexsort((right, left))
    return Pairs(left[sorting], right[sorting], value[sorting])


# the scorer


class Score(NamedTuple):
    """What an arm did to a corpus, judged by the pairs of similarity t or more.

    A dropped document is right when a document that the arm kept has similarity t or more with it; else a text was
    lost of which no copy stands. A kept document is left over when a kept document before it, in corpus order, has
    similarity t or more with it.
    """

    dropped: int
    dropped_right: int
    left_over: int
    pairs: int
    """Pairs of similarity t or more."""
    pairs_parted: int
    """Of them, those of which the arm dropped at least one."""
    links: int
    """Dropped documents for which the arm named the kept one that stands for them."""
    links_right: int
    """Of these, those whose similarity with the named one is t or more."""

    @property
    def precision(self) -> float:
        """Of dropped documents: dropped_right / dropped. 1 when none was dropped."""
        return self.dropped_right / self.dropped if self.dropped else 1.0

    @property
    def recall(self) -> float:
        """Of documents that should go: dropped_right / (dropped_right + left_over). 1 when none should."""
        wanted = self.dropped_right + self.left_over
        return self.dropped_right / wanted if wanted else 1.0

    @property
    def pair_precision(self) -> float | None:
        """Of pairs (dropped document, the kept one named for it): links_right / links. None: the arm names none."""
        return self.links_right / self.links if self.links else None

    @property
    def pair_recall(self) -> float:
        """Of pairs of similarity t or more: pairs_parted / pairs. 1 when there are none."""
        return self.pairs_parted / self.pairs if self.pairs else 1.0


def score(
    pairs: Pairs, kept: npt.NDArray[np.bool_], *, threshold: float, names: I64 | None = None,
    similarity_of: Callable[[I64, I64], npt.NDArray[np.float64]] | None = None,
) -> Score:  # fmt: skip
    """Judge which documents an arm kept.

    Args:
        pairs: all pairs of similarity 0.5 (at most `threshold`) or more.
        kept: shape (n,), in corpus order.
        names: for each dropped document the kept one that the arm says it is a copy of; -1: it says none.
        similarity_of: measures the pairs that `names` makes.
    """
    near = pairs.similarity >= threshold
    left, right = pairs.left[near], pairs.right[near]
    covered = np.zeros(len(kept), dtype=np.bool_)
    covered[left[kept[right]]] = True
    covered[right[kept[left]]] = True
    left_over = np.unique(right[kept[left] & kept[right]])
    links = links_right = 0
    if names is not None and similarity_of is not None:
        dropped = np.flatnonzero(~kept & (names >= 0))
        links = len(dropped)
        links_right = int(np.sum(similarity_of(dropped, names[dropped]) >= threshold))
    return Score(
        dropped=int(np.sum(~kept)), dropped_right=int(np.sum(~kept & covered)), left_over=len(left_over),
        pairs=len(left), pairs_parted=int(np.sum(~(kept[left] & kept[right]))), links=links, links_right=links_right,
    )  # fmt: skip
